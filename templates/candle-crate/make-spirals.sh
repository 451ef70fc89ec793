#!/bin/sh
# Writes data/spirals.csv, 600 points of two spirals: something to begin with, until your own data take its place.
set -eu
mkdir -p data
awk 'BEGIN {
  srand(1)
  print "x,y,spiral"
  for (i = 0; i < 600; i++) {
    turn = 0.4 + 9 * rand(); side = i % 2
    angle = turn + 3.14159265 * side
    printf "%.4f,%.4f,%s\n", turn * cos(angle) + 1.5 * rand(), turn * sin(angle) + 1.5 * rand(), side ? "left" : "right"
  }
}' > data/spirals.csv

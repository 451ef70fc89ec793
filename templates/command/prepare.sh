#!/bin/sh
# Writes build/points.csv: points of the line y = 2x + 1 with noise.
set -eu
# A parameter: the number behind its name in the JSON file that MLP_PARAMS names.
param() { tr -d ' \n{}' < "$MLP_PARAMS" | tr ',' '\n' | sed -n "s/^\"$1\"://p"; }

mkdir -p build
awk -v points="$(param points)" -v noise="$(param noise)" 'BEGIN {
  srand(1)
  print "x,y"
  for (i = 0; i < points; i++) {
    x = 2 * rand() - 1
    printf "%.6f,%.6f\n", x, 2 * x + 1 + noise * (2 * rand() - 1)
  }
}' > build/points.csv

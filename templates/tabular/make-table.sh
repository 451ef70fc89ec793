#!/bin/sh
# Writes data/table.csv, 600 invented penguins: something to begin with, until your own table takes its place.
set -eu
mkdir -p data
awk 'function normal(mean, deviation,   i, sum) {
  # The sum of twelve uniform numbers, less six, is close to a standard normal one.
  for (i = 0; i < 12; i++) sum += rand()
  return mean + deviation * (sum - 6)
}
BEGIN {
  srand(1)
  split("adelie chinstrap gentoo", species)
  split("38.8 48.8 47.5", bill); split("190 196 217", flipper); split("3700 3730 5080", mass)
  print "bill_mm,flipper_mm,mass_g,island,species"
  for (i = 0; i < 600; i++) {
    s = 1 + int(3 * rand())
    island = s == 3 ? "biscoe" : (rand() < 0.5 ? "dream" : (s == 1 ? "torgersen" : "dream"))
    printf "%.1f,%.0f,%.0f,%s,%s\n", normal(bill[s], 2.5), normal(flipper[s], 6), normal(mass[s], 300), island, species[s]
  }
}' > data/table.csv

#!/bin/sh
# Fits a line by gradient descent: an example of a trainer in any language, here POSIX shell and awk.
set -eu
# A parameter: the number behind its name in the JSON file that MLP_PARAMS names.
param() { tr -d ' \n{}' < "$MLP_PARAMS" | tr ',' '\n' | sed -n "s/^\"$1\"://p"; }

mkdir -p build/model
awk -F, -v epochs="$(param epochs)" -v rate="$(param rate)" -v events="$MLP_EVENTS" '
NR > 1 { x[n] = $1; y[n++] = $2 }
END {
  for (epoch = 1; epoch <= epochs; epoch++) {
    loss = 0
    for (i = 0; i < n; i++) {
      error = slope * x[i] + offset - y[i]
      slope -= rate * error * x[i]
      offset -= rate * error
      loss += error * error / n
    }
    # One line of JSON is one event; these are all that a plot and a progress bar need.
    printf "{\"event\":\"metric\",\"name\":\"train.loss\",\"value\":%.6g,\"epoch\":%d}\n", loss, epoch >> events
    printf "{\"event\":\"progress\",\"task\":\"fitting\",\"done\":%d,\"total\":%d}\n", epoch, epochs >> events
    fflush(events)
  }
  printf "{\"slope\": %.6f, \"offset\": %.6f}\n", slope, offset > "build/model/line.json"
}' build/points.csv
cat build/model/line.json

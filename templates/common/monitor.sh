#!/bin/sh
# monitor.sh MODEL@STAGE [OPTION OF git push ...]
#
# Holds the newest answers of a model against what it was trained on. If a limit of `monitor:` is broken, pushes the branch
# retrain/MODEL with what was found, for somebody to train again on, and ends with 1. Nothing is promoted. The record of it goes to the
# first of `stores:`: this machine may be gone tomorrow.
set -eu
model=$1
shift
name=${model%%@*}
branch=retrain/$name
report=docs/monitor/$name.json
found=$(mktemp)
trap 'rm -f "$found"' EXIT
status=0
mlp monitor "$model" --json > "$found" || status=$?
cat "$found"
pushed=0
if grep -q '^stores:' mlp.yaml; then
  mlp monitor push >&2 || pushed=$?
fi
# Anything but a breach is for whoever reads the log of this job. A breach that `monitor.alert` could not be told of is one.
if ! grep -q '"breaches"' "$found"; then
  if [ "$status" -eq 0 ]; then
    status=$pushed
  fi
  exit "$status"
fi
if git ls-remote --exit-code --heads origin "$branch" > /dev/null; then
  git fetch -q origin "$branch"
  if ! git merge-base --is-ancestor FETCH_HEAD HEAD; then
    echo "the branch $branch is open already" >&2
    exit 1
  fi
  # What was merged is over.
  git push -q "$@" origin --delete "$branch"
fi
git switch -q -c "$branch"
mkdir -p docs/monitor
cp "$found" "$report"
git add "$report"
git -c user.name=mlp -c user.email=mlp@localhost commit -q \
  -m "monitor: $model broke its limits" \
  -m "What was found is in $report. Next: bring newer data, then on this branch

    mlp data add DATASET
    mlp train $name

and promote what comes of it when its gates are open."
git push -q "$@" origin "$branch"
exit 1

#!/usr/bin/env bash
# From an empty folder to a verified prediction served from production, with the commands a user types.
#
#   examples/mnist/run.sh                    synthetic digits, no network
#   MNIST_DIR=folder examples/mnist/run.sh   the real MNIST: a folder of the four IDX files, plain or .gz
#
# MLP    the program to use; built with `cargo build` if not given
# WORK   an empty folder to work in, which is kept; a temporary folder, removed at the end, if not given
set -euo pipefail

MNIST_DIR=${MNIST_DIR:+$(cd "$MNIST_DIR" && pwd)}
# shellcheck source=examples/mnist/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

say "A project from a template: models reach production behind gates"
mlp init digits --template mnist --profile product
cd digits

say "Who may sign: Ada, who trains, and Sam, who approves models"
signers
sed -i.bak 's/roles: {model: \[\]/roles: {model: [sam@example.org]/' mlp.yaml && rm mlp.yaml.bak

say "Data: a version of them in the store, a small pointer in git"
if [ -n "$MNIST_DIR" ]; then
    sed -i.bak '/digits: {train:/d; s/    source:$/    source: []/' mlp.yaml && rm mlp.yaml.bak
    mkdir -p data/mnist && cp "$MNIST_DIR"/*-ubyte* data/mnist/
else
    mlp data download mnist
fi
mlp data add mnist
mlp check
commit "Begin"

say "A model: trained from committed code, evaluated on the test part, put behind the first gates"
mlp train digits
mlp eval digits
if mlp promote digits --to staging; then
    fail "the model card says TODO: staging must refuse"
fi

mlp status

say "Refused: the model card still says TODO. Ada writes it"
write_card
mlp promote digits --to staging

say "Production wants somebody else's signature"
if mlp promote digits --to production; then
    fail "nobody has approved: production must refuse"
fi
mlp approve digits --to production --key "$work/sam"
mlp promote digits --to production
mlp status

say "Serve what is in production, and ask it"
serve digits@production

# The pixels and the label of one test image, straight from the IDX files.
unpacked data/mnist/t10k-images-idx3-ubyte >"$work/images"
unpacked data/mnist/t10k-labels-idx1-ubyte >"$work/labels"
bytes() { od -An -v -tu1 -j "$2" -N "$3" "$1" | tr -s ' \n' ' ' | sed 's/^ //; s/ $//'; }

tried=20 right=0
for index in $(seq 0 $((tried - 1))); do
    pixels=$(bytes "$work/images" $((16 + index * 784)) 784 | tr ' ' ',')
    answer=$(curl -sS --fail-with-body -H 'content-type: application/json' \
        -d "{\"instances\": [[$pixels]]}" "http://127.0.0.1:$port/predict")
    label=$(bytes "$work/labels" $((8 + index)) 1)
    said=$(printf '%s' "$answer" | sed -n 's/.*"label": *"\([^"]*\)".*/\1/p')
    if [ "$said" = "$label" ]; then right=$((right + 1)); fi
    if [ "$index" = 0 ]; then
        printf '\n$ curl -d @image-0.json http://127.0.0.1:%s/predict     (a %s)\n%s\n' "$port" "$label" "$answer"
    fi
done
digest=$(printf '%s' "$answer" | sed -n 's/.*"digest": *"\(b3:[0-9a-f]*\)".*/\1/p')
stop

if [ "$right" -lt $((tried - 2)) ]; then
    fail "only $right of $tried served predictions are right"
fi
if ! "$MLP" --json model show digits@production | grep -q "\"$digest\""; then
    fail "served $digest, which is not what the ledger has in production"
fi
say "Verified: $right of $tried served predictions are right, from $digest, which is in production ($SECONDS s in all)"
if [ -n "$MNIST_DIR" ]; then
    accuracy=$("$MLP" --json --quiet eval digits@production | tr -d ' \n' |
        grep -o '"metrics":{"accuracy":{"value":[0-9.]*' | head -n 1 | grep -o '[0-9.]*$')
    echo "# Test accuracy on the real MNIST: $accuracy"
    if ! awk -v accuracy="$accuracy" 'BEGIN { exit !(accuracy >= 0.99) }'; then
        fail "test accuracy $accuracy is below 0.99"
    fi
fi

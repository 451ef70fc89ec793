#!/usr/bin/env bash
# From an empty folder to a verified prediction served from production, with the commands a user types.
#
#   examples/mnist/run.sh                    synthetic digits, no network
#   MNIST_DIR=folder examples/mnist/run.sh   the real MNIST: a folder of the four IDX files, plain or .gz
#
# MLP    the program to use; built with `cargo build` if not given
# WORK   an empty folder to work in, which is kept; a temporary folder, removed at the end, if not given
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)
if [ -z "${MLP:-}" ]; then
    cargo build --manifest-path "$repository/Cargo.toml"
    MLP=${CARGO_TARGET_DIR:-$repository/target}/debug/mlp
fi
MNIST_DIR=${MNIST_DIR:+$(cd "$MNIST_DIR" && pwd)}

work=${WORK:-$(mktemp -d)}
server=
cleanup() {
    if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; fi
    if [ -z "${WORK:-}" ]; then rm -rf "$work"; fi
}
trap cleanup EXIT
mkdir -p "$work" && cd "$work"
SECONDS=0

say() { printf '\n# %s\n' "$*"; }
mlp() {
    printf '\n$ mlp %s\n' "$*"
    "$MLP" "$@"
}
commit() {
    printf '\n$ git commit -m "%s"\n' "$1"
    git add -A && git commit -q -m "$1"
}

say "A project from a template: models reach production behind gates"
mlp init digits --template mnist --profile product
cd digits
git config user.name Ada && git config user.email ada@example.org

say "Who may sign: Ada, who trains, and Sam, who approves models"
for person in ada sam; do
    ssh-keygen -q -t ed25519 -N '' -C "$person" -f "$work/$person"
    printf '%s@example.org %s\n' "$person" "$(cut -d' ' -f1,2 "$work/$person.pub")" >>.mlp/allowed_signers
done
git config user.signingkey "$work/ada"
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
    echo "the model card says TODO: staging must refuse" >&2
    exit 1
fi

mlp status

say "Refused: the model card still says TODO. Ada writes it"
cat >docs/digits.modelcard.md <<'CARD'
# Model card: digits

## Intended use

Reads one handwritten digit from a 28x28 grey image.

## Limits

Digits that are centred and upright; not letters, not several digits, not photographs.
CARD
commit "Write the model card"
mlp promote digits --to staging

say "Production wants somebody else's signature"
if mlp promote digits --to production; then
    echo "nobody has approved: production must refuse" >&2
    exit 1
fi
mlp approve digits --to production --key "$work/sam"
mlp promote digits --to production
mlp status

say "Serve what is in production, and ask it"
printf '\n$ mlp serve digits@production --port 0 --json\n'
"$MLP" --json serve digits@production --port 0 >"$work/serve.json" 2>"$work/serve.log" &
server=$!
for _ in $(seq 100); do
    port=$(sed -n 's/.*"url": *"http:[^"]*:\([0-9][0-9]*\)".*/\1/p' "$work/serve.json" | head -n 1)
    if [ -n "$port" ]; then break; fi
    if ! kill -0 "$server" 2>/dev/null; then break; fi
    sleep 0.1
done
if [ -z "$port" ]; then
    cat "$work/serve.json" "$work/serve.log" >&2
    exit 1
fi

# The pixels and the label of one test image, straight from the IDX files.
unpacked() { if [ -e "$1.gz" ]; then gzip -dc "$1.gz"; else cat "$1"; fi; }
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
kill "$server" && wait "$server" && server=

if [ "$right" -lt $((tried - 2)) ]; then
    echo "only $right of $tried served predictions are right" >&2
    exit 1
fi
if ! "$MLP" --json model show digits@production | grep -q "\"$digest\""; then
    echo "served $digest, which is not what the ledger has in production" >&2
    exit 1
fi
say "Verified: $right of $tried served predictions are right, from $digest, which is in production ($SECONDS s in all)"
if [ -n "$MNIST_DIR" ]; then
    accuracy=$("$MLP" --json --quiet eval digits@production | tr -d ' \n' |
        grep -o '"metrics":{"accuracy":{"value":[0-9.]*' | head -n 1 | grep -o '[0-9.]*$')
    echo "# Test accuracy on the real MNIST: $accuracy"
    if ! awk -v accuracy="$accuracy" 'BEGIN { exit !(accuracy >= 0.99) }'; then
        echo "test accuracy $accuracy is below 0.99" >&2
        exit 1
    fi
fi

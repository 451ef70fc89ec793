#!/usr/bin/env bash
# From an empty folder to a verified prediction served from production, with the commands a user types.
#
#   examples/mnist/run.sh                 synthetic digits, no network
#   MNIST_DIR=folder examples/mnist/run.sh   the real MNIST: the four IDX files, plain or .gz
#
# MLP       the program; built with `cargo build` if not given
# WORK      where the project is made; a temporary folder that is removed at the end if not given
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)

if [ -z "${MLP:-}" ]; then
    cargo build --quiet --manifest-path "$repository/Cargo.toml"
    MLP=${CARGO_TARGET_DIR:-$repository/target}/debug/mlp
fi
started=$SECONDS
server=
cleanup() {
    if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
    if [ -z "${WORK:-}" ]; then rm -rf "$work"; fi
}
work=${WORK:-$(mktemp -d)}
trap cleanup EXIT
mkdir -p "$work"
cd "$work"

# A colleague who approves: the key pair stays in this folder.
keys=$work/keys
mkdir -p "$keys"
ssh-keygen -q -t ed25519 -N '' -C sam -f "$keys/sam" <<<y >/dev/null

mlp() {
    printf '\n\033[1m$ mlp %s\033[0m\n' "$*" >&2
    "$MLP" "$@"
}
author=(-c user.name=Ada -c user.email=ada@example.org)
commit() { git add -A && git "${author[@]}" commit -q -m "$1"; }

mlp init digits --template mnist --profile product
cd digits
git config user.name Ada
git config user.email ada@example.org

if [ -n "${MNIST_DIR:-}" ]; then
    mkdir -p data/mnist
    cp "$MNIST_DIR"/*-ubyte* data/mnist/
else
    mlp data download mnist
fi
mlp data add mnist

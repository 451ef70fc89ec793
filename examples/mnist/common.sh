# What the examples of this folder share: they source it. It makes the program, goes to the folder to work in and tidies up at the end.
#
# MLP    the program to use; built with `cargo build` if not given
# WORK   an empty folder to work in, which is kept; a temporary folder, removed at the end, if not given

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
if [ -z "${MLP:-}" ]; then
    cargo build --manifest-path "$repository/Cargo.toml"
    MLP=${CARGO_TARGET_DIR:-$repository/target}/debug/mlp
fi

work=${WORK:-$(mktemp -d)}
server=
stop() {
    if [ -n "$server" ]; then kill "$server" 2>/dev/null && wait "$server" || true; fi
    server=
}
cleanup() {
    stop
    if [ -z "${WORK:-}" ]; then rm -rf "$work"; fi
}
trap cleanup EXIT
mkdir -p "$work" && cd "$work"
SECONDS=0

say() { printf '\n# %s\n' "$*"; }
fail() {
    echo "$*" >&2
    exit 1
}
mlp() {
    printf '\n$ mlp %s\n' "$*"
    "$MLP" "$@"
}
commit() {
    printf '\n$ git commit -m "%s"\n' "$1"
    git add -A && git commit -q -m "$1"
}
# Ada works on the project, and her key and Sam's are those of signers.
signers() {
    git config user.name Ada && git config user.email ada@example.org
    for person in ada sam; do
        ssh-keygen -q -t ed25519 -N '' -C "$person" -f "$work/$person"
        printf '%s@example.org %s\n' "$person" "$(cut -d' ' -f1,2 "$work/$person.pub")" >>.mlp/allowed_signers
    done
    git config user.signingkey "$work/ada"
}
write_card() {
    cat >docs/digits.modelcard.md <<'CARD'
# Model card: digits

## Intended use

Reads one handwritten digit from a 28x28 grey image.

## Limits

Digits that are centred and upright; not letters, not several digits, not photographs.
CARD
    commit "Write the model card"
}
# Starts a server and waits until it says where it is.
serve() {
    printf '\n$ mlp serve %s --port 0 --json\n' "$*"
    "$MLP" --json serve "$@" --port 0 >"$work/serve.json" 2>"$work/serve.log" &
    server=$!
    port=
    for _ in $(seq 200); do
        port=$(sed -n 's/.*"url": *"http:[^"]*:\([0-9][0-9]*\)".*/\1/p' "$work/serve.json" | head -n 1)
        if [ -n "$port" ]; then return; fi
        if ! kill -0 "$server" 2>/dev/null; then break; fi
        sleep 0.1
    done
    cat "$work/serve.json" "$work/serve.log" >&2
    fail "the server does not come up"
}
# A file of the data, packed or not.
unpacked() { if [ -e "$1.gz" ]; then gzip -dc "$1.gz"; else cat "$1"; fi; }

#!/usr/bin/env bash
# The same training on this machine and, over ssh, on a host: the weights are the same, bit for bit. The host is an sshd of our own on
# loopback, for which OpenSSH's server must be installed; nothing of ~/.ssh is used.
#
#   examples/mnist/remote.sh                           on loopback
#   REMOTE=user@machine examples/mnist/remote.sh         on a real host, by your own ssh configuration
#
# MLP    the program to use; built with `cargo build` if not given
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)
if [ -z "${MLP:-}" ]; then
    cargo build --manifest-path "$repository/Cargo.toml"
    MLP=${CARGO_TARGET_DIR:-$repository/target}/debug/mlp
fi

work=$(mktemp -d)
server=
cleanup() {
    if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap cleanup EXIT
# Your configuration of mlp stays as it is.
export XDG_CONFIG_HOME="$work/config"

mlp() {
    printf '\n$ mlp %s\n' "$*"
    "$MLP" "$@"
}

if [ -z "${REMOTE:-}" ]; then
    REMOTE=loopback
    for key in host user; do ssh-keygen -q -t ed25519 -N '' -f "$work/$key"; done
    cp "$work/user.pub" "$work/authorized_keys"
    port=$((20000 + $$ % 20000))
    if [ "$(id -u)" = 0 ]; then install -d -m 755 /run/sshd; fi
    printf '%s\n' "Port $port" "ListenAddress 127.0.0.1" "HostKey $work/host" "AuthorizedKeysFile $work/authorized_keys" \
        "PasswordAuthentication no" "KbdInteractiveAuthentication no" "PermitRootLogin prohibit-password" "StrictModes no" \
        "UsePAM no" "PidFile none" >"$work/sshd_config"
    "$(PATH=$PATH:/usr/sbin command -v sshd)" -D -f "$work/sshd_config" -E "$work/sshd.log" &
    server=$!
    printf '%s\n' "[127.0.0.1]:$port $(cut -d' ' -f1,2 "$work/host.pub")" >"$work/known_hosts"
    printf '%s\n' "Host loopback" " HostName 127.0.0.1" " Port $port" " User $(id -un)" " IdentityFile $work/user" \
        " IdentitiesOnly yes" " IdentityAgent none" " UserKnownHostsFile $work/known_hosts" >"$work/ssh_config"
    export MLP_SSH_CONFIG="$work/ssh_config"
    for _ in $(seq 100); do
        if ssh -F "$work/ssh_config" -o BatchMode=yes loopback true 2>/dev/null; then break; fi
        sleep 0.1
    done
fi

cd "$work"
mlp host add gpu1 --ssh "$REMOTE" --root "${ROOT:-$work/host-folder}"
mlp host check gpu1
mlp init digits --template mnist
cd digits
git config user.name Ada && git config user.email ada@example.org
mlp data download mnist
mlp data add mnist

digest() { tail -1 | sed -n 's/.*"outputs":{"model":"\([^"]*\)".*/\1/p'; }
printf '\n$ mlp train digits --on gpu1\n'
there=$("$MLP" train digits --on gpu1 --json | digest)
printf '\n$ mlp train digits --force\n'
again=$("$MLP" train digits --force --json | digest)
mlp eval digits
if [ -z "$there" ] || [ "$there" != "$again" ]; then
    echo "there: $there, here: $again" >&2
    exit 1
fi
printf '\n# The same weights there and here: %s (%s s in all)\n' "$there" "$SECONDS"

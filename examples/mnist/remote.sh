#!/usr/bin/env bash
# The same training on this machine, over ssh on a host, and in the queue of a Slurm cluster: the weights are the same, bit for bit. The
# host is an sshd of our own on loopback, the cluster a Slurm of our own with two nodes, for which no root is needed; OpenSSH's
# server and Slurm must be installed (tests/setup.sh does that). Nothing of ~/.ssh is used.
#
#   examples/mnist/remote.sh                             on loopback, and by Slurm
#   REMOTE=user@machine examples/mnist/remote.sh         on a real host, by your own ssh configuration
#
# MLP    the program to use; built with `cargo build` if not given
set -euo pipefail

# shellcheck source=examples/mnist/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

servers=()
halt() {
    # What runs in a queue outlives the daemons.
    if [ -e "$work/slurm.conf" ]; then SLURM_CONF="$work/slurm.conf" scancel --user "$(id -un)" 2>/dev/null || true; fi
    for server in ${servers[@]+"${servers[@]}"}; do kill "$server" 2>/dev/null && wait "$server" || true; done
    server=
}
trap 'halt; cleanup' EXIT
# Your configuration of mlp stays as it is.
export XDG_CONFIG_HOME="$work/config"

# A Slurm with two nodes on this machine: no root, no munge, no cgroups, no accounting.
slurm() {
    local me node
    me=$(id -un)
    {
        printf '%s\n' "ClusterName=example" "SlurmctldHost=$(hostname -s)(127.0.0.1)" "SlurmctldPort=$((port + 1))" \
            "SlurmUser=$me" "SlurmdUser=$me" "AuthType=auth/none" "CredType=cred/none" "StateSaveLocation=$work/slurm" \
            "SlurmdSpoolDir=$work/slurm/%n" "SlurmctldPidFile=$work/slurm/ctld.pid" "SlurmdPidFile=$work/slurm/%n.pid" \
            "SlurmctldLogFile=$work/slurm/ctld.log" "SlurmdLogFile=$work/slurm/%n.log" "ProctrackType=proctrack/linuxproc" \
            "TaskPlugin=task/none" "MpiDefault=none" "SwitchType=switch/none" "ReturnToService=2" \
            "SelectType=select/cons_tres" "SelectTypeParameters=CR_Core" "SlurmdParameters=config_overrides" \
            "AccountingStorageType=accounting_storage/none"
        for node in 1 2; do
            printf 'NodeName=n%s NodeHostname=%s NodeAddr=127.0.0.1 Port=%s CPUs=2\n' "$node" "$(hostname -s)" "$((port + 1 + node))"
        done
        echo "PartitionName=main Nodes=ALL Default=YES State=UP"
    } >"$work/slurm.conf"
    echo "CgroupAutomount=no" >"$work/cgroup.conf"
    mkdir -p "$work/slurm/n1" "$work/slurm/n2"
    local path=$PATH:/usr/sbin
    PATH=$path slurmctld -D -c -f "$work/slurm.conf" >"$work/slurm/out" 2>&1 &
    servers+=($!)
    for node in n1 n2; do
        PATH=$path slurmd -D -N "$node" -f "$work/slurm.conf" >>"$work/slurm/out" 2>&1 &
        servers+=($!)
    done
    for _ in $(seq 300); do
        if [ "$(SLURM_CONF="$work/slurm.conf" sinfo -h -N -o %T 2>/dev/null | grep -c '^idle')" = 2 ]; then return; fi
        sleep 0.1
    done
    echo "Slurm does not come up:" >&2
    tail "$work/slurm/out" "$work/slurm/"*.log >&2
    exit 1
}

cluster=
if [ -z "${REMOTE:-}" ]; then
    REMOTE=loopback
    for key in host user; do ssh-keygen -q -t ed25519 -N '' -f "$work/$key"; done
    cp "$work/user.pub" "$work/authorized_keys"
    port=$((20000 + $$ % 20000))
    if [ "$(id -u)" = 0 ]; then install -d -m 755 /run/sshd; fi
    printf '%s\n' "Port $port" "ListenAddress 127.0.0.1" "HostKey $work/host" "AuthorizedKeysFile $work/authorized_keys" \
        "PasswordAuthentication no" "KbdInteractiveAuthentication no" "PermitRootLogin prohibit-password" "StrictModes no" \
        "UsePAM no" "PidFile none" "SetEnv SLURM_CONF=$work/slurm.conf" >"$work/sshd_config"
    "$(PATH=$PATH:/usr/sbin command -v sshd)" -D -f "$work/sshd_config" -E "$work/sshd.log" &
    servers+=($!)
    printf '%s\n' "[127.0.0.1]:$port $(cut -d' ' -f1,2 "$work/host.pub")" >"$work/known_hosts"
    printf '%s\n' "Host loopback" " HostName 127.0.0.1" " Port $port" " User $(id -un)" " IdentityFile $work/user" \
        " IdentitiesOnly yes" " IdentityAgent none" " UserKnownHostsFile $work/known_hosts" >"$work/ssh_config"
    export MLP_SSH_CONFIG="$work/ssh_config"
    for _ in $(seq 100); do
        if ssh -F "$work/ssh_config" -o BatchMode=yes loopback true 2>/dev/null; then break; fi
        sleep 0.1
    done
    slurm
    cluster=yes
fi

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
if [ -n "$cluster" ]; then
    printf 'hosts:\n  hpc: {ssh: loopback, root: "%s", slurm: {partition: main}}\n' "$work/cluster-folder" >>mlp.yaml
    printf '\n$ mlp train digits --on hpc --force\n'
    queued=$("$MLP" train digits --on hpc --force --json | digest)
fi
printf '\n$ mlp train digits --force\n'
again=$("$MLP" train digits --force --json | digest)
mlp eval digits
printf '\n# The weights of digits\n#   on gpu1  %s\n' "$there"
if [ -n "$cluster" ]; then printf '#   by Slurm %s\n' "$queued"; fi
printf '#   here     %s\n' "$again"
if [ -z "$again" ] || [ "$there" != "$again" ] || [ "${queued-$again}" != "$again" ]; then
    fail "they differ"
fi
printf '# They are the same (%s s in all)\n' "$SECONDS"

#!/usr/bin/env bash
# An S3 server for the tests: Ceph's RADOS gateway with one monitor and one storage daemon, all on loopback, all data in
# memory. Arguments: port of the gateway, port of the monitor. Prints `ready`, runs until its standard input is closed,
# then ends its processes and removes its folder.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
gateway=$1 monitor=$2
dir=$(mktemp -d "${TMPDIR:-/tmp}/mlp-s3.XXXXXX")
children=()
cleanup() {
  trap - EXIT
  kill -9 "${children[@]}" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP
trap 'echo "radosgw.sh: line $LINENO failed" >&2; tail "$dir/log/out" >&2' ERR
mkdir -p "$dir"/{mon,osd,log,run}
uuid() { cat /proc/sys/kernel/random/uuid; }
export CEPH_CONF=$dir/ceph.conf
cluster=$(uuid)
cat >"$CEPH_CONF" <<C
[global]
fsid = $cluster
mon host = [v1:127.0.0.1:$monitor]
mon initial members = a
public network = 127.0.0.0/8
auth cluster required = none
auth service required = none
auth client required = none
auth allow insecure global id reclaim = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon warn on pool no redundancy = false
osd objectstore = memstore
memstore device bytes = 1073741824
run dir = $dir/run
admin socket = $dir/run/\$name.asok
pid file =
log file = $dir/log/\$name.log
debug ms = 0
ms bind ipv6 = false
ms bind ipv4 = true
[mon]
mon data = $dir/mon
[osd]
osd data = $dir/osd
osd memory target = 939524096
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:$gateway
rgw thread pool size = 32
rgw run sync thread = false
C
start() { "$@" >>"$dir/log/out" 2>&1 </dev/null & children+=($!); }
quietly() { timeout 120 "$@" >>"$dir/log/out" 2>&1; }
# Tries a command for so many seconds.
within() { local end=$((SECONDS + $1)); shift; until "$@"; do [ $SECONDS -lt $end ] || return 1; sleep 0.2; done; }
until_true() { within 120 "$@" || { echo "gave up on: $*" >&2; tail "$dir/log/out" >&2; exit 1; }; }
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
storage_is_up() { timeout 10 ceph osd stat 2>/dev/null | grep -q '1 up'; }
answers() { curl -s -o /dev/null -m 2 "http://127.0.0.1:$gateway/"; }

quietly monmaptool --create --fsid "$cluster" --addv a "[v1:127.0.0.1:$monitor]" "$dir/monmap"
quietly ceph-mon --mkfs -i a --monmap "$dir/monmap" -c "$CEPH_CONF"
start ceph-mon -f -i a -c "$CEPH_CONF"
until_true listens "$monitor"
quietly ceph mon stat
storage=$(uuid)
quietly ceph osd create "$storage"
quietly ceph osd crush add-bucket default root || true
quietly ceph osd crush add 0 1.0 root=default host=localhost || true
quietly ceph-osd -i 0 --mkfs --osd-uuid "$storage" -c "$CEPH_CONF"
# Now and then the daemon ends at its first start; it is started again at once.
storage_runs() { kill -0 "${children[-1]}" 2>/dev/null; }
up_or_gone() { storage_is_up || ! storage_runs; }
for _ in 1 2 3 4 5; do
  start ceph-osd -f -i 0 -c "$CEPH_CONF"
  within 30 up_or_gone || true
  if storage_runs; then break; fi
done
until_true storage_is_up
start radosgw -f -n client.rgw -c "$CEPH_CONF"
until_true answers
quietly radosgw-admin user create --uid=mlp --display-name=mlp --access-key=mlpkey --secret-key=mlpsecret
# SHA-256 of nothing: the gateway wants it in the signature, and curl leaves it out.
nothing=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
until_true curl -sf -o /dev/null -X PUT -H "x-amz-content-sha256: $nothing" \
  --aws-sigv4 aws:amz:us-east-1:s3 --user mlpkey:mlpsecret "http://127.0.0.1:$gateway/test"
echo ready
cat >/dev/null || true

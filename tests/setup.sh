#!/usr/bin/env bash
# Installs what the tests need and is not there yet, on Debian and Ubuntu; does nothing where all is there.
#   git, ssh-keygen   repositories and signatures
#   curl              makes the bucket of the S3 server
#   python3-venv      the independent reader of stores; two packages go to target/reader
#   radosgw, ceph-*   the S3 server (Ceph): 66 MB to download, 259 MB on disk, nothing is started
set -euo pipefail
declare -A packages=(
  [git]=git [ssh-keygen]=openssh-client [curl]=curl
  [radosgw]=radosgw [ceph-mon]=ceph-mon [ceph-osd]=ceph-osd [ceph]=ceph-common [monmaptool]=ceph-common
)
missing=()
for program in "${!packages[@]}"; do
  PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || missing+=("${packages[$program]}")
done
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
reader() {
  local place packages=(blake3==1.0.11 zstandard==0.25.0)
  place="$(dirname "${BASH_SOURCE[0]}")/../target/reader"
  if [ "$(cat "$place/installed" 2>/dev/null)" = "${packages[*]}" ]; then return; fi
  python3 -m venv "$place"
  "$place/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
  echo "${packages[*]}" >"$place/installed"
}
if [ ${#missing[@]} = 0 ]; then reader; exit; fi
mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
if ! command -v apt-get >/dev/null; then
  echo "the tests need these programs, which are not here: ${missing[*]} (names of Debian packages)" >&2
  exit 1
fi
as_root=(); [ "$(id -u)" = 0 ] || as_root=(sudo)
echo "installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"
reader

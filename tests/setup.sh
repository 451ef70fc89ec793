#!/usr/bin/env bash
# Installs what the tests need and is not there yet, on Debian and Ubuntu; does nothing where all is there.
#   git, ssh-keygen   repositories and signatures; git-lfs' files to import
#   curl              makes the bucket of the S3 server
#   python3-venv      the independent reader of stores; two packages go to target/reader
#   python3-venv      also onnxruntime, which runs exported models; it goes to target/onnx: 213 MB
#   python3-venv      also model-signing, the public verifier of signed models; it goes to target/signing: 95 MB
#   python3-venv      also the public schemas of what others read (CycloneDX, Kubernetes, GitHub, GitLab); they go to target/formats: 170 MB
#   nginx, sshd       the WebDAV, web and SFTP servers, and hosts; nothing is started
#   slurm*, sbatch    a cluster of two nodes; nothing is started
#   mkfs.xfs          a file system that shares blocks between files
#   skopeo            reads the container images that models are packed as
#   faketime          clocks that are wrong
#   ip                cables of machines in networks of their own
#   node, npm         run Azurite (Azure Blob Storage) and s3rver (an S3 server that lies), which go to target/servers: 400 MB
#   radosgw, ceph-*   the S3 server (Ceph): 66 MB to download, 259 MB on disk, nothing is started
set -euo pipefail
declare -A packages=(
  [git]=git [git-lfs]=git-lfs [ssh-keygen]=openssh-client [curl]=curl [sshd]=openssh-server [slurmctld]=slurmctld [slurmd]=slurmd [sbatch]=slurm-client [ip]=iproute2 [nginx]=nginx-light [node]=nodejs [npm]=npm [faketime]=faketime [mkfs.xfs]=xfsprogs [skopeo]=skopeo
  [radosgw]=radosgw [ceph-mon]=ceph-mon [ceph-osd]=ceph-osd [ceph]=ceph-common [monmaptool]=ceph-common
)
missing=()
for program in "${!packages[@]}"; do
  PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || missing+=("${packages[$program]}")
done
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
[ -e /usr/lib/nginx/modules/ngx_http_dav_ext_module.so ] || missing+=(libnginx-mod-http-dav-ext)
servers() {
  local place packages=(azurite@3.37.0 s3rver@3.7.1)
  place="$(dirname "${BASH_SOURCE[0]}")/../target/servers"
  if [ "$(cat "$place/installed" 2>/dev/null)" = "${packages[*]}" ]; then return; fi
  mkdir -p "$place"
  (cd "$place" && echo '{"private": true}' >package.json && npm install --no-audit --no-fund --loglevel=error "${packages[@]}" >&2)
  echo "${packages[*]}" >"$place/installed"
}
# Python packages in a folder of their own below target/.
python() {
  local name=$1 place
  shift
  place="$(dirname "${BASH_SOURCE[0]}")/../target/$name"
  if [ "$(cat "$place/installed" 2>/dev/null)" = "$*" ]; then return; fi
  python3 -m venv "$place"
  "$place/bin/pip" install --quiet --disable-pip-version-check "$@"
  echo "$*" >"$place/installed"
}
rest() {
  python reader blake3==1.0.11 zstandard==0.25.0
  python onnx onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
  # pyOpenSSL is imported by model-signing and not among what it says it needs.
  python signing model-signing==1.1.1 pyopenssl==26.4.0
  python formats "cyclonedx-python-lib[json-validation]==11.12.0" kubernetes-validate==1.37.0 check-jsonschema==0.39.0
  servers
}
if [ ${#missing[@]} = 0 ]; then rest; exit; fi
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
rest

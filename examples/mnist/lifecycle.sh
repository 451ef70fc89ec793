#!/usr/bin/env bash
# The whole life of a model: refused, reproduced, approved by a second person, served, tried in the shadow and by a few clients, watched,
# rolled back and audited. Synthetic digits, no network.
#
# MLP    the program to use; built with `cargo build` if not given
# WORK   an empty folder to work in, which is kept; a temporary folder, removed at the end, if not given
# MODEL_SIGNING   the public tool `model_signing`; the step that needs it is left out where it is neither given nor found
set -euo pipefail

# shellcheck source=examples/mnist/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# Runs mlp, which must refuse with status 1 and say this.
refused() {
    local word=$1 status=0
    shift
    printf '\n$ mlp %s\n' "$*"
    "$MLP" "$@" >"$work/said" 2>&1 || status=$?
    cat "$work/said"
    if [ "$status" != 1 ]; then fail "it ended with $status and not with 1"; fi
    if ! grep -q -- "$word" "$work/said"; then fail "it does not say \`$word\`"; fi
}

say "A project, and who may sign: Ada, who trains, and Sam, who approves models"
mlp init digits --template mnist --profile product
cd digits
signers

say "Few digits, few epochs; staging asks for a reproduction; answers are logged and watched"
sed -i.bak -e 's/roles: {model: \[\]/roles: {model: [sam@example.org]/' -e 's/train: 12000, test: 2000/train: 6000, test: 1000/' \
    -e 's/rows: {min: 10000}/rows: {min: 5000}/' -e 's/min: 500}/min: 300}/' -e 's/epochs: 5/epochs: 2/' \
    -e 's/^  staging:$/&\n    keep: 2/' \
    -e 's/^      floor: {metric.*/&\n      repro: {reproduce: {tolerance: 0}}/' mlp.yaml
rm mlp.yaml.bak
sed -i.bak -e 's/^serve: .*/serve:\n  log: {sample: 1.0}\n  canary: {min_requests: 20, abort: [{error_rate: {max: 0.01}}, {disagreement: {max: 0.2}}]}/' \
    -e 's/window: 1000/window: 300/' mlp.yaml
rm mlp.yaml.bak
mlp check
mlp data download mnist
mlp data add mnist
commit "Begin"

say "Trained, evaluated, registered. Refused: nobody has shown that it can be trained again"
mlp train digits
mlp eval digits
mlp promote digits --to candidate
refused 'mlp reproduce digits@1' promote digits@1 --to staging
mlp reproduce digits@1

say "Refused: the model card still says TODO. Ada writes it"
refused 'TODO' promote digits@1 --to staging
write_card
mlp promote digits@1 --to staging

say "Refused: production wants somebody else's signature. Sam gives it"
refused 'mlp approve' promote digits@1 --to production
mlp approve digits@1 --to production --key "$work/sam"
mlp promote digits@1 --to production
mlp gate verify digits@1

say "Where does it come from, and what rests on these data?"
mlp why digits@production
mlp impact mnist

say "A second version, and one that learned nothing"
mlp train digits --seed 7
mlp model register digits
mlp train digits --set 'train.schedule.one_cycle.max_lr=0.000001' --set train.ema=null --set train.epochs=1
mlp model register digits

unpacked data/mnist/t10k-images-idx3-ubyte >"$work/images"
# $1 images of the test part from number $2 on, as the body of a request; with $3, the other way round: black on white.
images() {
    od -An -v -tu1 -w784 -j $((16 + $2 * 784)) -N $(($1 * 784)) "$work/images" |
        awk -v inverted="${3:-}" 'BEGIN { printf "{\"instances\": [" }
            { printf "%s", (NR > 1 ? ",[" : "["); for (i = 1; i <= NF; i++) printf "%s%d", (i > 1 ? "," : ""), (inverted ? 255 - $i : $i); printf "]" }
            END { print "]}" }'
}
ask() { curl -sS --fail-with-body -D "$work/headers" -H 'content-type: application/json' "$@" --data-binary @- "http://127.0.0.1:$port/predict"; }
# Waits until this version answers.
answers() {
    for _ in $(seq 100); do
        images 1 0 | ask >/dev/null
        if grep -qi "^x-mlp-version: $1" "$work/headers"; then return; fi
        sleep 0.1
    done
    cat "$work/serve.log" >&2
    fail "version $1 does not answer"
}

say "The second is asked what clients ask, off their path; then it is evidence how often it agrees"
serve digits@production --shadow digits@2
images 200 0 | ask >/dev/null
answers 1
stop
cat "$work/serve.log"
grep -q 'shadow' "$work/serve.log" || fail "nothing is said of the shadow"

say "The third answers half of the clients, until it disagrees too often"
serve digits@production --canary digits@3=50%
for client in $(seq 60); do images 5 $((client * 5)) | ask -H "x-mlp-key: client-$client" >/dev/null; done
for _ in $(seq 50); do
    if curl -sS "http://127.0.0.1:$port/metrics" | grep -q '^mlp_canary_aborted.* 1$'; then break; fi
    sleep 0.1
done
curl -sS "http://127.0.0.1:$port/metrics" | grep '^mlp_canary'
curl -sS "http://127.0.0.1:$port/metrics" | grep -q '^mlp_canary_aborted.* 1$' || fail "the canary goes on"

say "The second goes through the gates while the server runs, which follows"
mlp reproduce digits@2
mlp approve digits@2 --to production --key "$work/sam"
mlp promote digits@2 --to staging
mlp promote digits@2 --to production
answers 2

say "No alarm on digits as they were; an alarm when they come black on white"
images 300 0 | ask >/dev/null
sleep 1
mlp monitor digits@production
images 300 300 inverted | ask >/dev/null
sleep 1
refused 'breach' monitor digits@production

say "Back to the version before"
mlp rollback digits --stage production
answers 1
stop

say "What others get, and what stands behind it"
openssl ecparam -name prime256v1 -genkey -noout -out "$work/signing.pem"
openssl ec -in "$work/signing.pem" -pubout -out "$work/signing.pub.pem" 2>/dev/null
mlp model attest digits@production --key "$work/signing.pem" --out "$work/statements"
mlp model pull digits@production "$work/package" --verify
mlp dossier digits@production "$work/dossier"
ls "$work/statements" "$work/package" "$work/dossier"
signing=${MODEL_SIGNING:-$(command -v model_signing || true)}
if [ -n "$signing" ]; then
    mlp model export digits@production "$work/export"
    printf '\n$ model_signing verify key …\n'
    # What mlp notes about the package is not among the files of the version.
    "$signing" verify key "$work/export" --signature "$work/statements/model.sig" --public_key "$work/signing.pub.pem" \
        --ignore-paths "$work/export/mlp-model.json"
fi
mlp model history digits
mlp audit
mlp status
say "Done in $SECONDS s"

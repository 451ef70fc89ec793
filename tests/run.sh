#!/usr/bin/env bash
# Installs what the tests need and runs all of them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ -x tests/setup.sh ]; then tests/setup.sh; fi
cargo test "$@"

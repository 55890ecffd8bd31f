#!/usr/bin/env bash
# From a bare Debian 12 to a finished DEITA data set: installs packages, builds, gets the demo model,
# runs the pipeline. Arguments are handed to `retort run`, e.g. scripts/demo.sh --seed 7.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install_packages.sh
scripts/build.sh release retort
retort=build/release/retort
"$retort" pull smollm2-135m-instruct
"$retort" run examples/deita.yaml --output out/deita "$@"

#!/usr/bin/env bash
# Configures and builds one preset (default release): all targets, or those named.
#   scripts/build.sh [PRESET [TARGET...]]
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}
shift || true
mkdir -p build
log=build/$preset.configure.log
if ! cmake --preset "$preset" >"$log" 2>&1; then
  tail -n 30 "$log" >&2
  exit 1
fi
cmake --build --preset "$preset" --parallel "$(nproc)" ${1:+--target "$@"}

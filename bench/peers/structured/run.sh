#!/usr/bin/env bash
# Installs the peers into build/structured_peers/venv (their wheels are some gigabytes), unpacks
# MaskBench and compares. Arguments go to compare.py.
set -euo pipefail
cd "$(dirname "$0")/../../.."
home=build/structured_peers
shared=${RETORT_SHARED:-../shared/data}
build=${RETORT_BUILD:-build/release}
if [ ! -x "$home/venv/bin/python" ]; then python3 -m venv "$home/venv"; fi
"$home/venv/bin/pip" install --quiet -r bench/peers/structured/requirements.txt
if [ ! -d "$home/maskbench" ]; then tar --zstd -xf "$shared/maskbench/maskbench.tar.zst" -C "$home"; fi
if [ ! -x "$build/bench/structured_masks" ]; then
  cmake --preset "$(basename "$build")" >/dev/null
  ninja -C "$build" structured_masks
fi
exec "$home/venv/bin/python" bench/peers/structured/compare.py \
  --retort "$build/bench/structured_masks" --maskbench "$home/maskbench" "$@"

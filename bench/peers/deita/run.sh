#!/usr/bin/env bash
# Installs Distilabel into build/deita_peer/venv (some gigabytes, with torch), writes the demo
# model's weights in bf16 to build/deita_peer/model and compares. Arguments go to compare.py.
set -euo pipefail
cd "$(dirname "$0")/../../.."
home=build/deita_peer
build=${RETORT_BUILD:-build/release}
[ -x "$build/retort" ] || scripts/build.sh "$(basename "$build")" retort
if [ ! -x "$home/venv/bin/python" ]; then python3 -m venv "$home/venv"; fi
"$home/venv/bin/pip" install --quiet -r bench/peers/deita/requirements.txt
"$build/retort" pull smollm2-135m-instruct
if [ ! -e "$home/model/model.safetensors" ]; then
  gguf=$(find "${RETORT_HOME:-$HOME/.cache/retort}/models/smollm2-135m-instruct" -name '*.gguf')
  "$home/venv/bin/python" bench/peers/deita/weights.py "$gguf" "$home/model"
fi
exec "$home/venv/bin/python" bench/peers/deita/compare.py --retort "$build/retort" --home "$home" "$@"

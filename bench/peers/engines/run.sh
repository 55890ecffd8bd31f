#!/usr/bin/env bash
# Installs the peers, each into its own virtual environment under build/engine_peers, and compares.
# llama.cpp is built for this very processor, which takes a while; a peer that does not install is
# named and left out. Arguments go to compare.py.
set -euo pipefail
cd "$(dirname "$0")/../../.."
home=build/engine_peers
build=${RETORT_BUILD:-build/release}
mkdir -p "$home"

# NAME REQUIREMENT...: into $home/NAME, once. Its output is in $home/NAME.log.
install() {
  local name=$1
  shift
  if [ -e "$home/$name/installed" ]; then return; fi
  echo "installing $*" >&2
  if python3 -m venv "$home/$name" && "$home/$name/bin/pip" install "$@" >"$home/$name.log" 2>&1
  then
    touch "$home/$name/installed"
  else
    echo "$* does not install: see $home/$name.log" >&2
  fi
}

export CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-2}
export CMAKE_ARGS=${CMAKE_ARGS:--DGGML_NATIVE=ON}
install llamacpp --no-binary llama-cpp-python llama-cpp-python==0.3.36
install openvino-genai openvino-genai==2026.4.1.0
install compare matplotlib==3.11.2
[ -e "$home/compare/installed" ]

if [ ! -x "$build/retort" ]; then
  cmake --preset "$(basename "$build")" >/dev/null
  ninja -C "$build" retort
fi
exec "$home/compare/bin/python" bench/peers/engines/compare.py --home "$home" \
  --retort "$build/retort" "$@"

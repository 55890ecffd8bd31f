#!/usr/bin/env bash
# Installs the peers, each into its own virtual environment under build/engine_peers, writes the
# models (models.py) and compares. llama.cpp is built for this very processor, which takes a while,
# where the processor has AMX once more without it, which for some models is no slower, and for
# --avx2. A peer that does not install is named and left out. Arguments go to compare.py.
set -euo pipefail
cd "$(dirname "$0")/../../.."
home=build/engine_peers
build=${RETORT_BUILD:-build/release}
mkdir -p "$home"

# NAME ARGUMENT...: what pip is to install into $home/NAME, once. Its output is in $home/NAME.log.
install() {
  local name=$1
  shift
  if [ -e "$home/$name/installed" ]; then return; fi
  echo "installing $name" >&2
  if python3 -m venv "$home/$name" && "$home/$name/bin/pip" install "$@" >"$home/$name.log" 2>&1
  then
    touch "$home/$name/installed"
  else
    echo "$name does not install: see $home/$name.log" >&2
  fi
}

# NAME COMPILER_FLAGS [OPTION...]: llama.cpp, for this processor unless options say other. Not from
# pip's cache, which knows nothing of flags.
install_llamacpp() {
  local name=$1 flags=$2
  shift 2
  CMAKE_ARGS="${*:--DGGML_NATIVE=ON} -DCMAKE_C_FLAGS='$flags' -DCMAKE_CXX_FLAGS='$flags'" \
    install "$name" --no-cache-dir --no-binary llama-cpp-python llama-cpp-python==0.3.36 \
    gguf==0.19.0 transformers==4.57.6
}

export CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-2}
install_llamacpp llamacpp "-include $PWD/bench/peers/engines/gcc_tiles.h"
if grep -q amx_tile /proc/cpuinfo; then
  install_llamacpp llamacpp-avx512 "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
fi
for argument in "$@"; do
  if [ "$argument" = --avx2 ]; then
    install_llamacpp llamacpp-avx2 "" -DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON \
      -DGGML_F16C=ON -DGGML_BMI2=ON
  fi
done
install openvino-genai openvino-genai==2026.4.1.0
# Its own requirements name a build of torch that is not in the index.
install vllm --no-deps -r bench/peers/engines/vllm_requirements.txt
install compare matplotlib==3.11.2
[ -e "$home/compare/installed" ]

mkdir -p build
cmake --preset "$(basename "$build")" -DRETORT_BENCHMARKS=ON >"$build.configure.log"
ninja -C "$build" retort machine >&2
"$build/retort" pull smollm2-135m-instruct >&2
smollm2=$(find "${RETORT_HOME:-$HOME/.cache/retort}/models/smollm2-135m-instruct" -name '*.gguf')
"$home/llamacpp/bin/python" bench/peers/engines/models.py "$smollm2" "$home/models" \
  2>"$home/models.log" || echo "not all models were written: see $home/models.log" >&2
exec "$home/compare/bin/python" bench/peers/engines/compare.py --home "$home" --build "$build" \
  --smollm2 "$smollm2" "$@"

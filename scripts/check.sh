#!/usr/bin/env bash
# The slow checks: formatting, clang-tidy, all tests under ASan/UBSan and TSan, every fuzzer, every mutant.
#   scripts/check.sh [format] [tidy] [asan] [tsan] [fuzz] [mutations]     all of them without arguments
#   RETORT_FUZZ_SECONDS=600 scripts/check.sh fuzz             how long each fuzzer runs (default 60)
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install_packages.sh scripts/packages.txt scripts/packages_check.txt
checks=("$@")
[ ${#checks[@]} -gt 0 ] || checks=(format tidy asan tsan fuzz mutations)
failed=()

check_format() {
  git ls-files 'src/*.cc' 'src/*.h' 'tests/*.cc' 'tests/*.h' 'bench/*.cc' |
    xargs clang-format --dry-run -Werror
}

check_tidy() {
  cmake --preset tidy >/dev/null
  git ls-files 'src/*.cc' | grep -vE '_(test|bench|fuzz)\.cc$' |
    xargs -P "$(nproc)" -n 4 clang-tidy-16 -p build/tidy --quiet --warnings-as-errors='*'
}

sanitized_tests() {
  local preset=$1
  shift
  scripts/build.sh "$preset"
  # Where a sanitizer stands before dlopen, the RUNPATH by which the module of FAISS is found is not ours.
  env LD_LIBRARY_PATH="$PWD/build/$preset" "$@" ctest --test-dir "build/$preset" --parallel "$(nproc)" --output-on-failure --no-tests=error
}
check_asan() {
  # Not detect_stack_use_after_return: GCC 12 then takes memory for frames that is aligned to less than
  # vectors are (its bug 110027).
  sanitized_tests asan ASAN_OPTIONS=detect_stack_use_after_return=0 UBSAN_OPTIONS=print_stacktrace=1
}
check_tsan() {
  # TSan sees no barrier of GCC's OpenMP, which FAISS uses.
  sanitized_tests tsan OMP_NUM_THREADS=1
}

check_fuzz() {
  scripts/build.sh fuzz
  local seconds=${RETORT_FUZZ_SECONDS:-60} fuzzer name
  for fuzzer in build/fuzz/src/retort/*_fuzz; do
    name=$(basename "$fuzzer" _fuzz)
    mkdir -p "build/fuzz/corpus/$name"
    echo "== $name for $seconds s"
    "$fuzzer" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=512 \
      -print_final_stats=1 \
      -artifact_prefix="build/fuzz/$name-" "build/fuzz/corpus/$name" \
      "tests/fuzz/corpus/$name" 2>"build/fuzz/$name.log" ||
      { tail -n 40 "build/fuzz/$name.log"; return 1; }
    grep -E 'number_of_executed_units|new_units_added' "build/fuzz/$name.log"
  done
}

check_mutations() {
  scripts/mutations.sh
}

for check in "${checks[@]}"; do
  echo "=== $check"
  # Not in a condition: there `set -e` would be off inside the function.
  set +e
  (set -e; "check_$check")
  status=$?
  set -e
  if [ "$status" -eq 0 ]; then echo "=== $check: clean"; else failed+=("$check"); fi
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "Not clean: ${failed[*]}"
  exit 1
fi
echo "All clean: ${checks[*]}"

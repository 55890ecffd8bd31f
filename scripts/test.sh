#!/usr/bin/env bash
# Installs what is missing, builds, runs every test. Ends with "N passed, N failed, N skipped" and
# exits 1 if any failed. Arguments are handed to ctest, e.g. scripts/test.sh -R golden.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install_packages.sh
scripts/build.sh release
# Tests on the real model need it; where it cannot be fetched they are skipped and say so.
build/release/retort pull smollm2-135m-instruct ||
  echo "The demo model could not be fetched: its tests will be skipped."

results=build/release/test_results.xml
log=build/release/test_output.log
rm -f "$results"
status=0
ctest --test-dir build/release --parallel "$(nproc)" --output-on-failure --no-tests=error \
  --output-junit test_results.xml "$@" >"$log" 2>&1 || status=$?
[ "$status" -eq 0 ] || grep -vE '  (Passed|Start) |^ *Start' "$log" | tail -n 400
count() { grep -c "<testcase .*status=\"$1\"" "$results" || true; }
passed=$(count run) failed=$(count fail) skipped=$(count notrun)
if [ "$skipped" -gt 0 ]; then
  echo "Skipped (the reasons are in $log's neighbour $results):"
  grep -o '<testcase name="[^"]*".*status="notrun"' "$results" | sed 's/.*name="\([^"]*\)".*/  \1/'
fi
[ "$status" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]

#!/usr/bin/env bash
# What the main job promises, shown on the demo pipeline and its real model, a short table a part.
#   scripts/acceptance.sh [demo] [batch] [kills] [repeat] [edits]    all of them without arguments
# demo    the data set: selected rows, failed rows, changed texts, scores; loads and memory
# batch   wall time against the same run one sequence at a time (after demo)
# kills   kill -9 in every step, a resume after each (RETORT_KILLS, default 20)
# repeat  one seed under ten settings of the engine
# edits   what runs again after an edit, by the engine's log
# RETORT_ACCEPTANCE_ROWS shortens each part (rows of the seeds); RETORT_PRESET picks another build.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${RETORT_PRESET:-release}
scripts/build.sh "$preset" retort acceptance_tests >/dev/null
retort=build/$preset/retort
tests=build/$preset/tests/acceptance_tests
"$retort" pull smollm2-135m-instruct
model=$(find "${RETORT_HOME:-$HOME/.cache/retort}/models/smollm2-135m-instruct" -name '*.gguf')
work=build/acceptance
mkdir -p "$work"
parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(demo batch kills repeat edits)
failed=()

run_demo() { # FOLDER ARGUMENT...
  local folder=$1
  shift
  rm -rf "$folder"
  mkdir -p "$folder"
  "$retort" run examples/deita.yaml --output "$folder" ${RETORT_ACCEPTANCE_ROWS:+--limit "$RETORT_ACCEPTANCE_ROWS"} \
    "$@" 2>"$folder/streams.txt" || { tail -n 5 "$folder/streams.txt" >&2; return 1; }
}

part_demo() {
  rm -f "$work"/cache.sqlite*
  run_demo "$work/demo" --cache "$work/cache.sqlite" || return 1
  # All rows before the selection, from the ledger: nothing is asked again.
  sed '/name: conversation/,$d' examples/deita.yaml >"$work/all.yaml"
  cp examples/seeds.jsonl "$work/"
  "$retort" run "$work/all.yaml" --output "$work/all" --cache "$work/cache.sqlite" --quiet \
    ${RETORT_ACCEPTANCE_ROWS:+--limit "$RETORT_ACCEPTANCE_ROWS"} || return 1
  python3 scripts/acceptance_report.py demo "$work/demo" "$work/all" "$model"
}

part_batch() {
  [ -e "$work/demo/run.json" ] || part_demo || return 1
  run_demo "$work/single" --no-cache --set models.judge.max_num_seqs=1 || return 1
  python3 scripts/acceptance_report.py batch "$work/demo" "$work/single"
}

acceptance() { # FILTER
  RETORT_ACCEPTANCE_MODEL=$model "$tests" --gtest_brief=1 --gtest_filter="$1"
}
part_kills() { acceptance 'Kills.*'; }
part_repeat() { acceptance 'Repeat.*'; }
part_edits() { acceptance 'Edits.*'; }

for part in "${parts[@]}"; do
  echo "== $part"
  "part_$part" || failed+=("$part")
done
[ ${#failed[@]} -eq 0 ] || { echo "failed: ${failed[*]}"; exit 1; }
echo "all shown: ${parts[*]}"

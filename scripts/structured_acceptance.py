#!/usr/bin/env python3
"""Structured output on a real model, judged by an independent validator.

Generations at temperature 1.0 and at most 1,024 tokens under the MaskBench files with tests whose file names have the
smallest SHA-256, with several seeds each: once as they come, once with `close: true`. Every answer that was not cut must be
JSON without repeated keys that Python's jsonschema accepts; with `close` none may be cut.

    scripts/structured_acceptance.py [--retort build/release/retort] [--files 50] [--seeds 10] [--modes free,close]

MaskBench is found in $RETORT_SHARED (default ../shared/data). The validator lives in a virtual environment under
build/structured, made here; where pip cannot install it the check is skipped, and says so.
"""
import argparse
import collections
import decimal
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import time

import jsonschema_venv

sys.set_int_max_str_digits(0)  # an integer may be long
ROOT = pathlib.Path(__file__).resolve().parent.parent
WORK = ROOT / "build" / "structured"

PIPELINE = """\
models:
  writer:
    path: smollm2-135m-instruct
    generation: {{temperature: 1.0, max_new_tokens: 1024}}
    max_num_seqs: 32
    context: 2048
steps:
  - {{name: load, type: LoadDataFromFileSystem, data_files: rows.jsonl}}
  - name: write
    type: TextGeneration
    llm: writer
    structured_output: {{column: shape, close: {close}}}
  - {{name: written, type: KeepColumns, columns: [id, file, generation]}}
"""


def maskbench_files(count):
    shared = pathlib.Path(os.environ.get("RETORT_SHARED", ROOT / ".." / "shared" / "data"))
    archive = shared / "maskbench" / "maskbench.tar.zst"
    if not archive.exists():
        print(f"skipped: {archive} is not there")
        sys.exit(0)
    folder = WORK / "maskbench"
    if not folder.exists():
        subprocess.run(["tar", "--zstd", "-xf", str(archive), "-C", str(WORK)], check=True)
    paths = sorted(folder.rglob("*.json"), key=lambda path: hashlib.sha256(path.name.encode()).digest())
    chosen = []
    for path in paths:
        case = json.loads(path.read_text())
        if case["tests"]:
            chosen.append((path.name, case["schema"]))
        if len(chosen) == count:
            break
    return chosen


def write_rows(folder, files, seeds):
    with open(folder / "rows.jsonl", "w") as rows:
        for name, schema in files:
            about = ""
            if isinstance(schema, dict):
                about = str(schema.get("title") or schema.get("description") or "")[:300]
            for seed in range(seeds):
                row = {
                    "id": f"{name}/{seed}",
                    "file": name,
                    "instruction": f"Write one realistic example of this as JSON: {about or name}",
                    "shape": {"format": "json", "schema": schema},
                }
                rows.write(json.dumps(row) + "\n")


def no_repeated_keys(pairs):
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError("a key is repeated")
    return dict(pairs)


def judge(schema, text):
    """None if the answer is right, else why not."""
    import jsonschema
    import referencing

    cls = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)

    def number(digits):
        # Exactly: 1e400 is an integer, if not in draft 4, and no double. Beyond 1e9999 the size does not matter.
        if cls is jsonschema.Draft4Validator:
            return float(digits)
        mantissa, _, exponent = digits.lower().partition("e")
        power = max(-9999, min(9999, int(exponent or 0)))
        exact = decimal.Decimal(f"{mantissa}e{power}")
        return int(exact) if exact == exact.to_integral_value() else float(digits)

    try:
        value = json.loads(text, object_pairs_hook=no_repeated_keys, parse_float=number)
    except ValueError as error:
        return f"no JSON: {error}"
    error = jsonschema.exceptions.best_match(cls(schema, registry=referencing.Registry()).iter_errors(value))
    return None if error is None else f"{error.json_path}: {error.message[:200]}"


def run(retort, mode, files, seeds):
    folder = WORK / mode
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder, files, seeds)
    (folder / "pipeline.yaml").write_text(PIPELINE.format(close="true" if mode == "close" else "false"))
    begin = time.monotonic()
    done = subprocess.run(
        [retort, "run", str(folder / "pipeline.yaml"), "--output", str(folder / "out"), "--no-cache"],
        stdout=open(folder / "stdout.txt", "w"), stderr=open(folder / "stderr.txt", "w"))
    seconds = time.monotonic() - begin
    schemas = dict(files)
    counts = collections.Counter()
    wrong = []
    for line in open(folder / "out" / "written.jsonl"):
        row = json.loads(line)
        if row["generation"] is None:
            continue
        reason = judge(schemas[row["file"]], row["generation"])
        counts["valid" if reason is None else "wrong"] += 1
        if reason is not None:
            wrong.append((row["id"], reason, row["generation"]))
    failed = folder / "out" / "failed.jsonl"
    reasons = collections.Counter()
    for line in open(failed) if failed.exists() else ():
        reason = json.loads(line)["reason"]
        cut = "was cut" in reason
        counts["cut" if cut else "refused"] += 1
        if not cut:
            reasons[reason[:160]] += 1
    total = len(files) * seeds
    print(f"{mode}: {total} generations in {seconds:.0f} s (exit {done.returncode}): {counts['valid']} valid, "
          f"{counts['wrong']} wrong, {counts['cut']} cut, {counts['refused']} refused")
    for reason, count in reasons.most_common():
        print(f"  refused {count}: {reason}")
    for name, reason, text in wrong[:20]:
        print(f"  wrong {name}: {reason}\n    {text[:300]}")
    good = counts["wrong"] == 0 and counts["valid"] + counts["cut"] == total
    return good and (mode != "close" or counts["valid"] == total)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--retort", default=str(ROOT / "build" / "release" / "retort"))
    parser.add_argument("--files", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--modes", default="free,close")
    arguments = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    jsonschema_venv.enter()
    files = maskbench_files(arguments.files)
    results = [run(arguments.retort, mode, files, arguments.seeds) for mode in arguments.modes.split(",")]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()

"""Judges the folders that scripts/acceptance.sh makes: one line per promise, exit status 1 if one
is broken. Used: acceptance_report.py demo DEMO ALL MODEL | batch DEMO SINGLE"""

import itertools
import json
import math
import os
import sys

MIB = 1 << 20


def read_rows(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def read_report(folder):
    with open(os.path.join(folder, "run.json"), encoding="utf-8") as file:
        return json.load(file)


def changed_texts(rows):
    """(texts that differ from their parent, all evolved texts), instructions and responses."""
    changed = total = 0
    for seed, of_seed in itertools.groupby(rows, key=lambda row: row["instruction"]):
        of_seed = list(of_seed)
        parent = seed
        # A row per response; those of one instruction lie together.
        instructions = [(of_seed[i]["evolved_instruction"], of_seed[i : i + 2])
                        for i in range(0, len(of_seed), 2)]
        for number, (instruction, responses) in enumerate(instructions):
            if number > 0:
                total += 1
                changed += instruction.strip() != parent.strip()
            parent = instruction
            total += 1
            changed += (responses[1]["evolved_response"] or "").strip() != (
                responses[0]["evolved_response"] or "").strip()
    return changed, total


def demo_lines(demo, all_rows, model_file):
    report = read_report(demo)
    model = report["models"][0]
    selected = read_rows(os.path.join(demo, "select.jsonl"))
    rows = read_rows(os.path.join(all_rows, "one_response_per_row.jsonl"))
    scores = [row[column] for row in rows
              for column in ("evol_instruction_score", "evol_response_score")]
    finite = all(isinstance(score, float) and math.isfinite(score) for score in scores)
    values = len(set(scores))
    failed = report["rows_failed"] / max(1, len(rows))
    changed, total = changed_texts(rows)
    file_bytes = os.path.getsize(model_file)
    bound = model["weight_bytes"] + model["kv_bytes"] + 150e6
    yield len(selected) == 20, "rows selected", f"{len(selected)}", "= 20"
    yield failed <= 0.02, "rows failed", f"{failed:.1%}", "<= 2 %"
    yield changed >= 0.8 * total, "texts unlike their parent", f"{changed}/{total}", ">= 80 %"
    yield finite and values > 1, "different finite scores", f"{values} of {len(scores)}", "> 1"
    yield report["wall_s"] <= 300, "wall time", f"{report['wall_s']:.0f} s", "<= 300 s"
    yield report["model_loads"] == 1, "model loads", f"{report['model_loads']}", "= 1"
    yield model["consumers"] == 5, "consumers", f"{model['consumers']}", "= 5"
    mean = model["mean_sequences_per_step_until_90_percent"]
    yield mean >= 16, "sequences per step until 90 %", f"{mean:.1f}", ">= 16"
    yield (model["weight_bytes"] <= 1.1 * file_bytes, "packed weights",
           f"{model['weight_bytes'] / MIB:.1f} MiB", f"<= 1.1 x {file_bytes / MIB:.1f} MiB")
    yield (model["kv_bytes"] <= 512 * MIB, "keys and values", f"{model['kv_bytes'] / MIB:.1f} MiB",
           "<= 512 MiB")
    peak = report["peak_anonymous_bytes"]
    yield peak <= bound, "anonymous peak", f"{peak / 1e6:.0f} MB", f"<= {bound / 1e6:.0f} MB"


def batch_lines(demo, single):
    walls = [read_report(folder)["wall_s"] for folder in (demo, single)]
    ratio = walls[0] / walls[1]
    yield (ratio <= 0.4, "wall time against max_num_seqs 1",
           f"{walls[0]:.0f} s / {walls[1]:.0f} s = {ratio:.2f}", "<= 0.40")
    outputs = []
    for folder in (demo, single):
        with open(os.path.join(folder, "select.jsonl"), "rb") as file:
            outputs.append(file.read())
    same = outputs[0] == outputs[1]
    yield same, "output", "identical" if same else "different", "identical"


def main():
    lines = {"demo": demo_lines, "batch": batch_lines}[sys.argv[1]](*sys.argv[2:])
    good = True
    for holds, what, found, wanted in lines:
        good = good and holds
        print(f"{'ok ' if holds else 'NOT'}  {what:<34} {found:<28} {wanted}")
    sys.exit(0 if good else 1)


main()

"""DEITA end to end, by Retort and by Distilabel with TransformersLLM, one after the other on the same cores.

  bench/peers/deita/run.sh [--rows 12] [--repeats 2]

Both load the same bf16 weights and read the same seeds; evolutions, caps on tokens and listwise scoring are equal
(distilabel_deita.py, deita.yaml), the words of the prompts are each one's own. Distilabel is timed up to its last
step, Retort as a whole process, without its cache. Writes bench/results/DATE-CPU-deita.json and prints a table.
"""

import argparse
import datetime
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import result_file  # noqa: E402

ROOT = HERE.parents[2]


def run_retort(binary, model, seeds, rows, folder):
    pipeline = (HERE / "deita.yaml").read_text(encoding="utf-8")
    pipeline = pipeline.replace("MODEL", json.dumps(str(model))).replace("SEEDS", json.dumps(str(seeds)))
    (folder / "deita.yaml").write_text(pipeline, encoding="utf-8")
    begun = time.time()
    done = subprocess.run(
        [binary, "run", folder / "deita.yaml", "--output", folder / "out", "--no-cache", "--quiet", "--limit", str(rows)],
        check=False)
    seconds = time.time() - begun
    if done.returncode not in (0, 1):  # 1: some answers had no scores, as a small model's may
        sys.exit(f"retort ended with {done.returncode}")
    report = json.loads((folder / "out" / "run.json").read_text(encoding="utf-8"))
    steps = {step["name"]: step for step in report["steps"]}
    return {
        "seconds": seconds,
        "rows": steps["embed"]["rows_out"],
        "engine_share": report["models"][0]["busy_share"] * report["wall_s"] / seconds,
        "engine_share_of_run": report["models"][0]["busy_share"],
        "completion_tokens": report["models"][0]["completion_tokens"],
        "dispatch_level": report["models"][0]["dispatch_level"],
        "rows_failed": report["rows_failed"],
    }


def run_distilabel(model, seeds, rows, folder):
    result = folder / "distilabel.json"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HOME": str(folder)}
    with open(folder / "distilabel.log", "w", encoding="utf-8") as log:
        done = subprocess.run(
            [sys.executable, HERE / "distilabel_deita.py", model, seeds, result, "--rows", str(rows)],
            stdout=log, stderr=log, env=environment, check=False)
    if not result.exists() or "seconds" not in (measured := json.loads(result.read_text(encoding="utf-8"))):
        print((folder / "distilabel.log").read_text(encoding="utf-8")[-4000:], file=sys.stderr)
        sys.exit(f"Distilabel did not reach its last step (status {done.returncode})")
    return measured


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--retort", type=pathlib.Path, default=ROOT / "build/release/retort")
    parser.add_argument("--home", type=pathlib.Path, default=ROOT / "build/deita_peer")
    parser.add_argument("--rows", type=int, default=12, help="seeds of examples/seeds.jsonl")
    parser.add_argument("--repeats", type=int, default=2, choices=range(1, 9), help="runs of Retort, before and after Distilabel's one")
    args = parser.parse_args()
    model = (args.home / "model").resolve()
    seeds = ROOT / "examples/seeds.jsonl"
    retort = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        for repeat in range(args.repeats):
            if repeat == args.repeats // 2:
                distilabel = run_distilabel(model, seeds, args.rows, folder)
                print(f"distilabel: {distilabel['seconds']:.1f} s, {distilabel['rows']} rows", flush=True)
            retort.append(run_retort(args.retort.resolve(), model, seeds, args.rows, folder))
            print(f"retort: {retort[-1]['seconds']:.1f} s, {retort[-1]['rows']} rows", flush=True)
    slowest = max(retort, key=lambda run: run["seconds"])
    ratio = distilabel["seconds"] / slowest["seconds"]
    result = {
        "date": datetime.date.today().isoformat(), "cpu": result_file.cpu_name(), "cores": os.cpu_count(),
        "load_average": os.getloadavg()[2], "seed_rows": args.rows, "distilabel": distilabel, "retort": retort,
        "ratio": ratio, "engine_share": slowest["engine_share"],
    }
    path = result_file.stem("deita").with_suffix(".json")
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"\n| seeds | Distilabel | Retort (slower run) | ratio | engine's share of Retort's time |\n|--:|--:|--:|--:|--:|\n"
          f"| {args.rows} | {distilabel['seconds']:.0f} s | {slowest['seconds']:.1f} s | {ratio:.0f} | "
          f"{100 * slowest['engine_share']:.1f} % |\n\nwritten to {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()

"""Retort and its peers on the same GGUF file, token ids and threads, in one run.

  bench/peers/engines/run.sh [--model F] [--rounds 3] [--batches 1,4,16,64] [--prompt 512]
                             [--tokens 64] [--busy] [--note "what ran beside"]

One process after another, round after round, so that a busy minute meets them all; each number is
the best of all rounds. Writes bench/results/DATE-CPU-engines.json and, beside it, a plot; prints
the table of docs/performance.md.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import result_file  # noqa: E402

ROOT = HERE.parents[2]
PEERS = {"llamacpp": "llama.cpp", "openvino-genai": "OpenVINO GenAI"}
RETORT = "Retort"
MODEL = (pathlib.Path.home() / ".cache/retort/models/smollm2-135m-instruct" /
         "SmolLM2-135M-Instruct.Q4_1.gguf")


def commands(options):
    common = ["--prompt", str(options.prompt), "--batches", options.batches, "--tokens",
              str(options.tokens), "--repeat", str(options.repeat)]
    found = {RETORT: [options.retort, "bench", str(options.model), "--json", *common]}
    for folder in options.peers.split(","):
        name = PEERS[folder]
        python = options.home / folder / "bin/python"
        if (options.home / folder / "installed").exists():
            found[name] = [python, HERE / "peer.py", folder, options.model, "--threads",
                           str(options.threads), *common]
        else:
            print(f"{name} is not installed: left out", file=sys.stderr)
    return found


def run(name, command, options, log):
    environment = os.environ | ({"OMP_WAIT_POLICY": "passive"} if options.busy else {})
    try:
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True, check=True,
                              timeout=options.timeout)
        return json.loads(done.stdout.splitlines()[-1] if name != RETORT else done.stdout)
    except subprocess.TimeoutExpired:
        print(f"{name}: took more than {options.timeout} s, left out of this round",
              file=sys.stderr)
        return None
    except (subprocess.SubprocessError, json.JSONDecodeError, IndexError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return None


def rows_of(report):
    """What a report says, by row of the table: tokens per second, and seconds to load."""
    rows = {}
    for m in report["measurements"]:
        if "tokens_per_s" in m:
            key = (f"prefill {m['tokens']}" if m["what"] == "prefill" else f"decode {m['batch']}")
            rows[key] = m["tokens_per_s"]
    rows["load to first token"] = report["load_to_first_token_s"]
    return rows


def is_time(row):
    return row.startswith("load")


def best_of(rounds):
    best = {}
    for report in rounds:
        for row, value in rows_of(report).items():
            choose = min if is_time(row) else max
            best[row] = choose(best.get(row, value), value)
    return best


def ratios(best):
    """Retort over the best peer: above 1 is faster, for times too."""
    found = {}
    for row, own in best[RETORT].items():
        peers = [rows[row] for name, rows in best.items() if name != RETORT and row in rows]
        if peers:
            found[row] = min(peers) / own if is_time(row) else own / max(peers)
    return found


def table(best, ratio):
    names = list(best)
    lines = ["| | " + " | ".join(names) + " | Retort : best peer |",
             "|---|" + "--:|" * (len(names) + 1)]
    for row in best[RETORT]:
        cells = []
        for name in names:
            value = best[name].get(row)
            cells.append("" if value is None else f"{value:.2f} s" if is_time(row)
                         else f"{value:,.0f}")
        factor = f"{ratio[row]:.2f}" if row in ratio else ""
        lines.append(f"| {row} | " + " | ".join(cells) + f" | {factor} |")
    return "\n".join(lines)


def plot(best, path):
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "engines"
    from matplotlib import pyplot
    rows = [row for row in best[RETORT] if not is_time(row)]
    figure, axis = pyplot.subplots(figsize=(8, 4))
    width = 0.8 / len(best)
    for i, (name, values) in enumerate(best.items()):
        at = [x + (i - (len(best) - 1) / 2) * width for x in range(len(rows))]
        bars = axis.bar(at, [values.get(row, 0) for row in rows], width, label=name)
        axis.bar_label(bars, fmt="{:,.0f}", fontsize=6)
    axis.set(yscale="log", ylabel="tokens/s", title=f"{MODEL.stem}, {os.cpu_count()} cores")
    axis.set_xticks(range(len(rows)), rows)
    axis.grid(axis="y", alpha=0.3)
    axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def write(options, reports, best, loads, rounds):
    options.output.mkdir(parents=True, exist_ok=True)
    stem = result_file.stem("engines", options.output)
    stem.with_suffix(".json").write_text(json.dumps({
        "cpu": result_file.cpu_name(), "threads": options.threads, "model": options.model.name,
        "note": options.note, "busy": options.busy, "load_averages": loads, "rounds": rounds,
        "versions": {name: found[0].get("version") for name, found in reports.items()
                     if name != RETORT},
        "dispatch_level": reports[RETORT][0]["dispatch_level"], "best": best,
        "ratio": ratios(best),
        "all": {name: [rows_of(r) for r in found] for name, found in reports.items()},
    }, indent=1) + "\n", encoding="utf-8")
    plot(best, stem.with_suffix(".svg"))
    print(f"written: {stem}.json and .svg", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--retort", required=True, help="the program")
    parser.add_argument("--home", required=True, type=pathlib.Path, help="the peers' folder")
    parser.add_argument("--model", type=pathlib.Path, default=MODEL, help="a GGUF file")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=2, help="within a round")
    parser.add_argument("--batches", default="1,4,16,64")
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--timeout", type=float, default=600, help="seconds for one process")
    parser.add_argument("--peers", default=",".join(PEERS), help="of " + ", ".join(PEERS))
    parser.add_argument("--busy", action="store_true",
                        help="other programs run beside: OpenMP's threads (llama.cpp's) sleep while "
                        "they wait, without which it falls to a tenth")
    parser.add_argument("--note", default="", help="kept with the results")
    parser.add_argument("--output", type=pathlib.Path, default=result_file.FOLDER)
    options = parser.parse_args()
    reports = {}
    loads = []
    with open(options.home / "log.txt", "w", encoding="utf-8") as log:
        for number in range(options.rounds):
            for name, command in commands(options).items():
                loads.append(os.getloadavg()[0])
                report = run(name, command, options, log)
                if report is None:
                    continue
                reports.setdefault(name, []).append(report)
                shown = ", ".join(f"{row} {value:.4g}" for row, value in rows_of(report).items())
                print(f"{name}: {shown}", file=sys.stderr, flush=True)
            if RETORT not in reports:
                sys.exit("Retort did not run")
            # After each round, so that a run that is cut short leaves what it has.
            best = {name: best_of(rounds) for name, rounds in reports.items()}
            write(options, reports, best, loads, number + 1)
    print(table(best, ratios(best)))


if __name__ == "__main__":
    main()

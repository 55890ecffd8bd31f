"""Structured output of Retort and of its peers on the same MaskBench files, in one run.

  bench/peers/structured/run.sh [--files 400] [--outlines-files 40] [--timeout 30]

Retort is measured by build/*/bench/structured_masks, the peers by peer.py, one process after
another on one thread. Writes bench/results/DATE-CPU-structured.json and, beside it, a plot; prints
the table of docs/structured_output.md.
"""

import argparse
import hashlib
import json
import os
import pathlib
import queue
import subprocess
import sys
import tempfile
import threading

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import result_file  # noqa: E402

ROOT = HERE.parents[2]
SHARED = pathlib.Path(os.environ.get("RETORT_SHARED", ROOT / "../shared/data"))


def choose_files(folder, count):
    """Those with tests whose names have the smallest SHA-256: the choice of structured_masks."""
    chosen = []
    for path in sorted(folder.glob("*.json"),
                       key=lambda p: hashlib.sha256(p.name.encode()).hexdigest()):
        if len(chosen) == count:
            break
        if json.loads(path.read_text(encoding="utf-8")).get("tests"):
            chosen.append(path)
    return chosen


def run_retort(binary, count, log):
    environment = os.environ | {"RETORT_BENCH_CPU_TIME": "1", "RETORT_SHARED": str(SHARED)}
    with tempfile.NamedTemporaryFile("r", suffix=".jsonl") as lines:
        subprocess.run([binary, str(count), "any", "warm", lines.name], env=environment, check=True,
                       stdout=log)
        return "this build", [json.loads(line) for line in lines]


def run_peer(name, files, timeout, log):
    """All files, in as many processes as it takes: one that hangs or dies loses that file only."""
    results, version, left = [], "unknown", list(files)
    while left:
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as listing:
            listing.write("\n".join(map(str, left)) + "\n")
            listing.flush()
            process = subprocess.Popen([sys.executable, HERE / "peer.py", name, listing.name],
                                       stdout=subprocess.PIPE, stderr=log, text=True)
            lines = queue.Queue()

            def read(stream=process.stdout, out=lines):
                for line in stream:
                    out.put(line)
                out.put(None)

            threading.Thread(target=read, daemon=True).start()
            started = False
            why = "crashed"
            while left:
                try:
                    line = lines.get(timeout=timeout if started else timeout + 120)
                except queue.Empty:
                    why = f"took more than {timeout} s"
                    break
                if line is None:
                    break
                record = json.loads(line)
                if "engine" in record:
                    version, started = record["version"], True
                    continue
                results.append(record)
                left.pop(0)
            process.kill()
            code = process.wait()
            if not started:
                raise RuntimeError(f"{name} does not start: see the log")
            if left:
                if why == "crashed":
                    why += f" (exit {code})"
                results.append({"file": left.pop(0).name, "lost": why})
    return version, results


def quantile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(part * len(values)))] if values else None


def summary(results):
    good = [r for r in results if "token_us" in r]
    tokens = [t for r in good for t in r["token_us"]]
    first = [r["first_us"] for r in good]
    row = {
        "files": len(results),
        "right": sum(1 for r in good
                     if not r["valid_rejected"] and not r["invalid_accepted"] and "failed" not in r),
        "refused": sum(1 for r in results if "refused" in r),
        "timed out or crashed": sum(1 for r in results if "lost" in r),
        "valid rejected": sum(r["valid_rejected"] for r in good),
        "invalid accepted": sum(r["invalid_accepted"] for r in good),
        "files with a valid one rejected": sum(1 for r in good if r["valid_rejected"]),
        "files with an invalid one accepted": sum(1 for r in good if r["invalid_accepted"]),
        "tokens": len(tokens),
    }
    if tokens:
        row["token_us"] = {"avg": sum(tokens) / len(tokens), "p50": quantile(tokens, 0.5),
                           "p99": quantile(tokens, 0.99), "p99.9": quantile(tokens, 0.999),
                           "max": max(tokens)}
        row["first_mask_us"] = {"avg": sum(first) / len(first), "p50": quantile(first, 0.5),
                                "p99": quantile(first, 0.99), "max": max(first)}
    return {key: {k: round(v, 3) for k, v in value.items()} if isinstance(value, dict) else value
            for key, value in row.items()}


def table(rows):
    """Markdown; the last column is Retort over the best peer, where less is better."""
    names = list(rows)
    lines = ["| | " + " | ".join(names) + " | Retort / best peer |",
             "|---|" + "--:|" * (len(names) + 1)]
    for key in ("files", "right", "refused", "timed out or crashed",
                "files with a valid one rejected", "files with an invalid one accepted"):
        lines.append(f"| {key} | " + " | ".join(str(rows[n][key]) for n in names) + " | |")
    for key, title, scale, unit in (("token_us", "mask + commit", 1, "µs"),
                                    ("first_mask_us", "compile + first mask", 1000, "ms")):
        for part in ("avg", "p50", "p99", "p99.9", "max"):
            cells = [rows[n].get(key, {}).get(part) for n in names]
            if all(c is None for c in cells):
                continue
            ratio = ""
            # An engine that saw other files is no measure.
            peers = [c for n, c in zip(names, cells)
                     if n != "Retort" and c and rows[n]["files"] == rows["Retort"]["files"]]
            own = rows["Retort"].get(key, {}).get(part)
            if own is not None and peers:
                ratio = f"{own / min(peers):.2f}"
            shown = ["" if c is None else f"{c / scale:,.3g}" if c / scale < 1000
                     else f"{c / scale:,.0f}" for c in cells]
            lines.append(f"| {title}, {part} ({unit}) | " + " | ".join(shown) + f" | {ratio} |")
    return "\n".join(lines)


def plot(results, path):
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "structured"
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4))
    for axis, key, title in ((axes[0], "token_us", "mask + commit per token"),
                             (axes[1], "first_us", "compile + first mask")):
        for name, records in results.items():
            good = [r for r in records if "token_us" in r]
            values = sorted([t for r in good for t in r["token_us"]] if key == "token_us"
                            else [r["first_us"] for r in good])
            if not values:
                continue
            step = max(1, len(values) // 2000)
            points = list(range(0, len(values), step)) + [len(values) - 1]
            # Against the share that takes longer, so that the tail is seen.
            axis.plot([values[i] for i in points],
                      [max(1 - i / len(values), 0.5 / len(values)) for i in points], label=name)
        axis.set(xscale="log", yscale="log", xlabel="µs", ylabel="share that takes longer",
                 title=title)
        axis.grid(alpha=0.3)
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--retort", required=True, help="the structured_masks program")
    parser.add_argument("--maskbench", required=True, type=pathlib.Path, help="the unpacked folder")
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("--outlines-files", type=int, default=40,
                        help="outlines-core gets the first so many: it takes seconds for each")
    parser.add_argument("--timeout", type=float, default=30, help="seconds for one file")
    parser.add_argument("--peers", default="llguidance,xgrammar,outlines-core")
    parser.add_argument("--output", type=pathlib.Path, default=result_file.FOLDER)
    options = parser.parse_args()
    os.environ["PEER_VOCABULARY"] = str(SHARED / "tokenizers/llama3/tokenizer.model")
    files = choose_files(options.maskbench, options.files)
    results, versions = {}, {}
    with open(ROOT / "build/structured_peers/log.txt", "w", encoding="utf-8") as log:
        versions["Retort"], results["Retort"] = run_retort(options.retort, len(files), log)
        for name in options.peers.split(","):
            own = files[:options.outlines_files] if name == "outlines-core" else files
            print(f"{name}: {len(own)} files", file=sys.stderr, flush=True)
            try:
                versions[name], results[name] = run_peer(name, own, options.timeout, log)
            except RuntimeError as error:
                print(error, file=sys.stderr)
    rows = {name: summary(records) for name, records in results.items()}
    print(table(rows))
    options.output.mkdir(parents=True, exist_ok=True)
    stem = result_file.stem(f"structured-{len(files)}-files", options.output)
    report = {"cpu": result_file.cpu_name(), "clock": "processor time of one thread", "versions": versions,
              "files": len(files), "outlines_files": options.outlines_files,
              "timeout_s": options.timeout, "summary": rows,
              "lost": {n: {r["file"]: r["lost"] for r in records if "lost" in r}
                       for n, records in results.items()},
              "wrong": {n: sorted(r["file"] for r in records if r.get("valid_rejected")
                                  or r.get("invalid_accepted")) for n, records in results.items()}}
    stem.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    plot(results, stem.with_suffix(".svg"))
    print(f"written: {stem}.json and .svg", file=sys.stderr)


if __name__ == "__main__":
    main()

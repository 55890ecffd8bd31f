"""Retort and its peers on the same models, token ids and threads, in one run.

  bench/peers/engines/run.sh [--model NAME-OR-GGUF ...] [--rounds 2] [--tokens 32] [--busy]
                             [--note "what ran beside"]

Without --model: all that models() names. One process after another, round after round, so that a
busy minute meets them all; each number is the best of all rounds. bench/machine measures the
machine in the same rounds. For each model, writes bench/results/DATE-CPU-engines-NAME.json and,
beside it, a plot; prints the tables of docs/performance.md.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import result_file  # noqa: E402
from report_rows import best_of, is_time, text_of  # noqa: E402

PEERS = {"llamacpp": "llama.cpp", "llamacpp-avx512": "llama.cpp, AVX-512",
         "openvino-genai": "OpenVINO GenAI", "vllm": "vLLM"}
AVX2_PEERS = {"llamacpp-avx2": "llama.cpp, AVX2"}
RETORT = "Retort"
# Who loads longer is not asked to do so again.
SLOW_LOAD_S = 4
# What Retort aims at, as a ratio to the best peer.
GATES = {"prefill 512": 1.25, "decode 1": 1.1, "decode 4": 1.8, "decode 16": 1.8,
         "decode 64": 1.5, "load to first token": 3}


@dataclasses.dataclass(frozen=True)
class Shape:
    """Of a Llama whose keys and values are kept in bf16."""
    num_layers: int
    width: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    ffn_width: int

    @property
    def kv_bytes_per_token(self):
        return 2 * self.num_layers * self.num_kv_heads * self.head_dim * 2

    @property
    def prefill_ops_per_token(self):
        """Of products with weights; the head works for one token only."""
        heads = (2 * self.num_heads + 2 * self.num_kv_heads) * self.head_dim
        return 2 * self.num_layers * self.width * (heads + 3 * self.ffn_width)


SMOLLM2 = Shape(30, 576, 9, 3, 64, 1536)
LLAMA_1B = Shape(16, 2048, 32, 8, 64, 8192)
LLAMA_8B = Shape(32, 4096, 32, 8, 128, 14336)


@dataclasses.dataclass(frozen=True)
class Model:
    """What each engine opens. Retort opens the folder where there is one."""
    gguf: pathlib.Path
    folder: pathlib.Path | None = None  # Hugging Face's kind
    shape: Shape | None = None
    gates: dict = dataclasses.field(default_factory=dict)
    f16: pathlib.Path | None = None  # of weights in bf16, for OpenVINO, which reads none
    # Whether llama.cpp without AMX was faster than with it at anything: elsewhere it is not run.
    without_amx: bool = False

    def file_for(self, peer):
        if peer == "vllm":
            return self.folder
        if peer == "llamacpp-avx512" and not self.without_amx:
            return None
        return self.f16 if peer == "openvino-genai" and self.f16 else self.gguf


def models(options):
    folder = options.home / "models"
    bf16 = {"prefill 512": 1.1}
    return {
        "smollm2-q4_1": Model(options.smollm2, None, SMOLLM2, {"decode 1": 1.9}),
        "smollm2-bf16": Model(folder / "smollm2-bf16.gguf", folder / "smollm2-bf16", SMOLLM2,
                              bf16 | {"decode 1": 1.8}, folder / "smollm2-f16.gguf"),
        "1b-q4_0": Model(folder / "1b-q4_0.gguf", None, LLAMA_1B),
        "1b-q8_0": Model(folder / "1b-q8_0.gguf", None, LLAMA_1B),
        "1b-q4_k": Model(folder / "1b-q4_k.gguf", None, LLAMA_1B, without_amx=True),
        "1b-bf16": Model(folder / "1b-bf16.gguf", folder / "1b-bf16", LLAMA_1B, bf16,
                         folder / "1b-f16.gguf"),
        "8b-q4_0": Model(folder / "8b-q4_0.gguf", None, LLAMA_8B),
    }


def chosen_models(options):
    known = models(options)
    if not options.model:
        return known
    return {name if name in known else pathlib.Path(name).stem.lower():
            known.get(name) or Model(pathlib.Path(name)) for name in options.model}


def commands(options, model):
    """By name: what to run, and what its environment adds."""
    common = ["--prompt", str(options.prompt), "--batches", options.batches, "--tokens",
              str(options.tokens), "--repeat", str(options.repeat)]
    depth = ["--depth", str(options.depth)]
    own = [options.build / "retort", "bench", model.folder or model.gguf, "--json"]
    found = {RETORT: ([*own, *common, *depth], {"RETORT_CPU": "avx2"} if options.avx2 else {})}
    for peer in options.peers:
        home = options.home / peer
        if not (home / "installed").exists() or model.file_for(peer) is None:
            continue
        environment = {"OMP_WAIT_POLICY": "passive"} if options.shared else {}
        if peer == "vllm":  # as its manual advises
            preload = [home / "lib/libiomp5.so",
                       pathlib.Path("/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4")]
            environment["LD_PRELOAD"] = ":".join(str(path) for path in preload if path.exists())
        found[(PEERS | AVX2_PEERS)[peer]] = (
            [home / "bin/python", HERE / "peer.py", peer.split("-avx")[0], model.file_for(peer),
             "--threads", str(options.threads), *common, *(depth if options.peers_depth else [])],
            environment)
    return found


def run(name, command, environment, options, log):
    print(f"\n--- {name}: {' '.join(map(str, command))}", file=log, flush=True)
    try:
        done = subprocess.run(command, env=os.environ | environment, stdout=subprocess.PIPE,
                              stderr=log, text=True, check=True, timeout=options.timeout)
        # What a library prints goes before.
        return json.loads(done.stdout[done.stdout.index("{"):] if name == RETORT
                          else done.stdout.splitlines()[-1])
    except (subprocess.SubprocessError, ValueError, IndexError) as error:
        reason = str(error).rsplit("]' ", 1)[-1]
        print(f"{name}: {reason}, left out of this round", file=sys.stderr)
        return None


@contextlib.contextmanager
def busy_core():
    """Another program that computes on the last core and nothing else."""
    program = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        os.sched_setaffinity(program.pid, {max(os.sched_getaffinity(0))})
        yield
    finally:
        program.kill()
        program.wait()


def ratios(best):
    """Retort over the best peer: above 1 is faster, for times too."""
    found = {}
    for row, own in best[RETORT].items():
        peers = [rows[row] for name, rows in best.items() if name != RETORT and row in rows]
        if peers:
            found[row] = min(peers) / own if is_time(row) else own / max(peers)
    return found


def machine_peaks(rounds):
    """The best of all rounds of bench/machine, by what it measures, on all cores."""
    peaks = {}
    for report in rounds:
        for peak in report["peaks"]:
            peaks[peak["what"]] = max(peaks.get(peak["what"], 0), peak["all_cores"])
    return peaks


def products_of(level, model):
    """What of bench/machine multiplies the model's weights, where tiles do not."""
    if level.startswith("vnni") and not model.f16:
        return "int8, VPDPBUSD"
    return {"vnni-bf16": "bf16, VDPBF16PS", "vnni": "int16, VPDPWSSD"}.get(level)


def limits(model, own, report, peaks, busy, options):
    """Retort beside the machine's limits and its own speed elsewhere: (what, value, gate)."""
    found = []
    depth_row = f"decode 1 after {options.depth}"
    long_row, short_row = f"prefill {options.depth}", f"prefill {options.prompt}"
    dram = max((rate for what, rate in peaks.items() if what.startswith("read 512 MiB")),
               default=0) * 1e9
    if dram and "decode 1" in own:
        found.append(("decode 1: weights read, of DRAM's speed",
                      report["weight_bytes"] * own["decode 1"] / dram, "≥ 0.85"))
    if depth_row in own and dram and model.shape:
        kv_seconds = options.depth * model.shape.kv_bytes_per_token / dram
        found.append((f"step after {options.depth}, of step + reading keys and values",
                      1 / own[depth_row] / (1 / own["decode 1"] + kv_seconds), "≤ 1.25"))
    if long_row in own:
        found.append((f"{long_row}, of {short_row}", own[long_row] / own[short_row], "≥ 0.6"))
    if model.shape and not options.avx2:
        tflops = own[short_row] * model.shape.prefill_ops_per_token * 1e-12
        found.append((f"{short_row}: TFLOP/s of linears", tflops, "≥ 2.8 with AMX"))
        products = products_of(report["dispatch_level"], model)
        if products in peaks:
            found.append((f"{short_row}: linears, of the peak of {products}",
                          tflops * 1e3 / peaks[products], "≥ 0.6"))
    for row, value in busy.items():
        if row in own and not is_time(row):
            found.append((f"{row} with one core busy, of idle", value / own[row], "≥ 0.4"))
    return found


def table(model, best, ratio, avx2):
    names = list(best)
    lines = ["| | " + " | ".join(names) + " | Retort : best peer | gate |",
             "|---|" + "--:|" * (len(names) + 2)]
    gates = dict.fromkeys(best[RETORT], 0.9) if avx2 else GATES | model.gates
    for row in best[RETORT]:
        cells = [text_of(row, best[name].get(row)) for name in names]
        factor = f"{ratio[row]:.2f}" if row in ratio else ""
        lines.append(f"| {row} | " + " | ".join(cells) + f" | {factor} | {gates.get(row, '')} |")
    return "\n".join(lines)


def plot(name, best, path):
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "engines"
    from matplotlib import pyplot
    rows = [row for row in ratios(best) if not is_time(row)]
    figure, axis = pyplot.subplots(figsize=(8, 4))
    width = 0.8 / len(best)
    for i, (engine, values) in enumerate(best.items()):
        at = [x + (i - (len(best) - 1) / 2) * width for x in range(len(rows))]
        bars = axis.bar(at, [values.get(row, 0) for row in rows], width, label=engine)
        axis.bar_label(bars, fmt="{:,.0f}", fontsize=6)
    axis.set(yscale="log", ylabel="tokens/s", title=f"{name}, {os.cpu_count()} cores")
    axis.set_xticks(range(len(rows)), [row.replace(" after", "\nafter") for row in rows])
    axis.grid(axis="y", alpha=0.3)
    axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def warm(command):
    """Has the system's file cache hold the command's model: what is measured is no disk."""
    path = next(part for part in command[1:]
                if isinstance(part, pathlib.Path) and part.name != "peer.py")
    for file in path.iterdir() if path.is_dir() else [path]:
        with open(file, "rb") as data:
            while data.read(1 << 24):
                pass


class Comparison:
    """One model, round after round."""

    def __init__(self, name, model, options):
        self.name, self.model, self.options = name, model, options
        self.reports, self.busy, self.machine, self.loads = {}, [], [], []

    def add_round(self, log):
        machine = run("bench/machine", [self.options.build / "bench/machine", "--json"], {},
                      self.options, log) if self.options.machine else None
        if machine:
            self.machine.append(machine)
        for name, (command, environment) in commands(self.options, self.model).items():
            self.loads.append(os.getloadavg()[0])
            warm(command)
            report = run(name, command, environment, self.options, log)
            if report is None:
                continue
            self.reports.setdefault(name, []).append(report)
            shown = ", ".join(f"{row} {value:.4g}" for row, value in best_of([report]).items())
            print(f"{self.name}, {name}: {shown}", file=sys.stderr, flush=True)
        self.load_again(log)
        if RETORT not in self.reports:
            sys.exit("Retort did not run")
        if self.options.busy:
            with busy_core():
                report = run(RETORT, *commands(self.options, self.model)[RETORT], self.options, log)
            if report:
                self.busy.append(report)

    def load_again(self, log):
        """Loading depends on how much memory the process before has given back, so those that load
        within seconds do so a few times more, in turns. Nothing else of these runs is kept."""
        if not self.options.loads:
            return
        short = argparse.Namespace(**vars(self.options) | {
            "prompt": 16, "batches": "1", "tokens": 1, "repeat": 1, "depth": 0})
        for _ in range(self.options.loads):
            for name, (command, environment) in commands(short, self.model).items():
                found = self.reports.get(name)
                if not found or found[0]["load_to_first_token_s"] > SLOW_LOAD_S:
                    continue
                warm(command)
                report = run(name, command, environment, self.options, log)
                if report:
                    found.append(report | {"measurements": []})

    def best(self):
        return {name: best_of(found) for name, found in self.reports.items()}

    def limits(self):
        own = self.reports[RETORT]
        return limits(self.model, best_of(own), own[0], machine_peaks(self.machine),
                      best_of(self.busy), self.options)

    def write(self):
        """After each round, so that a run that is cut short leaves what it has."""
        options = self.options
        options.output.mkdir(parents=True, exist_ok=True)
        kind = "engines-avx2-" if options.avx2 else "engines-"
        stem = result_file.stem(kind + self.name, options.output)
        best = self.best()
        stem.with_suffix(".json").write_text(json.dumps({
            "cpu": result_file.cpu_name(), "threads": options.threads, "model": self.name,
            "note": options.note, "load_averages": self.loads,
            "rounds": options.rounds,
            "versions": {name: found[0].get("version") for name, found in self.reports.items()
                         if name != RETORT},
            "dispatch_level": self.reports[RETORT][0]["dispatch_level"],
            "machine": machine_peaks(self.machine), "best": best, "ratio": ratios(best),
            "limits": [{"what": what, "value": value, "gate": gate}
                       for what, value, gate in self.limits()],
            "busy": best_of(self.busy),
            "all": {name: [best_of([r]) for r in found] for name, found in self.reports.items()},
        }, indent=1) + "\n", encoding="utf-8")
        if len(best) > 1:
            plot(self.name, best, stem.with_suffix(".svg"))
        print(f"written: {stem}.json and .svg", file=sys.stderr)

    def print(self):
        best = self.best()
        print(f"\n{self.name}\n\n{table(self.model, best, ratios(best), self.options.avx2)}\n")
        print("| Retort | | gate |\n|---|--:|--:|")
        for what, value, gate in self.limits():
            print(f"| {what} | {value:.2f} | {gate} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True, type=pathlib.Path,
                        help="the folder of retort and bench/machine")
    parser.add_argument("--home", required=True, type=pathlib.Path, help="the peers' folder")
    parser.add_argument("--smollm2", required=True, type=pathlib.Path, help="its GGUF file")
    parser.add_argument("--model", action="append", help="one that models() names, or a GGUF file")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=2, help="within a round")
    parser.add_argument("--batches", default="1,4,16,64")
    parser.add_argument("--loads", type=int, default=2,
                        help="how often fast loaders load again in a round")
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--depth", type=int, default=4096, help="Retort's long prompt; 0: none")
    parser.add_argument("--peers-depth", action="store_true",
                        help="the peers' too, which takes llama.cpp minutes")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--timeout", type=float, default=900, help="seconds for one process")
    parser.add_argument("--peers", help="of " + ", ".join(PEERS))
    parser.add_argument("--avx2", action="store_true",
                        help="Retort without AVX-512 and AMX, beside llama.cpp built for AVX2")
    parser.add_argument("--busy", action="store_true",
                        help="Retort once more with another program computing on one core")
    parser.add_argument("--shared", action="store_true",
                        help="the machine is not idle: OpenMP's threads (llama.cpp's) sleep while "
                        "they wait, without which it falls to a tenth")
    parser.add_argument("--no-machine", dest="machine", action="store_false",
                        help="without bench/machine")
    parser.add_argument("--note", default="", help="kept with the results")
    parser.add_argument("--output", type=pathlib.Path, default=result_file.FOLDER)
    options = parser.parse_args()
    options.peers = (options.peers.split(",") if options.peers
                     else list(AVX2_PEERS if options.avx2 else PEERS))
    for peer in options.peers:
        if not (options.home / peer / "installed").exists() and peer != "llamacpp-avx512":
            print(f"{peer} is not installed: left out", file=sys.stderr)
    comparisons = []
    with open(options.home / "log.txt", "w", encoding="utf-8") as log:
        for name, model in chosen_models(options).items():
            if not model.gguf.exists():
                print(f"{name}: {model.gguf} is not there, left out", file=sys.stderr)
                continue
            comparison = Comparison(name, model, options)
            for _ in range(options.rounds):
                comparison.add_round(log)
                comparison.write()
            comparisons.append(comparison)
    for comparison in comparisons:
        comparison.print()


if __name__ == "__main__":
    main()

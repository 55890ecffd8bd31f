#!/usr/bin/env python3
"""Each operation of backend/cpu beside what this machine can do: the peaks of bench/machine.

  cmake --preset release -DRETORT_BENCHMARKS=ON
  ninja -C build/release machine linear_bench op_bench
  bench/ops.py [--build build/release] [--filter REGEX] [--json FILE]

For each, microseconds at best, GOP/s and GB/s, and the larger share of a peak: for linears and
attention of the dispatch level's products, else of reading from where the operation's bytes lie.
RETORT_CPU forces a lower level; all cores work.
"""

import argparse
import json
import pathlib
import subprocess

# Not each shape and format of linear_bench: those of a step's most work.
FILTER = r"/native/(135m_gate_up|135m_lm_head|1b_gate_up)/rows:(1|16|64|512)/|^[a-z_]+/(135m|1b)/"
PRODUCTS = {"amx": "bf16, AMX", "vnni-bf16": "int8, VPDPBUSD", "vnni": "int8, VPDPBUSD",
            "avx512": "f32 FMA, AVX-512", "avx2": "f32 FMA, AVX2"}
# Where weights in bf16 are multiplied otherwise.
BF16_PRODUCTS = {"vnni-bf16": "bf16, VDPBF16PS", "vnni": "int16, VPDPWSSD"}
# Bytes that a level of the memory holds, smallest first.
LEVELS = ((1 << 20, "read 512 KiB (L2)"), (32 << 20, "read 16 MiB"))
MEMORY = "read 512 MiB"


def peaks_of(build):
    found = json.loads(subprocess.run([build / "bench/machine", "--json"], check=True,
                                      stdout=subprocess.PIPE).stdout)
    peaks = {peak["what"]: peak["all_cores"] for peak in found["peaks"]}
    peaks[MEMORY] = max(rate for what, rate in peaks.items() if what.startswith(MEMORY))
    return found, peaks


def measured(program, pattern):
    done = subprocess.run([program, f"--benchmark_filter={pattern}", "--benchmark_format=json"],
                          check=True, stdout=subprocess.PIPE)
    report = json.loads(done.stdout)
    lines = {}
    for run in report["benchmarks"]:
        line = lines.setdefault(run["run_name"].split("/min_time")[0], {})
        if run["aggregate_name"] == "best":
            line["us"] = run["real_time"]
        elif run["aggregate_name"] == "most":
            line["gops"], line["gbs"] = run["GOP/s"], run["GB/s"]
    return report["context"]["level"], lines


def level_of(name, line):
    """What holds the bytes of a call: weights and keys come from memory."""
    if "native" in name or "exact" in name or name.startswith("attend"):
        return MEMORY
    call_bytes = line["gbs"] * 1e3 * line["us"]
    return next((what for size, what in LEVELS if call_bytes <= size), MEMORY)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build/release"))
    parser.add_argument("--filter", default=FILTER, help="of benchmarks' names")
    parser.add_argument("--json", type=pathlib.Path, help="also written here")
    options = parser.parse_args()
    machine, peaks = peaks_of(options.build)
    lines = {}
    for name in ("linear_bench", "op_bench"):
        level, found = measured(options.build / "src/retort" / name, options.filter)
        lines |= found
    products = PRODUCTS[level]
    print(f"{machine['cpu']}, {machine['cores']} cores, {level}: {products} "
          f"{peaks[products]:,.0f} GOP/s, memory {peaks[MEMORY]:.1f} GB/s\n")
    print("| | µs | GOP/s | GB/s | of peak | which |\n|---|--:|--:|--:|--:|---|")
    for name, line in lines.items():
        where = level_of(name, line)
        products = PRODUCTS[level]
        if name.startswith("BF16/"):
            products = BF16_PRODUCTS.get(level, products)
        line["peak"], line["share"] = max(
            ((products, line["gops"] / peaks[products]), (where, line["gbs"] / peaks[where])),
            key=lambda pair: pair[1])
        gops = f"{line['gops']:,.0f}" if line["gops"] else ""
        print(f"| {name} | {line['us']:,.1f} | {gops} | {line['gbs']:.1f} | "
              f"{100 * line['share']:.0f} % | {line['peak']} |")
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "level": level, "ops": lines},
                                           indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

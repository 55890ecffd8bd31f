#!/usr/bin/env python3
"""Holds two commits against each other: builds each, runs `retort bench` of both in turns.

  bench/commits.py A B [--rounds 5] [-- ARGUMENTS OF retort bench]

Each is checked out and built once, under build/commits. The ratio is B to A, above 1 where B is
faster, of the best of all rounds; beside it the least and the greatest of the rounds' own ratios:
where they lie on both sides of 1, nothing is shown. Remove with
`rm -r build/commits && git worktree prune`.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "peers"))
from report_rows import best_of, is_time, text_of  # noqa: E402

ROOT = HERE.parent
HOME = ROOT / "build/commits"
BENCH = ["smollm2-135m-instruct", "--tokens", "32"]


def git(*arguments):
    return subprocess.run(["git", "-C", ROOT, *arguments], check=True, text=True,
                          stdout=subprocess.PIPE).stdout.strip()


def build(commit):
    """The program of a commit."""
    name = git("rev-parse", "--short=12", commit + "^{commit}")
    source, folder = HOME / name / "source", HOME / name / "build"
    program = folder / "retort"
    if program.exists():
        return program
    if not source.exists():
        git("worktree", "prune")
        git("worktree", "add", "--detach", source, name)
    print(f"building {name}: {git('log', '-1', '--format=%s', name)}", file=sys.stderr)
    launcher = ["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
    with open(HOME / name / "log.txt", "w", encoding="utf-8") as log:
        for command in (["cmake", "-S", source, "-B", folder, "-G", "Ninja",
                         "-DCMAKE_BUILD_TYPE=Release", "-DRETORT_TESTS=OFF", *launcher],
                        ["cmake", "--build", folder, "--target", "retort"]):
            if subprocess.run(command, stdout=log, stderr=log, check=False).returncode != 0:
                sys.exit(f"{name} does not build: see {log.name}")
    return program


def measure(program, arguments):
    done = subprocess.run([program, "bench", *arguments, "--json"], check=True,
                          stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def ratio(row, a, b):
    return a / b if is_time(row) else b / a


def main():
    own, bench = sys.argv[1:], BENCH
    if "--" in own:
        own, bench = own[:own.index("--")], own[own.index("--") + 1:]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("a")
    parser.add_argument("b")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(own)
    programs = [build(options.a), build(options.b)]
    reports = ([], [])
    for number in range(options.rounds):
        order = (0, 1) if number % 2 == 0 else (1, 0)  # neither always follows the other
        for i in order:
            reports[i].append(measure(programs[i], bench))
    best = [best_of(found) for found in reports]
    print(f"retort bench {' '.join(bench)}, {options.rounds} rounds\n")
    print(f"| | {options.a} | {options.b} | ratio | of single rounds |\n|---|--:|--:|--:|--:|")
    for row in best[0]:
        if row not in best[1]:
            continue
        single = [ratio(row, best_of([a])[row], best_of([b])[row]) for a, b in zip(*reports)]
        print(f"| {row} | {text_of(row, best[0][row])} | {text_of(row, best[1][row])} | "
              f"{ratio(row, best[0][row], best[1][row]):.3f} | "
              f"{min(single):.2f} to {max(single):.2f} |")


if __name__ == "__main__":
    main()

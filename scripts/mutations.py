#!/usr/bin/env python3
"""Mutation tests: a fault that a reviewer would miss is put into the source, and a test has to fail.

Each file tests/mutations/ROOM/NAME.mutant is one such fault:

    why: who is harmed if nothing notices
    file: src/retort/ROOM/SOURCE.cc
    tests: ROOM_test other_tests          (optional: which test programs judge it; default ROOM_test)
    filter: Suite.*                       (optional: the tests of a slow program that judge it)
    equivalent: why no test can notice    (only on a mutant that survives)
    --- old
    the exact text, found once in the file
    --- new
    the text that takes its place

The mutants are tried in a copy of the tree with a build folder of its own, which is kept, so that each costs one
compilation and one run of tests. The work tree is never written to. A test that fails, crashes or hangs kills the mutant.

It is an error if the tests fail without a mutant, if a mutant does not compile or its old text is not found exactly once,
if a mutant survives and does not say why it is equivalent, if one that says so dies, and if fewer are killed than
tests/mutations/killed.ratchet records.

The copy lies in build/mutations, or where $RETORT_MUTATIONS_DIR says.
"""
import dataclasses
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
MUTANTS = ROOT / "tests/mutations"
RATCHET = MUTANTS / "killed.ratchet"
SCRATCH = pathlib.Path(os.environ.get("RETORT_MUTATIONS_DIR", ROOT / "build/mutations")).resolve()
BUILD = SCRATCH / "build/release"
KEYS = {"why", "file", "tests", "filter", "equivalent"}

SHARE_MIN = 0.9  # of all mutants are killed
# A run of tests hangs when it takes this many times as long as without a mutant, and at least so many seconds: the machine
# may be busy with something else.
TIMES_AS_LONG = 10
TIMEOUT_MIN_S = 120
MEMORY_MAX = 8 << 30  # bytes of address space: a mutant that lost its bound must not take the machine down


def fail(message):
    sys.exit(f"mutations: {message}")


@dataclasses.dataclass
class Mutant:
    name: str  # ROOM/NAME
    fields: dict
    old: str
    new: str

    @property
    def source(self):
        return self.fields["file"]

    @property
    def tests(self):
        return self.fields.get("tests", self.name.split("/")[0] + "_test").split()

    @property
    def filter(self):
        return self.fields.get("filter", "*")


def read_mutant(path):
    name = f"{path.parent.name}/{path.stem}"
    match = re.fullmatch(r"(.*?)^--- old\n(.*?)\n--- new\n(.*?)\n?", path.read_text(), re.DOTALL | re.MULTILINE)
    if not match:
        fail(f"{path}: expected 'key: value' lines, '--- old', the old text, '--- new', the new text")
    fields = {}
    for line in match[1].splitlines():
        key, separator, value = line.partition(": ")
        if not separator or key not in KEYS or key in fields:
            fail(f"{path}: expected a new key of {', '.join(sorted(KEYS))}, found '{line}'")
        fields[key] = value
    for key in ("why", "file"):
        if key not in fields:
            fail(f"{path}: has no '{key}:'")
    mutant = Mutant(name, fields, match[2], match[3])
    found = (ROOT / mutant.source).read_text().count(mutant.old)
    if found != 1:
        fail(f"{path}: its old text is found {found} times in {mutant.source}, expected once: carry the mutant along")
    return mutant


def select(mutants, wanted):
    for name in wanted:
        if not any(name in (m.name, m.name.split("/")[0]) for m in mutants):
            fail(f"no mutant and no room with mutants is called '{name}'")
    # By file, because the file mutated before must be compiled again as well.
    chosen = [m for m in mutants if not wanted or m.name in wanted or m.name.split("/")[0] in wanted]
    return sorted(chosen, key=lambda m: (m.source, m.name))


def write_if_changed(path, data):
    if path.is_file() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def copy_tree():
    """Files that did not change keep their times, so that the build folder stays good."""
    names = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                           check=True, capture_output=True, text=True).stdout.split("\0")
    names = {name for name in names if name and (ROOT / name).is_file()}
    for name in names:
        source, copy = ROOT / name, SCRATCH / name
        write_if_changed(copy, source.read_bytes())
        copy.chmod(source.stat().st_mode)
    listing = SCRATCH / "build/mutations.files"
    if listing.is_file():
        for name in set(listing.read_text().split("\n")) - names - {""}:
            (SCRATCH / name).unlink(missing_ok=True)
    listing.parent.mkdir(parents=True, exist_ok=True)
    listing.write_text("\n".join(sorted(names)))


def compile_targets(targets):
    """The compiler's last words if it fails."""
    done = subprocess.run(["cmake", "--build", str(BUILD), "--parallel", str(os.cpu_count()), "--target", *targets],
                          capture_output=True, text=True)
    return None if done.returncode == 0 else done.stdout[-3000:] + done.stderr[-1000:]


def program(target):
    places = [BUILD / "src/retort" / target, BUILD / "tests" / target]
    return next((place for place in places if place.is_file()), None) or fail(f"no test program '{target}' was built")


def run_tests(target, test_filter, timeout):
    """What noticed, or None if all tests passed."""
    scratch_files = SCRATCH / "build/tmp"
    shutil.rmtree(scratch_files, ignore_errors=True)
    scratch_files.mkdir(parents=True)
    environment = {**os.environ, "TMPDIR": str(scratch_files)}
    environment.setdefault("RETORT_SHARED", str(ROOT.parent / "shared/data"))
    with open(SCRATCH / "build/mutations.log", "w+b") as log:
        process = subprocess.Popen(
            [program(target), f"--gtest_filter={test_filter}", "--gtest_fail_fast", "--gtest_brief=1"], stdout=log,
            stderr=subprocess.STDOUT, env=environment, start_new_session=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX)))
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"hangs {target}"
        log.seek(0)
        output = log.read().decode(errors="replace")
    failed = re.search(r"^\[  FAILED  \] (\S+?),? ", output, re.MULTILINE)
    ran = re.search(r"^\[==========\] (\d+) tests? from", output, re.MULTILINE)
    if status == 0:
        if not ran or int(ran[1]) == 0:
            fail(f"{target} has no test '{test_filter}'")
        return None
    if failed:
        return f"{target}: {failed[1]}"
    return f"{target}: ended by signal {-status}" if status < 0 else f"{target}: exit status {status}"


def baseline(mutants):
    """How long each run of tests takes without a mutant."""
    log = SCRATCH / "build/configure.log"
    with open(log, "w") as out:
        if subprocess.run(["cmake", "--preset", "release"], cwd=SCRATCH, stdout=out, stderr=out).returncode != 0:
            fail(f"cmake failed: {log}")
    targets = sorted({target for m in mutants for target in m.tests})
    print(f"{len(mutants)} mutants, judged by {', '.join(targets)}", flush=True)
    problem = compile_targets(targets)
    if problem:
        fail(f"the tree does not build without a mutant:\n{problem}")
    seconds = {}
    for run in sorted({(target, m.filter) for m in mutants for target in m.tests}):
        begin = time.monotonic()
        noticed = run_tests(*run, timeout=None)
        if noticed:
            fail(f"without a mutant {noticed} (see {SCRATCH / 'build/mutations.log'})")
        seconds[run] = time.monotonic() - begin
    return seconds


def try_mutant(mutant, seconds):
    """What noticed it, or None; and whether it compiles."""
    path = SCRATCH / mutant.source
    original = path.read_text()
    path.write_text(original.replace(mutant.old, mutant.new))
    try:
        problem = compile_targets(mutant.tests)
        if problem:
            return problem, False
        for target in mutant.tests:
            timeout = max(TIMEOUT_MIN_S, TIMES_AS_LONG * seconds[target, mutant.filter])
            noticed = run_tests(target, mutant.filter, timeout)
            if noticed:
                return noticed, True
        return None, True
    finally:
        path.write_text(original)


def main():
    mutants = [read_mutant(path) for path in sorted(MUTANTS.glob("*/*.mutant"))]
    wanted = [name.removesuffix(".mutant") for name in sys.argv[1:]]
    chosen = select(mutants, wanted)
    copy_tree()
    seconds = baseline(chosen)
    errors = []
    num_killed = 0
    for mutant in chosen:
        begin = time.monotonic()
        noticed, compiles = try_mutant(mutant, seconds)
        equivalent = mutant.fields.get("equivalent")
        if not compiles:
            verdict, detail = "ERROR", "does not compile"
            print(noticed)
        elif noticed:
            num_killed += 1
            verdict, detail = "killed", noticed
            if equivalent:
                verdict, detail = "ERROR", f"says that it is equivalent, but {noticed}"
        else:
            verdict = "equivalent" if equivalent else "SURVIVES"
            detail = equivalent or mutant.fields["why"]
        if verdict in ("ERROR", "SURVIVES"):
            errors.append(mutant.name)
        print(f"{verdict:10} {mutant.name:48} {time.monotonic() - begin:4.0f} s  {detail}", flush=True)
    print(f"{num_killed} of {len(chosen)} mutants killed ({num_killed / len(chosen):.1%})")
    if errors:
        fail("mend the tests, or the mutants, of " + ", ".join(errors))
    if wanted:
        return
    if num_killed < SHARE_MIN * len(chosen):
        fail(f"less than {SHARE_MIN:.0%} are killed")
    recorded = int(RATCHET.read_text())
    if num_killed < recorded:
        fail(f"{num_killed} are killed, {RATCHET.relative_to(ROOT)} records {recorded}")
    if num_killed > recorded:
        print(f"More than the {recorded} in {RATCHET.relative_to(ROOT)}: record them there")


main()

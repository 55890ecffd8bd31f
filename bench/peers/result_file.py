"""Where a comparison's results go: bench/results/DATE-CPU-KIND, for its .json and its plot."""

import datetime
import pathlib
import platform
import re

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "results"


def cpu_name():
    for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def stem(kind, folder=FOLDER):
    cpu = re.sub(r"[^a-z0-9]+", "-", cpu_name().lower()).strip("-")
    return folder / f"{datetime.date.today().isoformat()}-{cpu}-{kind}"

"""The environment of the scripts that have Python's jsonschema judge: build/structured/venv, made where it is missing."""

import os
import pathlib
import subprocess
import sys

VENV = pathlib.Path(__file__).resolve().parent.parent / "build" / "structured" / "venv"


def enter():
    """Runs the script again in the environment. Where pip cannot make it, says so and ends the script as skipped."""
    if pathlib.Path(sys.prefix) == VENV:
        return
    python = VENV / "bin" / "python"
    try:
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        if subprocess.run([str(python), "-c", "import jsonschema"], stderr=subprocess.DEVNULL).returncode != 0:
            subprocess.run([str(python), "-m", "pip", "install", "--quiet", "jsonschema"], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"skipped: there is no jsonschema to judge with ({error})")
        sys.exit(0)
    os.execv(str(python), [str(python), *sys.argv])

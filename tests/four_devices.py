"""Runs a test file as a program with four CPU devices: how many there are is fixed once JAX has started."""

import os
import pathlib
import subprocess
import sys

TESTS = pathlib.Path(__file__).resolve().parent


def run(file: str, *words: str) -> str:
    """What `python FILE WORDS` prints; fails, with the end of what it said, if it does."""
    paths = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "4", "JAX_PLATFORMS": "cpu", "PYTHONPATH": paths}
    command = [sys.executable, "-W", "error::DeprecationWarning:mtjax", file, *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout

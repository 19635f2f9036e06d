"""Commands of a cluster that is not here, which write down how they were called; and scripts run among them."""

import contextlib
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Callable

LAUNCH = pathlib.Path(__file__).resolve().parents[2] / "launch"


class Place:
    """A folder with commands of its own, first on PATH.

    Args:
        root: an empty folder.
    """

    def __init__(self, root: pathlib.Path):
        self.root, self.bin, self.calls_file = root, root / "bin", root / "calls"
        self.bin.mkdir()

    def command(self, name: str, body: str = "", file: pathlib.Path | None = None) -> None:
        """A command that writes down its name and arguments, each on a line, and then does what `body` says."""
        file = file or self.bin / name
        file.parent.mkdir(parents=True, exist_ok=True)
        noted = f"printf '%s\\n' {name} \"$@\" '' >>{self.calls_file}"
        file.write_text(f"#!/bin/bash\n{noted}\n{body}\n")
        file.chmod(0o755)

    def calls(self, name: str) -> list[list[str]]:
        """The arguments of every call of a command, in order."""
        text = self.calls_file.read_text() if self.calls_file.exists() else ""
        calls = [call.split("\n") for call in text.split("\n\n")]
        return [call[1:] for call in calls if call[0] == name]

    def start(self, script: str, *words: str, **variables: str) -> subprocess.Popen:
        """Starts a script of launch/."""
        environment = {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}", **variables}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        command = ["bash", str(LAUNCH / script), *words]
        return subprocess.Popen(command, env=environment, cwd=self.root, start_new_session=True, **pipes)

    def run(self, script: str, *words: str, **variables: str) -> tuple[int, str]:
        """Runs a script of launch/; its exit code and all it said."""
        return finish(self.start(script, *words, **variables))


def finish(process: subprocess.Popen, timeout: float = 60) -> tuple[int, str]:
    """The exit code of a script that was started, and all it said; nothing that it started lives on."""
    try:
        output, _ = process.communicate(timeout=timeout)
    finally:
        end(process)
    return process.returncode, output


def end(process: subprocess.Popen) -> None:
    """Kills a script with all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def until(condition: Callable[[], bool], process: subprocess.Popen, timeout: float = 60) -> None:
    """Waits for a condition while the script runs; ends it if that takes too long."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline or process.poll() is not None:
            end(process)
            raise AssertionError(f"it did not come: {process.stdout.read()}")
        time.sleep(0.02)

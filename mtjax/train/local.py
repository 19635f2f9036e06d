"""Several processes of one run on the cores of this machine, over loopback: what many hosts do, without them."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from types import FrameType

from mtjax.train.signals import EXIT_STOPPED

GRACE = 5.0  # seconds that the other processes have to end by themselves once one has failed
SHOWN = 40  # last lines that are shown of a process that failed
GOOD = (0, EXIT_STOPPED)


def launch(words: Sequence[str], processes: int, devices: int) -> int:
    """Runs `mtjax WORDS` in several processes, each with so many CPU devices, and waits for them.

    Process 0 writes where this one writes; what the others wrote is shown if they fail. SIGTERM and SIGINT are passed
    on to all. If one fails, the others are ended `GRACE` seconds later at the latest.

    Returns:
        The exit code of all, or of the first that failed; 128 + N for one that signal N ended, as in a shell.
    """
    with tempfile.TemporaryDirectory(prefix="mtjax-") as folder:
        logs = [pathlib.Path(folder, f"{rank}.log") for rank in range(processes)]
        address, children = f"127.0.0.1:{free_port()}", []

        def pass_on(number: int, frame: FrameType | None) -> None:
            for child in children:
                if child.poll() is None:
                    child.send_signal(number)

        before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            for rank, log in enumerate(logs):
                own = [f"--coordinator={address}", f"--num-processes={processes}", f"--process-id={rank}"]
                children.append(_start([*words, *own], devices, None if rank == 0 else log))
            first = _first_failed(children)
        finally:
            for child in children:
                child.kill()
                child.wait()
            for number, handler in before.items():
                signal.signal(number, handler)
        if first is None:
            return max(child.returncode for child in children)
        for rank, log in enumerate(logs[1:], 1):
            if children[rank].returncode not in GOOD:
                lines = log.read_text(errors="replace").splitlines()[-SHOWN:]
                print("".join(f"[process {rank}] {line}\n" for line in lines), end="", file=sys.stderr)
        code = children[first].returncode
        print(f"mtjax: error: process {first} of {processes} ended with {meaning(code)}", file=sys.stderr)
        return code if code > 0 else 128 - code


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def meaning(code: int) -> str:
    """An exit code for people: "code 2", or the name of the signal."""
    return f"code {code}" if code >= 0 else signal.Signals(-code).name


def _start(words: Sequence[str], devices: int, log: pathlib.Path | None) -> subprocess.Popen:
    # In a process group of its own, so that a Ctrl-C in the terminal reaches it once, by way of this process.
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)}
    command = dies_with_parent([sys.executable, "-m", "mtjax.cli", *words])
    output = log.open("wb") if log else None
    try:
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            process_group=0,
        )
    finally:
        if output:
            output.close()


def dies_with_parent(command: Sequence[str]) -> list[str]:
    """The command of a process that Linux ends when the one that starts it ends, however that ends.

    Not by `preexec_fn`, which runs in a copy of a process that JAX has given threads.
    """
    if sys.platform != "linux":
        return list(command)
    set_signal = f"ctypes.CDLL(None).prctl(1, {int(signal.SIGKILL)})"  # PR_SET_PDEATHSIG, which outlives exec
    return [
        sys.executable,
        "-c",
        f"import ctypes, os, sys; {set_signal}; os.execvp(sys.argv[1], sys.argv[1:])",
        *command,
    ]


def _first_failed(children: Sequence[subprocess.Popen]) -> int | None:
    """Waits until all have ended, or one has failed and the others have had their time; the rank of the first.

    Of some that are found at once, not one that aborted: it may have done so because another had gone.
    """

    def failed() -> list[int]:
        return [rank for rank, child in enumerate(children) if child.poll() not in (None, *GOOD)]

    while not failed() and any(child.poll() is None for child in children):
        time.sleep(0.05)
    found, deadline = failed(), time.monotonic() + GRACE
    while time.monotonic() < deadline and any(child.poll() is None for child in children):
        time.sleep(0.05)
    return min(found, key=lambda rank: children[rank].returncode == -signal.SIGABRT, default=None)

"""Kills runs at random moments, has the same command go on, and counts the runs that end bit for bit the same.

    python tests/faults/kills.py --count=50
    JAX_PLATFORMS=cuda python tests/faults/kills.py --count=8 --config.deterministic=True   # the same bits on a GPU

Each run is killed (SIGKILL) up to five times, in the moments of `MOMENTS` in turn, and then left to end; a kill counts
as survived if every array of the final state, the metrics file and the evaluation equal those of an undisturbed run.
"""

import argparse
import collections
import itertools
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

ROOT = pathlib.Path(__file__).resolve().parents[2]
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "jax"))  # as in the tests
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import runs  # noqa: E402

PER_RUN = 5


def wait(condition: Callable[[], bool], process: subprocess.Popen, timeout: float = 240) -> None:
    """Returns when the condition holds, or the run has ended."""
    begin = time.monotonic()
    while not condition() and process.poll() is None and time.monotonic() - begin < timeout:
        time.sleep(0.002)


def at_start(workdir: pathlib.Path, process: subprocess.Popen, draw: random.Random) -> None:
    """While it imports, builds, restores or compiles."""
    time.sleep(draw.uniform(0, 12))


def in_step(workdir: pathlib.Path, process: subprocess.Popen, draw: random.Random) -> None:
    """Some steps after the last checkpoint."""
    step = min(runs.saved(workdir) + draw.randrange(1, 15), runs.STEPS)
    wait(lambda: runs.steps_written(workdir) >= step, process)
    time.sleep(draw.uniform(0, 0.1))


def after_save(workdir: pathlib.Path, process: subprocess.Popen, draw: random.Random) -> None:
    """0 to 50 ms after a save has begun to write."""

    def folders() -> set[pathlib.Path]:
        return set((workdir / "checkpoints" / "latest").glob("*"))

    before = folders()
    wait(lambda: folders() != before, process)
    time.sleep(draw.uniform(0, 0.05))


def in_evaluation(workdir: pathlib.Path, process: subprocess.Popen, draw: random.Random) -> None:
    """0 to 100 ms after the validation split's turn has come, or the final evaluation's."""
    step = min(runs.saved(workdir) // 10 * 10 + 10, runs.STEPS)
    wait(lambda: runs.steps_written(workdir) >= step, process)
    time.sleep(draw.uniform(0, 0.1))


MOMENTS = {"start": at_start, "step": in_step, "save": after_save, "evaluation": in_evaluation}


def kill(workdir: pathlib.Path, moment: str, draw: random.Random, flags: list[str]) -> bool:
    """Starts the run, or goes on with it, and kills it; False if it had ended before."""
    process = runs.start(workdir, *flags)
    MOMENTS[moment](workdir, process, draw)
    process.kill()
    code, output = runs.finish(process)
    if code not in (0, -signal.SIGKILL):
        raise SystemExit(f"{workdir} did not go on: {output}")
    return code != 0


def main() -> int:
    """Prints what came of the kills; 0 if all were survived."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=50, help="kills in all")
    parser.add_argument("--seed", type=int, default=0)
    arguments, flags = parser.parse_known_args()  # what it does not know is for every run
    draw, moments = random.Random(arguments.seed), itertools.cycle(MOMENTS)
    made, survived = collections.Counter(), collections.Counter()
    begin, finished, resumed = time.monotonic(), 0, 0
    with tempfile.TemporaryDirectory(prefix="mtjax-kills-") as name:
        folder = pathlib.Path(name)
        code, output = runs.finish(runs.start(folder / "whole", *flags), timeout=1200)
        if code:
            raise SystemExit(output)
        expected = runs.fingerprint(folder / "whole")
        while made.total() < arguments.count:
            finished += 1
            workdir, killed = folder / f"run{finished}", []
            for moment in itertools.islice(moments, min(PER_RUN, arguments.count - made.total())):
                if not kill(workdir, moment, draw, flags):
                    break
                killed.append(moment)
            made.update(killed)
            code, output = runs.finish(runs.start(workdir, *flags))
            resumed += len(killed) if code == 0 else 0
            if code == 0 and runs.fingerprint(workdir) == expected:
                survived.update(killed)
            print(f"run {finished}: killed at {', '.join(killed) or 'no time'}; ended with {code}", file=sys.stderr)
    for moment in MOMENTS:
        print(f"{moment:<12} {made[moment]:3} kills, {survived[moment]:3} bit-identical")
    total, seconds = f"{made.total()} kills in {finished} runs", time.monotonic() - begin
    print(f"{total}, {resumed} resumed, {survived.total()} of them bit-identical; {seconds:.0f} s")
    return 0 if survived.total() == made.total() else 1


if __name__ == "__main__":
    sys.exit(main())

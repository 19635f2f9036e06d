"""Feeds garbage to everything that reads something from outside, and counts what becomes of it.

    python tests/faults/fuzz.py --count=10000 [--seed=0]

An input is read, or refused by an exception that is meant for it and is one line. Anything else is a defect: another
exception, a word on the terminal, more than 10 s, more than 3 GiB of memory. The seed and the number of an input tell
all of it: a defect is printed with both, and can be had again with `once`.
"""

import argparse
import collections
import os
import pathlib
import random
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable

os.environ.setdefault("JAX_PLATFORMS", "cpu")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import garbage_configs
import garbage_files

SECONDS, MEBIBYTES = 10, 3072  # a picture of as many pixels as are allowed takes about so much
Kind = Callable[[random.Random, pathlib.Path], str]
# By name, what reads one input of that kind, and its share of all inputs.
KINDS: dict[str, tuple[Kind, int]] = {
    "picture": (garbage_files.picture, 40),
    "MNIST file": (garbage_files.digits, 10),
    "NumPy file": (garbage_files.array, 10),
    "bit stream": (garbage_files.stream, 10),
    "config": (garbage_configs.config, 12),
    "command line": (garbage_configs.command_line, 12),
    "workdir": (garbage_configs.workdir, 6),
}


def once(name: str, seed: int, number: int, folder: pathlib.Path) -> str:
    """What becomes of one input: "read", or the type of the exception that refuses it.

    Raises:
        AssertionError: neither; it says what was wrong.
    """
    rng = random.Random(f"{seed} {name} {number}")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def late(*_: object) -> None:
        raise TimeoutError(f"not done after {SECONDS} s")

    handler = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        with warnings.catch_warnings(), tempfile.TemporaryFile() as said, Redirected(said.fileno()):
            warnings.simplefilter("ignore")  # as the command line does
            outcome = KINDS[name][0](rng, folder)
            sys.stdout.flush()
            sys.stderr.flush()
            said.seek(0)
            assert not (words := said.read(500)), f"said {words!r}"
    except BaseException as error:
        raise AssertionError(f"{name}, seed {seed}, number {number}: {type(error).__name__}: {error}") from error
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < MEBIBYTES, f"{name}, seed {seed}, number {number}: took {grown:.0f} MiB"
    return outcome


class Redirected:
    """Sends what this process and the libraries in it print to another file, as long as it lasts."""

    def __init__(self, target: int):
        self.target = target

    def __enter__(self) -> None:
        self.kept = [os.dup(1), os.dup(2)]
        os.dup2(self.target, 1)
        os.dup2(self.target, 2)

    def __exit__(self, *_: object) -> None:
        for number, kept in enumerate(self.kept, 1):
            os.dup2(kept, number)
            os.close(kept)


def main() -> int:
    """Prints a table, by kind of input and outcome; 1 if there was a defect."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    outcomes: dict[str, collections.Counter[str]] = {name: collections.Counter() for name in KINDS}
    whole = sum(share for _, share in KINDS.values())
    for name, (_, share) in KINDS.items():
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            for number in range(-(-given.count * share // whole)):
                try:
                    outcomes[name][once(name, given.seed, number, pathlib.Path(folder))] += 1
                except AssertionError as error:
                    outcomes[name]["DEFECT"] += 1
                    print(error, flush=True)
        counts = ", ".join(f"{count} {outcome}" for outcome, count in outcomes[name].most_common())
        print(f"{name}: {outcomes[name].total()} inputs in {time.monotonic() - start:.0f} s: {counts}", flush=True)
    defects = sum(counter["DEFECT"] for counter in outcomes.values())
    print(f"{sum(counter.total() for counter in outcomes.values())} inputs, seed {given.seed}: {defects} defects")
    return int(defects > 0)


if __name__ == "__main__":
    sys.exit(main())

"""Damages checkpoints at random and counts what became of it: `python tests/faults/flips.py --count=200`.

In a folder with the checkpoints of steps 1 and 2 one file of step 2 is damaged, and the newest good checkpoint is
restored. Either the damage is found, and it is step 1; or it is in bytes that nothing depends on, such as those of
Orbax's own notes and of the second copy that it makes of its tables, and it is step 2. Both are compared bit for bit
with what was saved. Anything else is an error.
"""

import argparse
import collections
import contextlib
import faulthandler
import logging
import pathlib
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2]))
from mtjax.train.checkpoint import Checkpoints

LIMIT_S = 120  # for one restoration


def state(step: int) -> dict:
    """Arrays that compress and arrays that do not, of several dtypes, and a typed key."""
    noise = np.random.default_rng(step)
    return {
        "step": jnp.int32(step),
        "params": {name: jnp.asarray(noise.normal(size=(3, 3, 16, 16)), jnp.float32) for name in ("conv0", "conv1")},
        "half": jnp.asarray(noise.normal(size=300), jnp.bfloat16),
        "moments": jnp.full((40, 50), step / 7),
        "none": jnp.zeros((0, 3)),
        "key": jax.random.key(step),
    }


def bits(state: dict) -> list[bytes]:
    """What two states are compared by."""
    keys, rest = jax.random.key_data(state["key"]), {name: leaf for name, leaf in state.items() if name != "key"}
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves((keys, rest))]


def make(directory: pathlib.Path) -> list[pathlib.Path]:
    """Saves steps 1 and 2; returns the files of step 2."""
    with Checkpoints(directory) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, state(step))
    return sorted(path for path in (directory / "latest" / "2").rglob("*") if path.is_file())


@contextlib.contextmanager
def damaged(file: pathlib.Path, kind: str, draw: random.Random) -> Iterator[None]:
    """Inside, the file is damaged: a "byte flipped", or the "file cut", or the "file deleted"."""
    whole = file.read_bytes()
    place = draw.randrange(max(len(whole), 1))
    if kind == "file deleted":
        file.unlink()
    elif kind == "file cut":
        file.write_bytes(whole[:place])
    elif whole:
        file.write_bytes(whole[:place] + bytes([whole[place] ^ draw.randrange(1, 256)]) + whole[place + 1 :])
    try:
        yield
    finally:
        file.write_bytes(whole)


def outcome(directory: pathlib.Path) -> str:
    """What a run would go on from: "recovered" the step before, or unharmed the step itself ("harmless")."""
    faulthandler.dump_traceback_later(LIMIT_S, exit=True)
    with Checkpoints(directory) as checkpoints:
        found, step = checkpoints.restore(jax.eval_shape(lambda: state(0)))
    faulthandler.cancel_dump_traceback_later()
    assert bits(found) == bits(state(step)), f"step {step} was restored, but not as it was saved"
    return {1: "recovered", 2: "harmless"}[step]


def flips(directory: pathlib.Path, count: int, seed: int = 0) -> collections.Counter:
    """Outcomes of flipping one byte of all that there are, so many times."""
    files, draw, outcomes = make(directory), random.Random(seed), collections.Counter()
    sizes = [path.stat().st_size for path in files]
    for _ in range(count):
        with damaged(draw.choices(files, sizes)[0], "byte flipped", draw):
            outcomes["byte flipped", outcome(directory)] += 1
    return outcomes


def each_file(directory: pathlib.Path, kinds: Sequence[str], seed: int = 0) -> collections.Counter:
    """Outcomes of damaging every file in every way, however small it is."""
    files, draw, outcomes = make(directory), random.Random(seed), collections.Counter()
    for kind in kinds:
        for file in files:
            with damaged(file, kind, draw):
                outcomes[kind, outcome(directory)] += 1
    return outcomes


def show(title: str, outcomes: collections.Counter) -> None:
    """Prints a line for every kind of damage."""
    print(f"{title:24}{'damaged':>8}{'found, recovered':>18}{'harmless':>10}")
    for kind in dict.fromkeys(kind for kind, _ in outcomes):
        recovered, harmless = outcomes[kind, "recovered"], outcomes[kind, "harmless"]
        print(f"  {kind:22}{recovered + harmless:8}{recovered:18}{harmless:10}")


def main() -> None:
    """Prints the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200, help="number of flipped bytes")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        show("random bytes", flips(pathlib.Path(folder) / "bytes", asked.count, asked.seed))
        kinds = ("byte flipped", "file cut", "file deleted")
        show("every file in turn", each_file(pathlib.Path(folder) / "files", kinds, asked.seed))


if __name__ == "__main__":
    main()

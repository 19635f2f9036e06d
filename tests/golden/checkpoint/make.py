"""Writes the checkpoint beside this file: `python tests/golden/checkpoint/make.py`. To be run once for each format."""

import pathlib
import shutil
import sys
import tempfile

import jax
import jax.numpy as jnp
import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[2]))
from mtjax.train.checkpoint import Checkpoints  # noqa: E402

METADATA = {"tasks": {"deblur": "reconstruction", "digit": "classification"}}
SCORE = 0.25
STEP = 7


def state() -> dict:
    """Every kind of array that a state may have, from numbers that no random generator has a part in."""
    ramp = np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 7
    return {
        "step": jnp.int32(STEP),
        "params": {"encoder": {"conv 1": {"kernel": jnp.asarray(ramp), "bias": jnp.asarray(-ramp[0])}}},
        "half": jnp.asarray(ramp, jnp.bfloat16),
        "moments": (jnp.asarray(ramp**2), jnp.zeros((0, 4))),
        "flags": jnp.array([True, False, True]),
        "counts": jnp.asarray([[1, 2**31 - 1], [-(2**31), 0]], jnp.int32),
        "bytes": jnp.arange(256, dtype=jnp.uint8),
        "key": jax.random.wrap_key_data(jnp.asarray([1, 2**32 - 1], jnp.uint32), impl="threefry2x32"),
        "keys": jax.random.wrap_key_data(jnp.asarray([[3, 4], [5, 6]], jnp.uint32), impl="threefry2x32"),
    }


if __name__ == "__main__":
    shutil.rmtree(HERE / "checkpoints", ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:  # for Orbax notes the path that it writes to
        with Checkpoints(folder, metadata=METADATA) as checkpoints:
            checkpoints.save(STEP, state(), SCORE)
        shutil.copytree(folder, HERE / "checkpoints")

"""A checkpoint that was committed once is restored bit for bit by today's code and libraries."""

import importlib.util
import pathlib
import shutil

import jax
import numpy as np
import pytest

from mtjax.train.checkpoint import Checkpoints

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "golden" / "checkpoint"


@pytest.fixture(scope="module")
def golden():
    """The module that wrote it."""
    spec = importlib.util.spec_from_file_location("make_golden_checkpoint", FOLDER / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("which", ["latest", "best"])
def test_it_is_restored_bit_for_bit(golden, which):
    with Checkpoints(FOLDER / "checkpoints", metadata=golden.METADATA) as checkpoints:
        found, step = checkpoints.restore(jax.eval_shape(golden.state), which)
    assert step == golden.STEP
    assert jax.tree.structure(found) == jax.tree.structure(golden.state())
    for leaf, wanted in zip(jax.tree.leaves(found), jax.tree.leaves(golden.state()), strict=True):
        assert leaf.dtype == wanted.dtype and leaf.shape == wanted.shape
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf, wanted = jax.random.key_data(leaf), jax.random.key_data(wanted)
        assert np.asarray(leaf).tobytes() == np.asarray(wanted).tobytes()


def test_its_score_still_decides_what_is_best(golden, tmp_path):
    copy = shutil.copytree(FOLDER / "checkpoints", tmp_path / "checkpoints")
    with Checkpoints(copy, metadata=golden.METADATA) as checkpoints:
        checkpoints.save(golden.STEP + 1, golden.state(), golden.SCORE - 0.01)
        checkpoints.wait()
        assert checkpoints.latest_step("best") == golden.STEP
        checkpoints.save(golden.STEP + 2, golden.state(), golden.SCORE + 0.01)
        checkpoints.wait()
        assert checkpoints.latest_step("best") == golden.STEP + 2


def test_it_is_small():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 100_000

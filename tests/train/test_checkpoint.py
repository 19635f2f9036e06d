"""Bit-exact round trips, and every kind of damage: named, and answered with the newest good checkpoint."""

import logging
import pathlib
import random
import shutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mtjax.pytree import pytree
from mtjax.train import record
from mtjax.train.checkpoint import CheckpointError, Checkpoints


@pytree
class Everything:
    step: Any
    params: Any
    opt: Any
    key: Any


def a_state(seed=0, width=24):
    """Optax's own nested tuples, a typed key, scalars, booleans, bfloat16, an array without elements, odd names."""
    key = jax.random.key(seed)
    params = {
        "encoder": {"conv 1": {"kernel": jax.random.normal(key, (3, 3, width, width)), "bias": jnp.zeros(width)}},
        "heads": {"a.b/c": {"kernel": jax.random.normal(key, (width, 5)).astype(jnp.bfloat16)}},
        "none": jnp.zeros((0, 4)),
        "flags": jnp.array([True, False]),
    }
    optimizer = optax.masked(optax.adamw(1e-3), jax.tree.map(lambda leaf: leaf.dtype == jnp.float32, params))
    return Everything(jnp.int32(seed), params, optimizer.init(params), {"run": key, "many": jax.random.split(key, 3)})


def assert_same_bits(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype and x.shape == y.shape
        if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def flip_byte(path: pathlib.Path, rng: random.Random) -> None:
    """Changes one random byte of a file to another random value."""
    data = bytearray(path.read_bytes())
    place = rng.randrange(len(data))
    data[place] ^= rng.randrange(1, 256)
    path.write_bytes(data)


def files_of(checkpoint_path: pathlib.Path) -> list[pathlib.Path]:
    """All files that are not empty, the largest (the arrays) first."""
    files = [path for path in checkpoint_path.rglob("*") if path.is_file() and path.stat().st_size]
    return sorted(files, key=lambda path: (-path.stat().st_size, str(path)))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Checkpoints of steps 1, 2 and 3, to be copied before they are damaged."""
    directory = tmp_path_factory.mktemp("saved") / "checkpoints"
    with Checkpoints(directory) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, a_state(step))
    return directory


@pytest.fixture
def copy(saved, tmp_path):
    return pathlib.Path(shutil.copytree(saved, tmp_path / "checkpoints"))


def restore(directory, template=None, which="latest", **options):
    with Checkpoints(directory, **options) as checkpoints:
        return checkpoints.restore(a_state() if template is None else template, which)


def test_round_trip_is_bit_exact(saved):
    for template in (a_state(), jax.eval_shape(a_state)):
        state, step = restore(saved, template)
        assert step == 3
        assert_same_bits(state, a_state(3))


def test_a_folder_without_checkpoints_is_a_fresh_start(tmp_path):
    assert restore(tmp_path / "nothing") is None
    (tmp_path / "latest" / "7.orbax-checkpoint-tmp").mkdir(parents=True)
    assert restore(tmp_path) is None
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step() is None


def test_the_saved_state_may_be_donated_at_once(tmp_path):
    state, add = {"w": jnp.arange(100_000.0)}, jax.jit(lambda s: jax.tree.map(lambda x: x + 1, s), donate_argnums=0)
    with Checkpoints(tmp_path) as checkpoints:
        for step in range(3):
            checkpoints.save(step, state)
            for _ in range(10):
                state = add(state)
        restored, step = checkpoints.restore({"w": jnp.zeros(100_000)})
        assert step == 2
        np.testing.assert_array_equal(restored["w"], np.arange(100_000.0) + 20)
        add(restored)
        np.testing.assert_array_equal(checkpoints.restore(state)[0]["w"], np.arange(100_000.0) + 20)


def test_the_last_two_and_the_best_are_kept(tmp_path):
    scores = {1: 0.3, 2: 0.9, 3: None, 4: float("nan"), 5: 0.8}
    with Checkpoints(tmp_path) as checkpoints:
        for step, score in scores.items():
            checkpoints.save(step, a_state(step), score)
        checkpoints.wait()
        assert sorted(p.name for p in (tmp_path / "latest").iterdir()) == ["4", "5"]
        assert [p.name for p in (tmp_path / "best").iterdir()] == ["2"]
    with Checkpoints(tmp_path) as checkpoints:  # another process remembers the best score
        checkpoints.save(6, a_state(6), 0.85)
        checkpoints.wait()
        assert (checkpoints.latest_step("latest"), checkpoints.latest_step("best")) == (6, 2)
        checkpoints.save(7, a_state(7), 0.95)
    state, step = restore(tmp_path, which="best")
    assert step == 7
    assert_same_bits(state, a_state(7))


def test_a_reader_changes_nothing_and_a_writer_cleans_up(copy):
    leftovers = [copy / "latest" / "4.orbax-checkpoint-tmp", copy / "latest" / "1.removed"]
    for leftover in leftovers:
        leftover.mkdir()
    assert restore(copy)[1] == 3
    assert all(leftover.exists() for leftover in leftovers)
    with Checkpoints(copy) as checkpoints:
        checkpoints.save(4, a_state(4))
    assert sorted(path.name for path in (copy / "latest").iterdir()) == ["3", "4"]
    assert restore(copy)[1] == 4


def test_no_byte_flip_in_the_array_file_is_ever_restored(tmp_path, caplog):
    # A few bytes of the file are in no array (the compression level, nodes of the database that nothing names any
    # more): a flip there may go unnoticed, for it changes nothing.
    with Checkpoints(tmp_path) as checkpoints:
        for step in (2, 3):
            checkpoints.save(step, a_state(step, width=64))
    file = files_of(tmp_path / "latest" / "3")[0]
    whole, rng, found = file.read_bytes(), random.Random(0), 0
    for _ in range(20):
        file.write_bytes(whole)
        flip_byte(file, rng)
        caplog.clear()
        state, step = restore(tmp_path, a_state(0, width=64))
        assert_same_bits(state, a_state(step, width=64))
        if step == 2:
            found += 1
            (message,) = [record.getMessage() for record in caplog.records]
            assert message.startswith("checkpoint of step 3 is damaged and not used") and "\n" not in message
    assert found >= 18


def test_a_flip_anywhere_else_is_found_or_harmless(saved, tmp_path):
    rng = random.Random(1)
    for trial in range(len(files_of(saved / "latest" / "3"))):
        copy = pathlib.Path(shutil.copytree(saved, tmp_path / str(trial)))
        flip_byte(files_of(copy / "latest" / "3")[trial], rng)
        state, step = restore(copy)
        assert_same_bits(state, a_state(step))


def damage_truncate(path):
    file = files_of(path)[0]
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def damage_no_arrays(path):
    shutil.rmtree(path / "arrays")


def damage_no_record(path):
    shutil.rmtree(path / "record")


def damage_no_metadata(path):
    (path / "_CHECKPOINT_METADATA").unlink()
    (path / "arrays" / "_METADATA").unlink()


def damage_empty(path):
    shutil.rmtree(path)
    path.mkdir()


DAMAGES = [damage_truncate, damage_no_arrays, damage_no_record, damage_no_metadata, damage_empty]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named_and_the_run_goes_on_from_the_step_before(copy, damage, caplog, capfd):
    damage(copy / "latest" / "3")
    with Checkpoints(copy) as checkpoints:
        state, step = checkpoints.restore(a_state())
        assert step == 2
        assert_same_bits(state, a_state(2))
        (message,) = [record.getMessage() for record in caplog.records]
        assert "step 3" in message and str(copy / "latest" / "3") in message and "\n" not in message
        checkpoints.save(3, a_state(30))  # the run replaces the damaged one
    assert "Traceback" not in capfd.readouterr().err
    state, step = restore(copy)
    assert step == 3
    assert_same_bits(state, a_state(30))


def test_a_run_that_fell_back_removes_what_it_replaces(copy):
    damage_empty(copy / "latest" / "3")
    with Checkpoints(copy, keep=5) as checkpoints:
        assert checkpoints.restore(a_state())[1] == 2
        checkpoints.save(2, a_state(99))  # there already, and verified: nothing to do
        checkpoints.wait()
        assert checkpoints.latest_step() == 3
        checkpoints.save(1, a_state(1))
    assert [p.name for p in (copy / "latest").iterdir()] == ["1"]


def test_all_damaged_is_an_error_not_a_fresh_start(copy):
    for step in ("2", "3"):
        damage_truncate(copy / "latest" / step)
    with pytest.raises(CheckpointError, match=r"all 2 checkpoints below .* are damaged") as error:
        restore(copy)
    assert str(copy) in str(error.value) and "\n" not in str(error.value)


def test_the_best_stands_in_for_the_latest_and_the_other_way_round(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, a_state(1), score=0.1)
        checkpoints.save(2, a_state(2), score=0.2)
        checkpoints.save(3, a_state(3))
    shutil.rmtree(tmp_path / "latest" / "2")
    damage_truncate(tmp_path / "latest" / "3")
    state, step = restore(tmp_path)
    assert step == 2
    assert_same_bits(state, a_state(2))
    damage_truncate(tmp_path / "best" / "2")
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(4, a_state(4), score=0.0)  # a worse score than that of the damaged best, which is replaced
    assert restore(tmp_path, which="best")[1] == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {**s, "b": jnp.zeros(3)}, "b is not there"),
        (lambda s: {"w": s["w"]}, "n is not here"),
        (lambda s: {**s, "w": jnp.zeros((3, 3))}, r"w is float32\[4, 3\] there and float32\[3, 3\] here"),
        (lambda s: {**s, "w": s["w"].astype(jnp.bfloat16)}, r"w is float32\[4, 3\] there and bfloat16\[4, 3\] here"),
        (lambda s: {"x": s["w"], "y": s["n"]}, "x is not there, and 3 more differences"),
    ],
)
def test_another_tree_shape_or_dtype_is_refused_in_one_line(tmp_path, change, message):
    state = {"w": jnp.zeros((4, 3)), "n": jnp.int32(1)}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(5, state)
        with pytest.raises(CheckpointError, match=message) as error:
            checkpoints.restore(change(state))
    assert str(tmp_path / "latest" / "5") in str(error.value) and "\n" not in str(error.value)


def test_another_task_set_is_refused(tmp_path):
    with Checkpoints(tmp_path, metadata={"tasks": ("deblur", "digit")}) as checkpoints:
        checkpoints.save(1, {"w": jnp.zeros(2)})
        assert checkpoints.restore({"w": jnp.zeros(2)})[1] == 1
    with pytest.raises(CheckpointError, match=r"tasks is \['deblur', 'digit'\] there and \['deblur'\] here"):
        restore(tmp_path, {"w": jnp.zeros(2)}, metadata={"tasks": ["deblur"]})


def test_what_is_no_array_is_refused_before_anything_is_written(tmp_path):
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(ValueError, match="n: expected an array, got int"):
        checkpoints.save(1, {"n": 3})


def test_a_failed_save_is_raised_and_the_previous_one_stays(copy):
    blocked = copy / "latest"
    with Checkpoints(copy) as checkpoints:
        checkpoints.save(4, a_state(4))
        checkpoints.wait()
        blocked.rename(copy / "aside")
        blocked.write_text("a file where a folder should be")
        checkpoints.save(5, a_state(5))
        with pytest.raises(CheckpointError, match=r"could not save step 5 to .*File exists") as error:
            checkpoints.wait()
    assert "\n" not in str(error.value)
    blocked.unlink()
    (copy / "aside").rename(blocked)
    assert restore(copy)[1] == 4


def test_a_checkpoint_of_a_newer_format_is_refused_not_replaced(tmp_path, monkeypatch):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {"w": jnp.zeros(2)})
        checkpoints.wait()
        monkeypatch.setattr(record, "FORMAT", record.FORMAT + 1)
        checkpoints.save(2, {"w": jnp.zeros(2)})
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="its format is 2, and this version of mtjax reads format 1"):
        restore(tmp_path, {"w": jnp.zeros(2)})
    assert sorted(path.name for path in (tmp_path / "latest").iterdir()) == ["1", "2"]


def test_orbax_keeps_silent(tmp_path, capfd, caplog):
    with caplog.at_level(logging.INFO), Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, a_state(1))
        checkpoints.restore(a_state())
    assert not caplog.records
    assert capfd.readouterr().err == ""

"""What an example's noise and augmentation depend on: seed, step and place; not on tasks, batch mates, observations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from mtjax.data.augment import augment
from mtjax.train.step import example_keys, fold_name, observe_all

ALL = {name: tiny.OBSERVATIONS[name] for name in ("blurred", "masked")}


def keys(step=3, seed=0, positions=range(4)):
    return example_keys(jax.random.fold_in(jax.random.key(seed), step), jnp.array(list(positions)))


def pictures(seed=0):
    return {"image": jax.random.uniform(jax.random.key(seed), (4, tiny.SIZE, tiny.SIZE, 3))}


def test_another_observation_changes_no_noise():
    both, one = observe_all(ALL, keys(), pictures()), observe_all({"masked": ALL["masked"]}, keys(), pictures())
    np.testing.assert_array_equal(both["masked"].y, one["masked"].y)


def test_batch_mates_change_no_noise():
    batch, other = pictures(), pictures(seed=1)
    other["image"] = other["image"].at[2].set(batch["image"][2])
    for name in ALL:
        left, right = (observe_all(ALL, keys(), each)[name].y for each in (batch, other))
        np.testing.assert_array_equal(left[2], right[2])
        assert not np.array_equal(left[1], right[1])


def test_a_part_of_the_batch_is_observed_as_in_the_whole():
    batch = pictures()
    part = {"image": batch["image"][2:]}
    for name in ALL:
        whole = observe_all(ALL, keys(), batch)[name].y
        np.testing.assert_allclose(observe_all(ALL, keys(positions=[2, 3]), part)[name].y, whole[2:], atol=1e-6)


@pytest.mark.parametrize("other", [{"step": 4}, {"seed": 1}, {"positions": range(1, 5)}])
def test_seed_step_and_place_do(other):
    left, right = (observe_all(ALL, drawn, pictures())["masked"].y for drawn in (keys(), keys(**other)))
    assert not np.array_equal(left[0], right[0])


def test_batch_mates_change_no_augmentation():
    node = {"flip": True, "crop": 2, "rotation": 10.0, "scale": (0.8, 1.2), "normalize": False}
    batch, other = pictures(), pictures(seed=1)
    other["image"] = other["image"].at[2].set(batch["image"][2])
    moved, moved_other = (augment(fold_name(keys(), "augment"), each, node)["image"] for each in (batch, other))
    np.testing.assert_array_equal(moved[2], moved_other[2])
    assert not np.array_equal(moved[2], batch["image"][2])

"""The average of the parameters: a NumPy recursion, skipped steps, checkpoints; and nothing where it is off."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

from mtjax.models import MultiTask
from mtjax.models.sharing import hard
from mtjax.pytree import replace
from mtjax.registry import ConfigError
from mtjax.train import state as states
from mtjax.train.checkpoint import Checkpoints
from mtjax.train.record import named_leaves
from mtjax.train.step import make_train_step

PARAMS = {"encoder": {"w": jnp.arange(3.0)}, "sharing": {}, "heads": {"digit": {"b": jnp.ones(())}}}


class Encoder(nn.Module):
    """One number per block of pixels."""

    strides: tuple[int, ...] = (4,)

    @nn.compact
    def __call__(self, x):
        return (nn.Conv(1, (4, 4), (4, 4))(x),)


class Head(nn.Module):
    """Three scores, linear in the features."""

    @nn.compact
    def __call__(self, pyramid, observed):
        mean = pyramid.finest.mean((1, 2))
        return mean * self.param("weight", nn.initializers.ones, (3,))


@functools.cache
def experiment():
    model = MultiTask(Encoder(), hard(("digit",)), {"digit": Head()}, {"digit": "blurred"})
    node = {"kind": "sgd", "lr": 0.1, "clip": 0.0, "schedule": {"kind": "constant"}, "per_task": {}, "momentum": 0.0}
    return dataclasses.replace(tiny.experiment(("digit",), optimizer=node), model=model)


def state(averaging):
    return states.create(PARAMS, optax.sgd(0.1), experiment().balancing, 1, seed=0, averaging=averaging)


@functools.partial(jax.jit, static_argnums=2)
def update(average, params, decay, updates):
    return states.averaged(average, params, decay, updates)


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.9999])
def test_weights_fall_by_the_decay_and_sum_to_one(decay):
    values = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    average = {"w": jnp.full(3, 9.0)}  # where it begins has no part in it
    for k, value in enumerate(values, 1):
        average = update(average, {"w": jnp.asarray(value)}, decay, k)
        weights = np.float64(decay) ** np.arange(k - 1, -1, -1)
        np.testing.assert_allclose(average["w"], weights @ values[:k] / weights.sum(), rtol=1e-5, atol=1e-5)


def test_the_first_average_is_the_parameters():
    for decay in (0.1, 0.999, 0.999999):
        np.testing.assert_allclose(update({"w": jnp.zeros(2)}, {"w": jnp.ones(2)}, decay, 1)["w"], 1, rtol=1e-6)


def test_after_many_updates_it_is_the_plain_recursion():
    moved = update({"w": jnp.zeros(1)}, {"w": jnp.ones(1)}, 0.99, 10**6)["w"]
    np.testing.assert_allclose(moved, 0.01, rtol=1e-5)


def test_without_an_average_a_state_is_as_it_was_and_its_parameters_are_used():
    plain, kept = state(False), state(True)
    assert not [name for name in named_leaves(plain) if name.startswith("average")]
    assert set(named_leaves(kept)) - set(named_leaves(plain)) == {"average/encoder/w", "average/heads/digit/b"}
    assert plain.evaluated is plain.params and kept.evaluated is kept.average
    np.testing.assert_array_equal(kept.average["encoder"]["w"], PARAMS["encoder"]["w"])


def test_a_checkpoint_holds_the_average(tmp_path):
    saved = replace(state(True), average=jax.tree.map(lambda x: x + 7, PARAMS))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(3, saved)
        restored, step = checkpoints.restore(jax.eval_shape(functools.partial(state, True)))
    assert step == 3
    np.testing.assert_array_equal(restored.evaluated["encoder"]["w"], PARAMS["encoder"]["w"] + 7)


def test_a_step_that_is_skipped_leaves_the_average_and_has_no_part_in_it():
    step = jax.jit(make_train_step(experiment(), ema=0.6))
    now = tiny.initial(experiment())
    now = replace(now, average=now.params)
    good, bad = tiny.batch(), tiny.batch()
    bad["image"] = np.full(bad["image"].shape, np.nan, np.float32)
    good["image"] = good["image"].astype(np.float32) / 255
    seen = []
    for batch in (bad, good, bad, good, good):
        before = now
        now, _ = step(now, batch)
        if batch is bad:
            jax.tree.map(np.testing.assert_array_equal, now.average, before.average)
        else:
            seen.append(np.asarray(now.params["heads"]["digit"]["weight"]))
    assert int(now.skipped) == 2 and not np.array_equal(seen[0], seen[2])
    weights = 0.6 ** np.array([2, 1, 0])
    expected = weights @ np.stack(seen) / weights.sum()
    np.testing.assert_allclose(now.average["heads"]["digit"]["weight"], expected, rtol=1e-5)
    assert now.evaluated is now.average


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_out_of_range_is_named_in_one_line(decay):
    with pytest.raises(ConfigError, match=f"train.ema={decay}") as caught:
        make_train_step(experiment(), ema=decay)
    assert "\n" not in str(caught.value)

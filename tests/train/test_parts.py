"""A batch in parts gives the same losses, weights and gradients as the batch at once, and so on several devices."""

import dataclasses

import four_devices
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from mtjax import weighting
from mtjax.models.encoders import unet
from mtjax.registry import ConfigError
from mtjax.train.balancing import Balancing
from mtjax.train.parallel import compile_step, layout
from mtjax.train.parts import in_parts, join, split
from mtjax.train.step import make_train_step

NAMES = ("digit", "edges")
SGD = {"kind": "sgd", "lr": 0.1, "clip": 0.0, "momentum": 0.0}
EMA = 0.9
DEFAULT = {"Gram matrix at the parameters": Balancing(weighting.make("cagrad", names=NAMES), "parameters")}
LONG = {
    "losses": Balancing(weighting.make("uncertainty", names=NAMES)),
    "Gram matrix at the features": Balancing(weighting.make("nash_mtl", names=NAMES)),
    "gradients at the features": Balancing(weighting.make("graddrop", names=NAMES)),
    "low memory": Balancing(weighting.make("upgrad", names=NAMES), "parameters", low_memory=True),
    "halves": Balancing(weighting.make("modo", names=NAMES, lr=10.0), "parameters"),
    "losses of the step after": Balancing(weighting.make("famo", names=NAMES)),
}


def batch():
    """Of whose odd examples none has a label, and so none of the second of two parts."""
    batch = tiny.batch(8)
    batch["valid"]["label"][1::2] = False
    return batch


def after_a_step(parts, experiment, devices=None, mode="jit"):
    compiled = compile_step(make_train_step(experiment, ema=EMA, parts=parts), mode, devices=devices)
    state = tiny.initial(experiment)
    state = dataclasses.replace(state, average=jax.tree.map(jnp.copy, state.params))
    state, metrics = compiled.run(compiled.place_state(state), compiled.place_batch(batch()))
    said = {name: metrics[name] for name in ("losses", "weights", "cosine", "gradient_norm", "update_norm")}
    assert not metrics["skipped"]
    return state, jax.device_get((said, state.params, state.average, jax.tree.map(numbers, state.weighting)))


def numbers(leaf):
    return jax.random.key_data(leaf) if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


def assert_alike(found, expected, tolerance=1e-5):
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(found), jax.tree.leaves(expected), strict=True):
        scale = tolerance * max(1, np.abs(b, dtype=np.float64).max())
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=scale, err_msg=jax.tree_util.keystr(path))


def check_ways(ways):
    for way, balancing in ways.items():
        experiment = tiny.experiment(NAMES, optimizer=SGD, encoder=tiny.Plain())
        experiment = tiny.with_balancing(experiment, balancing)
        (_, whole), (_, halves) = (after_a_step(parts, experiment) for parts in (1, 2))
        try:
            assert_alike(halves, whole)
        except AssertionError as error:
            raise AssertionError(way) from error


def test_two_parts_are_as_good_as_one():
    check_ways(DEFAULT)


@pytest.mark.slow
def test_two_parts_are_as_good_as_one_for_every_kind_of_weighting():
    check_ways(LONG)


@pytest.mark.parametrize("frames", [1, 3])
def test_a_part_takes_every_second_example_and_joining_gives_the_order_back(frames):
    x = np.arange(8 * frames * 5).reshape(8 * frames, 5)
    parts = split(x, 2, 8)
    by_example = x.reshape(8, frames, 5)
    np.testing.assert_array_equal(parts[1], by_example[1::2].reshape(-1, 5))
    np.testing.assert_array_equal(join(parts, 8), x)
    assert split(np.zeros((8, 0, 4)), 2, 8).shape == (2, 4, 0, 4)


def test_the_gradient_of_parts_adds_up_in_float32():
    w = jnp.float32(1.0)
    x = jnp.array([1.0, *[2.0**-9] * 63])  # in bfloat16, each of the small ones is lost beside 1

    def loss(w):
        return in_parts(lambda w, x, _: w.astype(jnp.bfloat16) * x.astype(jnp.bfloat16), 64, 64)(
            w, split(x, 64, 64), x
        ).sum(dtype=jnp.float32)

    assert jax.grad(loss)(w) == x.sum()


def test_parts_that_are_not_equally_large_are_one_line():
    with pytest.raises(ConfigError, match=r"train.accumulate=3: expected a divisor of the 8 examples"):
        split(np.zeros((8, 2)), 3, 8)


def with_encoder(dtype, remat):
    experiment = tiny.experiment(NAMES, optimizer=SGD, encoder=unet(dtype, width=16, depth=2), kind="uncertainty")
    return dataclasses.replace(experiment, model=dataclasses.replace(experiment.model, remat=remat))


def check_on_four_devices():
    """Runs in a process of its own, for the number of CPU devices is fixed once JAX has started."""
    _, one = after_a_step(1, with_encoder(None, remat=False), layout(1))
    split_state, split_values = after_a_step(2, with_encoder(None, remat=True), layout(shard="full"))
    assert_alike(split_values, one)
    _, mapped = after_a_step(2, with_encoder(None, remat=False), mode="pmap")
    assert_alike(mapped, one)
    half_state, half_values = after_a_step(2, with_encoder(jnp.bfloat16, remat=True), layout(shard="full"))
    assert_alike(half_values, one, 3e-2)
    assert {leaf.dtype for leaf in jax.tree.leaves((half_state.params, half_state.average))} == {np.dtype("float32")}
    for state in (split_state, half_state):
        sizes = [
            (leaf.size, leaf.addressable_shards[0].data.size) for leaf in jax.tree.leaves((state.params, state.average))
        ]
        assert all(own == (whole // 4 if whole >= 4096 else whole) for whole, own in sizes)
        assert any(own < whole for whole, own in sizes)


@pytest.mark.slow
def test_parts_split_state_rematerialization_and_half_precision_go_together():
    four_devices.run(__file__)


if __name__ == "__main__":
    check_on_four_devices()

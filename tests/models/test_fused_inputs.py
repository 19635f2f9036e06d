"""Fields that the encoder reads beside the observation: what an example has not is as if nobody had asked for it."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sharing_models import filled

from mtjax.models import HEADS, SHARINGS, MultiTask
from mtjax.models.inputs import encoder_input
from mtjax.train.step import example_keys, observe_all

SIZE, BATCH = 8, 3
PLAIN = {"operator": {"kind": "mask", "keep": 0.7}, "noise": {"kind": "gaussian", "sigma": 0.02}}
TOLD = {**PLAIN, "fused": ("depth", "previous")}
FUSED = {"depth": 2, "previous": 4}


class Mixer(nn.Module):
    """An encoder of one convolution and a normalization over the whole picture, as real ones have."""

    strides: tuple[int, ...] = (2,)

    @nn.compact
    def __call__(self, x):
        return (nn.GroupNorm(2)(nn.Conv(4, (3, 3), 2)(x)),)


@functools.cache
def network():
    heads = {"depth": HEADS["dense"](None, 1, width=4)}
    net = MultiTask(Mixer(), SHARINGS["hard"](("depth",)), heads, {"depth": "seen"}, FUSED)
    return net, filled(jax.eval_shape(lambda: net.init(jax.random.key(0), observe(batch(), TOLD))), 1)


@functools.cache
def fields():
    rng = np.random.default_rng(0)
    shapes = {"image": (SIZE, SIZE, 3), "depth": (SIZE, SIZE), "previous": (SIZE, SIZE, 3)}
    return {name: rng.random((BATCH, *shape), np.float32) for name, shape in shapes.items()}


def batch(**changes):
    """A batch as the step has it; `depth=False`, or a list, says which examples have a depth."""
    valid = {name: np.broadcast_to(changes.pop(f"has_{name}", True), BATCH) for name in fields()}
    return jax.tree.map(jnp.asarray, {**fields(), **changes, "valid": valid})


def observe(examples, spec, train=False):
    return observe_all({"seen": spec}, example_keys(jax.random.key(1), jnp.arange(BATCH)), examples, train)


@functools.cache
def predictor(told):
    net, params = network()
    spec = TOLD if told else PLAIN
    return jax.jit(lambda examples: net.apply(params, observe(examples, spec))["depth"])


def test_what_is_absent_is_as_if_it_had_not_been_asked_for():
    without = predictor(False)(batch())
    for value in (0.0, 7.0, np.nan, np.inf):
        hidden = {name: np.full_like(fields()[name], value) for name in FUSED}
        absent = batch(**hidden, has_depth=False, has_previous=False)
        np.testing.assert_array_equal(predictor(True)(absent), without)
    assert np.abs(predictor(True)(batch()) - without).max() > 1e-2


def test_each_example_and_each_field_is_absent_by_itself():
    depth = fields()["depth"].copy()
    depth[1] = np.nan
    whole, without = predictor(True)(batch()), predictor(False)(batch())
    mixed = predictor(True)(batch(depth=depth, has_depth=[True, False, True]))
    np.testing.assert_array_equal(mixed[0], whole[0])
    np.testing.assert_array_equal(mixed[2], whole[2])
    assert np.isfinite(mixed).all()
    assert np.abs(mixed[1] - whole[1]).max() > 1e-3 and np.abs(mixed[1] - without[1]).max() > 1e-3


def test_a_field_of_zeros_is_not_an_absent_one():
    zeros = {"depth": np.zeros_like(fields()["depth"])}
    there, absent = predictor(True)(batch(**zeros)), predictor(True)(batch(**zeros, has_depth=False))
    assert np.abs(there - absent).max() > 1e-3


def test_examples_do_not_influence_each_other():
    changed = {name: fields()[name].copy() for name in FUSED}
    for name in FUSED:
        changed[name][1] = 1 - changed[name][1]
    before, after = predictor(True)(batch()), predictor(True)(batch(**changed))
    np.testing.assert_array_equal(before[::2], after[::2])
    assert np.abs(before[1] - after[1]).max() > 1e-3


def test_gradients_are_finite_where_an_absent_field_is_not():
    net, params = network()
    depth = np.full_like(fields()["depth"], np.nan)

    @jax.jit
    def slope(params, examples):
        return jax.grad(lambda p: jnp.abs(net.apply(p, observe(examples, TOLD))["depth"]).mean())(params)

    slopes = slope(params, batch(depth=depth, has_depth=False))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))


def test_observations_with_and_without_fields_pass_one_encoder():
    net, _ = network()

    @jax.jit
    def read(examples):
        seen = observe_all({"told": TOLD, "plain": PLAIN}, example_keys(jax.random.key(1), jnp.arange(BATCH)), examples)
        return {name: encoder_input(one, net.fused) for name, one in seen.items()}

    both = read(batch())
    assert both["told"].shape == both["plain"].shape == (BATCH, SIZE, SIZE, 3 + 2 + 2 + 4)
    np.testing.assert_array_equal(both["plain"][..., 5:], 0)
    np.testing.assert_allclose(both["told"][..., 5], fields()["depth"])
    np.testing.assert_array_equal(both["told"][..., 6], 1)


def test_a_share_is_withheld_in_training_alone_each_field_on_its_own():
    many = 400
    examples = {name: np.ones((many, *field.shape[1:]), np.float32) for name, field in fields().items()}
    spec = {"seen": {**TOLD, "withheld": 0.3}}

    @functools.partial(jax.jit, static_argnums=1)
    def shown(examples, train):
        return observe_all(spec, example_keys(jax.random.key(2), jnp.arange(many)), examples, train)["seen"].fused

    present = {name: np.asarray(maps[:, 0, 0, -1]) for name, maps in shown(examples, True).items()}
    assert all(np.all(np.asarray(maps) == 1) for maps in shown(examples, False).values())
    assert all(0.62 < there.mean() < 0.78 for there in present.values())  # four standard deviations
    assert 0.3 < (present["depth"] != present["previous"]).mean() < 0.54


def test_maps_of_another_size_are_named():
    small = {"operator": {"kind": "downsample", "factor": 2}, "noise": {"kind": "none"}, "fused": ("depth",)}
    with pytest.raises(ValueError, match=r"field 'depth' is fused with an observation of \(4, 4\), but is \(8, 8\)"):
        encoder_input(observe(batch(), small)["seen"], {"depth": 2})

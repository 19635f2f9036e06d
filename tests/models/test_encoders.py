"""Encoders: one interface, and what the papers say of each. No test here knows today's numbers."""

import functools
import importlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from mtjax import config
from mtjax.models import ENCODERS, MultiTask
from mtjax.models.encoders import vit as vit_entry
from mtjax.models.encoders.nafnet import Depthwise, NAFBlock
from mtjax.models.encoders.resnet import ResidualUnit
from mtjax.models.encoders.vit import position_codes
from mtjax.models.pyramid import shuffle, unshuffle
from mtjax.train.build import build_model, build_tasks
from mtjax.train.step import observe_for_evaluation

# By case: the encoder, its parameters, and how many stages it has. Nothing here is larger than it must be.
CASES = {
    "unet": ("unet", {"width": 16, "depth": 2}, 2),
    "resnet": ("resnet", {"width": 8, "depths": (1, 2, 1), "dilate": 1, "fpn": 16}, 3),
    "bottleneck": ("resnet", {"width": 8, "depths": (1, 1), "bottleneck": True, "stem": 4, "fpn": 16}, 2),
    "nafnet": ("nafnet", {"width": 8, "depths": (1, 1)}, 2),
    "dncnn": ("dncnn", {"width": 8, "depth": 3}, 3),
    "edsr": ("edsr", {"width": 8, "depth": 2}, 3),
    "vit": ("vit", {"width": 16, "depth": 3, "heads": 2, "fpn": 16}, 2),
}
COMPILED = ("resnet",)  # the others are compiled behind the slow marker
each = pytest.mark.parametrize("case", CASES)
some = pytest.mark.parametrize(
    "case", [case if case in COMPILED else pytest.param(case, marks=pytest.mark.slow) for case in CASES]
)
INPUT = (2, 16, 32, 5)


def build(case, dtype=None, **more):
    kind, parameters, _ = CASES[case]
    return ENCODERS[kind](dtype, **{**parameters, **more})


@functools.cache
def ready(case):
    """An encoder, initial parameters, ones away from the zeros that some start at, and its compiled `apply`."""
    encoder = build(case)
    params = jax.jit(encoder.init)(jax.random.key(0), jnp.zeros((1, *(encoder.strides[-1],) * 2, 5)))
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [x + 0.1 * jax.random.normal(key, x.shape) for x, key in zip(leaves, keys, strict=True)]
    return encoder, params, tree.unflatten(moved), jax.jit(encoder.apply)


def pictures(shape=INPUT, seed=2):
    return jax.random.uniform(jax.random.key(seed), shape)


def shapes(encoder, size=32, channels=3):
    return jax.eval_shape(encoder.init, jax.random.key(0), jnp.zeros((1, size, size, channels)))["params"]


def sizes(params, name):
    """The number of weights in all leaves called `name`."""
    return sum(x.size for path, x in jax.tree.leaves_with_path(params) if path[-1].key == name)


@some
def test_strides_and_shapes_agree_for_any_size(case):
    encoder, _, params, apply = ready(case)
    assert list(encoder.strides) == sorted(set(encoder.strides))
    for height, width in ((16, 32), (32, 48)):
        levels = apply(params, pictures((2, height, width, 5)))
        assert len(levels) == len(encoder.strides)
        for level, stride in zip(levels, encoder.strides, strict=True):
            assert level.shape[:3] == (2, height // stride, width // stride)
            assert bool(jnp.isfinite(level).all())


@some
def test_features_do_not_depend_on_batch_mates(case):
    _, _, params, apply = ready(case)
    x = pictures()
    other = apply(params, x.at[1].set(5 * x[1] - 3))
    for level, same in zip(apply(params, x), other, strict=True):
        np.testing.assert_allclose(level[0], same[0], atol=1e-5)
        assert not np.allclose(level[1], same[1], atol=1e-2)


@some
def test_every_parameter_has_a_finite_gradient(case):
    encoder, _, params, _ = ready(case)
    x = pictures()

    @jax.jit
    def gradient(params):
        def total(params):
            levels = encoder.apply(params, x)
            # A target of noise: after a normalization, sums of values and of squares do not depend on what was before.
            return sum(jnp.mean(level * jax.random.normal(jax.random.key(3), level.shape)) for level in levels)

        return jax.grad(total)(params)

    for path, g in jax.tree.leaves_with_path(gradient(params)):
        assert bool(jnp.isfinite(g).all()), jax.tree_util.keystr(path)
        assert float(jnp.abs(g).max()) > 1e-6, jax.tree_util.keystr(path)


@some
def test_features_are_exchanged_between_stages(case):
    encoder, _, params, apply = ready(case)
    x, stages = pictures(), CASES[case][2]
    seen = []

    @jax.jit
    def scaled(gains):
        def between(stage, features):
            seen.append((stage, features.ndim, features.shape[0]))
            return features * gains[stage]

        return encoder.apply(params, x, between)

    levels, same = apply(params, x), scaled(jnp.ones(stages))
    assert seen == [(stage, 4, len(x)) for stage in range(stages)]
    for level, other in zip(levels, same, strict=True):
        np.testing.assert_allclose(level, other, atol=1e-4)
    for stage in range(stages):
        zeroed = scaled(jnp.ones(stages).at[stage].set(0))
        assert not all(np.allclose(a, b, atol=1e-2) for a, b in zip(levels, zeroed, strict=True))
    for level in scaled(jnp.zeros(stages)):  # nothing of a picture goes round the exchange
        np.testing.assert_allclose(level[0], level[1], atol=1e-5)


@some
def test_features_start_neither_large_nor_small(case):
    _, initial, _, apply = ready(case)
    for level in apply(initial, pictures()):
        assert 0.1 < float(jnp.sqrt(jnp.mean(level**2))) < 4


@some
def test_bfloat16_stays_near_float32(case):
    _, _, params, apply = ready(case)
    encoder = build(case, jnp.bfloat16)
    assert {x.dtype for x in jax.tree.leaves(shapes(encoder))} == {jnp.dtype(jnp.float32)}
    x = pictures()
    for level, half in zip(apply(params, x), jax.jit(encoder.apply)(params, x), strict=True):
        assert half.dtype == jnp.bfloat16
        error = jnp.sqrt(jnp.mean((half.astype(jnp.float32) - level) ** 2) / jnp.mean(level**2))
        assert 0 < float(error) < 0.05


@each
def test_a_config_names_it_and_a_head_reads_it(case):
    """16 × 16 pictures in 20 × 20: what the largest stride does not divide is padded."""
    kind, parameters, _ = CASES[case]
    text = [f"--config.model.encoder.{key}={value}".replace(" ", "") for key, value in parameters.items()]
    recipe = {
        "observations": {"masked": tiny.OBSERVATIONS["masked"]},
        "tasks": {"inpaint": {"kind": "reconstruction", "observation": "masked", "head": {"kind": "decoder"}}},
    }
    c, _ = config.resolve(recipe, [f"--config.model.encoder.kind={kind}", *text])
    assert c.model.encoder.to_dict().items() >= parameters.items()
    model = build_model(c, build_tasks(c, tiny.INFO))
    assert model.encoder == build(case)
    seen = observe_for_evaluation(recipe["observations"], jnp.arange(1), {"image": jnp.zeros((1, 20, 20, 3))})
    model = MultiTask(model.encoder, model.sharing, model.heads, model.reads)

    def predictions(key):
        return model.apply(model.init(key, seen), seen)

    assert jax.eval_shape(predictions, jax.random.key(0))["inpaint"].shape == (1, 20, 20, 3)


@pytest.mark.parametrize(
    ("kind", "parameters", "message"),
    [
        ("resnet", {"width": 0}, "width must be at least 1, got 0"),
        ("resnet", {"fpn": 0}, "fpn must be at least 1, got 0"),
        ("resnet", {"depths": (2, 0)}, "the least of depths must be at least 1, got 0"),
        ("resnet", {"depths": ()}, "the least of depths must be at least 1, got 0"),
        ("resnet", {"dilate": 3}, "dilate must be at least 0 and less than the 3 stages of depths, got 3"),
        ("resnet", {"dilate": -1}, "dilate must be at least 0 and less than the 3 stages of depths, got -1"),
        ("resnet", {"stem": 3}, "stem must be 1, 2 or 4, got 3"),
        ("nafnet", {"width": 0}, "width must be at least 1, got 0"),
        ("nafnet", {"depths": (1, -1)}, "the least of depths must be at least 1, got -1"),
        ("nafnet", {"up": 0}, "up must be at least 1, got 0"),
        ("nafnet", {"stem": 0}, "stem must be at least 1, got 0"),
        ("vit", {"depth": 0}, "depth must be at least 1, got 0"),
        ("vit", {"down": -1}, "down must be at least 0, got -1"),
        ("vit", {"width": 98, "heads": 2}, "width must be a multiple of 4 and of the 2 heads, got 98"),
        ("vit", {"heads": 5}, "width must be a multiple of 4 and of the 5 heads, got 64"),
        ("vit", {"mlp_ratio": 0.0}, "mlp_ratio must give at least 1 hidden unit at width 64, got 0.0"),
        ("vit", {"stages": 5}, "stages must be at most depth, 4, got 5"),
        ("vit", {"patch": 6, "up": 2}, "up must be such that patch, 6, and width, 64, can be halved that often, got 2"),
    ],
)
def test_senseless_parameters_are_one_line(kind, parameters, message):
    with pytest.raises(ValueError) as caught:
        ENCODERS[kind](None, **parameters)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("depths", "bottleneck", "trunk", "normalized"),
    # torchvision's resnet18 has 11,689,512 parameters, of them 513,000 in its classifier and 9,600 in normalizations;
    # its resnet50 25,557,032, 2,049,000 and 53,120.
    [((2, 2, 2, 2), False, 11_166_912, 9_600), ((3, 4, 6, 3), True, 23_454_912, 53_120)],
)
def test_the_trunk_is_that_of_the_paper(depths, bottleneck, trunk, normalized):
    """Table 1 of He et al. by a formula that knows no code, and the counts of another implementation."""
    params = dict(shapes(ENCODERS["resnet"](None, width=64, depths=depths, bottleneck=bottleneck, stem=4)))
    del params["fpn"]
    weights, before = 7 * 7 * 3 * 64, 64
    for stage, units in enumerate(depths):
        c = 64 * 2**stage
        out = 4 * c if bottleneck else c
        for _ in range(units):
            weights += before * c + 9 * c * c + c * out if bottleneck else 9 * before * c + 9 * c * out
            weights += before * out if before != out else 0
            before = out
    assert sizes(params, "kernel") == weights == trunk
    assert sizes(params, "scale") + sizes(params, "bias") == normalized


@pytest.mark.parametrize("bottleneck", [False, True])
def test_dilation_keeps_the_parameters_and_the_resolution(bottleneck):
    make = functools.partial(ENCODERS["resnet"], None, width=8, depths=(1, 1, 2, 1), bottleneck=bottleneck, fpn=8)
    plain, dilated = make(), make(dilate=2)
    assert plain.strides == (2, 4, 8, 16)
    assert dilated.strides == (2, 4)
    trunks = [{name: leaf for name, leaf in shapes(encoder).items() if name != "fpn"} for encoder in (plain, dilated)]
    assert trunks[0] == trunks[1]
    seen = []

    def note(_, x):
        seen.append(x.shape)
        return x

    jax.eval_shape(lambda k, x: dilated.init(k, x, note), jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    outside = 4 if bottleneck else 1
    sides = [16, 8, 8, 8]
    assert seen == [(1, side, side, outside * 8 * 2**stage) for stage, side in enumerate(sides)]


def test_a_dilated_unit_does_on_a_finer_map_what_a_plain_one_does():
    """Where each value stands in a 2 × 2 block, convolution at twice the distance meets the same values."""
    x = jax.random.normal(jax.random.key(0), (1, 6, 8, 8))

    def finer(x):
        return x.repeat(2, 1).repeat(2, 2)

    for bottleneck in (False, True):
        plain, dilated = (ResidualUnit(4, bottleneck, 1, (rate, rate)) for rate in (1, 2))
        params = jax.tree.map(lambda w: w + 0.3, jax.jit(plain.init)(jax.random.key(1), x))
        expected = finer(jax.jit(plain.apply)(params, x))
        np.testing.assert_allclose(jax.jit(dilated.apply)(params, finer(x)), expected, atol=1e-4)
        assert not np.allclose(jax.jit(plain.apply)(params, finer(x)), expected, atol=1e-2)


def test_dilation_grows_with_each_stage_that_gives_up_its_stride():
    """The first convolution of such a stage is as the one before, as its input has the resolution that it had."""
    encoder = ENCODERS["resnet"](None, width=4, depths=(1, 1, 1), dilate=2, stem=1, fpn=4)
    rates = []

    def record(call, args, kwargs, context):
        if isinstance(context.module, ResidualUnit):
            rates.append((context.module.stride, context.module.dilation))
        return call(*args, **kwargs)

    with nn.intercept_methods(record):
        jax.eval_shape(encoder.init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    assert rates == [(1, (1, 1)), (1, (1, 2)), (1, (2, 4))]


def test_residual_units_start_as_the_identity():
    x = nn.relu(jax.random.normal(jax.random.key(0), (1, 4, 4, 8)))
    for unit in (ResidualUnit(8), ResidualUnit(2, bottleneck=True)):
        np.testing.assert_array_equal(jax.jit(unit.init_with_output)(jax.random.key(1), x)[0], x)


def test_naf_blocks_start_as_the_identity():
    x = jax.random.normal(jax.random.key(0), (2, 4, 6, 8))
    y, params = jax.jit(NAFBlock().init_with_output)(jax.random.key(1), x)
    np.testing.assert_array_equal(x, y)
    moved = jax.tree.map(lambda w: w + 0.1, params)
    assert not np.allclose(jax.jit(NAFBlock().apply)(moved, x), x, atol=1e-2)


def test_a_naf_block_is_what_the_paper_draws():
    """Figure 3 of Chen et al. in NumPy, its depthwise convolution by loops."""
    rng, c = np.random.default_rng(0), 4
    x = np.asarray(rng.normal(size=(1, 3, 5, c)), np.float32)
    params = jax.eval_shape(NAFBlock().init, jax.random.key(0), jnp.asarray(x))
    params = jax.tree.map(lambda s: rng.normal(size=s.shape).astype(np.float32), params)
    p = params["params"]

    def dense(x, name):
        return x @ p[name]["kernel"] + p[name]["bias"]

    def norm(x, name):
        centered = x - x.mean(-1, keepdims=True)
        return centered / np.sqrt(centered.var(-1, keepdims=True) + 1e-6) * p[name]["scale"] + p[name]["bias"]

    y = dense(norm(x, "norm1"), "expand1")
    padded, z = np.pad(y, ((0, 0), (1, 1), (1, 1), (0, 0))), np.zeros_like(y)
    for i, j in np.ndindex(3, 5):
        z[0, i, j] = (padded[0, i : i + 3, j : j + 3] * p["depthwise"]["kernel"][:, :, 0]).sum((0, 1))
    z += p["depthwise"]["bias"]
    y = z[..., :c] * z[..., c:]
    y = y * dense(y.mean((1, 2), keepdims=True), "attention")
    x1 = x + p["beta"] * dense(y, "reduce1")
    y = dense(norm(x1, "norm2"), "expand2")
    expected = x1 + p["gamma"] * dense(y[..., :c] * y[..., c:], "reduce2")
    np.testing.assert_allclose(jax.jit(NAFBlock().apply)(params, jnp.asarray(x)), expected, rtol=2e-3, atol=2e-3)


def test_the_depthwise_convolution_is_a_grouped_one():
    x = jax.random.normal(jax.random.key(0), (2, 5, 7, 6))
    grouped = nn.Conv(6, (3, 3), feature_group_count=6)
    params = jax.tree.map(lambda w: w + 0.1, grouped.init(jax.random.key(1), x))
    np.testing.assert_allclose(Depthwise().apply(params, x), grouped.apply(params, x), atol=1e-5)
    assert jax.tree.map(jnp.shape, Depthwise().init(jax.random.key(1), x)) == jax.tree.map(jnp.shape, params)


def test_nafnet_starts_as_a_linear_map_of_the_picture():
    """Its blocks are the identity, and nothing else in it is more than a convolution."""
    encoder = build("nafnet")
    x, y = pictures(seed=5), pictures(seed=6)
    params = jax.jit(encoder.init)(jax.random.key(0), x)
    apply = jax.jit(encoder.apply)
    for a, b, both in zip(apply(params, x), apply(params, y), apply(params, 2 * x - 3 * y), strict=True):
        np.testing.assert_allclose(2 * a - 3 * b, both, atol=1e-4)


def table(height, width, channels):
    """Position codes by loops: sines and cosines of the row in the first half, of the column in the second."""
    codes, quarter = np.zeros((height, width, channels)), channels // 4
    for row, column, i in np.ndindex(height, width, quarter):
        rate = 1 / 10_000 ** (i / quarter)
        for half, place in ((0, row), (2, column)):
            codes[row, column, half * quarter + i] = np.sin(place * rate)
            codes[row, column, (half + 1) * quarter + i] = np.cos(place * rate)
    return codes


def test_position_codes():
    codes = np.asarray(position_codes(5, 7, 16))
    np.testing.assert_allclose(codes, table(5, 7, 16), atol=1e-5)
    flat = codes.reshape(35, 16)
    assert np.linalg.matrix_rank(flat) > 4 and len(np.unique(flat.round(4), axis=0)) == 35
    # How alike two places are depends on how they lie to each other alone, not on where they are.
    np.testing.assert_allclose((codes[1:, 2:] * codes[:-1, :-2]).sum(-1), codes[1, 2] @ codes[0, 0], atol=1e-5)
    np.testing.assert_allclose(position_codes(9, 9, 16)[:5, :7], codes, atol=1e-6)


@pytest.mark.slow
def test_without_position_codes_a_transformer_does_not_know_the_order_of_patches(monkeypatch):
    encoder, _, params, _ = ready("vit")
    x = pictures((1, 16, 16, 5))
    order = jax.random.permutation(jax.random.key(7), 16)
    patches = unshuffle(x, 4).reshape(1, 16, -1)
    # `shuffle` takes channels as (row, column, channel), just as `unshuffle` has laid them out.
    mixed = shuffle(patches[:, order].reshape(1, 4, 4, -1), 4)

    def last_maps():
        def last_map(x):
            maps = []
            encoder.apply(params, x, lambda _, features: maps.append(features) or features)
            return maps[-1].reshape(1, 16, -1)

        function = jax.jit(last_map)
        return function(x), function(mixed)

    ordered, other = last_maps()
    assert not np.allclose(other, ordered[:, order], atol=1e-2)
    module = importlib.import_module("mtjax.models.encoders.vit")
    monkeypatch.setattr(module, "position_codes", lambda h, w, c: jnp.zeros((h, w, c)))
    ordered, other = last_maps()
    np.testing.assert_allclose(other, ordered[:, order], atol=1e-4)
    assert not np.allclose(other, ordered, atol=1e-2)


def test_a_simple_pyramid_has_the_levels_that_are_asked_for():
    encoder = vit_entry(None, patch=16, width=16, depth=1, heads=1, stages=1, up=2, down=1, fpn=8)
    assert encoder.strides == (4, 8, 16, 32)
    levels = jax.eval_shape(lambda x: encoder.init_with_output(jax.random.key(0), x)[0], jnp.zeros((1, 64, 32, 5)))
    assert [level.shape for level in levels] == [(1, 64 // s, 32 // s, 8) for s in encoder.strides]


def test_blocks_are_spread_over_the_stages():
    encoder = vit_entry(None, width=8, depth=5, heads=1, stages=3, fpn=8)
    assert sum("block" in name for name in shapes(encoder)) == 5

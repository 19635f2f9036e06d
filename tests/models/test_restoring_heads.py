"""Heads that give images: from every kind of observation, at any size, and what each promises of its start."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.interpolate

from mtjax import physics, solvers
from mtjax.models import HEADS
from mtjax.models.heads.implicit import pixel_positions
from mtjax.models.heads.trilinear import trilinear
from mtjax.models.inputs import encoder_input, start_image
from mtjax.models.pyramid import Pyramid
from mtjax.physics import Observed
from mtjax.pytree import replace
from mtjax.registry import ConfigError

# NumPy draws what it can: each shape that JAX draws is a program to compile.
IMAGE = jnp.asarray(np.random.default_rng(0).uniform(size=(2, 12, 16, 3)), jnp.float32)
KEY = jax.random.key(0, impl="unsafe_rbg")  # much faster to compile
KINDS = {
    "identity": {"kind": "identity"},
    "valid": {"kind": "blur", "std": 0.7, "size": 4, "boundary": "valid"},
    "mask": {"kind": "mask"},
    "downsample": {"kind": "downsample", "factor": 2, "std": 0.8},
    "bicubic": {"kind": "bicubic", "factor": 4},
    "mosaic": {"kind": "mosaic"},
    "gray": {"kind": "color_matrix"},
    "sensing": {"kind": "matrix_sensing", "ratio": 16 / 192},
    "fourier": {"kind": "fourier"},
    "radon": {"kind": "radon", "angles": 5},
    "jpeg": {"kind": "jpeg"},
    "color_cast": {"kind": "color_cast"},
}
INTERPOLATED = ("valid", "downsample", "bicubic", "mosaic")


def observed(kind: dict, image=IMAGE) -> Observed:
    return jax.jit(lambda x: physics.observe({"operator": kind}, jax.random.split(KEY, len(x)), x))(image)


def normal(*shape: int):
    return jnp.asarray(np.random.default_rng(1).normal(size=shape), jnp.float32)


def features(seen: Observed) -> Pyramid:
    """Features such as an encoder of strides 2 and 4 gives of this observation's picture."""
    _, height, width, _ = jax.eval_shape(encoder_input, seen).shape
    down, right = -(-height // 4), -(-width // 4)
    levels = normal(len(IMAGE), 2 * down, 2 * right, 4), normal(len(IMAGE), down, right, 8)
    return Pyramid(levels, (2, 4), (height, width))


def learned(head, seen: Observed):
    """Parameters of a head for this observation, of which none is zero."""
    shapes = jax.eval_shape(lambda: head.init(KEY, features(seen), seen))
    return jax.tree.map(lambda leaf: 0.3 * normal(*leaf.shape), shapes)


@pytest.mark.parametrize("kind", KINDS)
def test_every_observation_has_an_estimate_to_start_from(kind):
    seen = observed(KINDS[kind])
    start = jax.jit(start_image)(seen)
    assert start.shape == IMAGE.shape and start.dtype == jnp.float32
    if kind in INTERPOLATED:
        np.testing.assert_allclose(start, jax.jit(solvers.bicubic)(seen.y, seen.operator).image, atol=1e-6)
    elif seen.y.shape == IMAGE.shape and kind != "fourier":
        np.testing.assert_array_equal(start, seen.y)
    else:
        residual = jax.jit(lambda seen, x: seen.operator(x) - seen.y)(seen, start)
        assert np.linalg.norm(residual) < np.linalg.norm(seen.y)
    assert jnp.mean((start - IMAGE) ** 2) < jnp.mean(IMAGE**2)  # it says more of the image than nothing does


SHAPES = [("decoder", kind) for kind in KINDS] + [
    (name, kind) for name in ("nafnet_decoder", "estimate", "implicit") for kind in ("downsample", "valid")
]


@pytest.mark.parametrize(("name", "kind"), SHAPES)
def test_heads_give_an_image_for_every_observation(name, kind):
    seen = jax.eval_shape(lambda: observed(KINDS[kind]))
    head = HEADS[name](None, 3, **({"solver": {"kind": "bicubic"}} if name == "estimate" else {}))
    out = jax.eval_shape(lambda seen: head.init_with_output(KEY, features(seen), seen)[0], seen)
    assert out.shape == IMAGE.shape and out.dtype == jnp.float32


@pytest.mark.parametrize("name", ["nafnet_decoder", "implicit", "detail", "lut", "bilateral_grid"])
def test_heads_start_at_the_estimate_and_take_any_size(name):
    """10 × 14 pixels halved are a multiple of no stride."""
    seen = observed(KINDS["downsample"], IMAGE[:, :10, :14])
    head = HEADS[name](None, 3, width=4)
    out = jax.jit(lambda: head.init_with_output(KEY, features(seen), seen)[0])()
    if name == "detail":
        np.testing.assert_array_equal(out.detail, jnp.zeros((2, 10, 14, 3)))
        out = out.base
    np.testing.assert_allclose(out, start_image(seen), atol=1e-6)


@pytest.mark.parametrize("name", ["lut", "bilateral_grid", "implicit"])
def test_every_parameter_has_a_slope(name):
    seen = observed(KINDS["downsample"])
    head = HEADS[name](None, 3, width=4, **({"depth": 0} if name == "implicit" else {}))
    slopes = jax.jit(jax.grad(lambda p: jnp.sum(head.apply(p, features(seen), seen) ** 2)))(learned(head, seen))
    assert all(bool(jnp.isfinite(g).all()) and bool(jnp.any(g != 0)) for g in jax.tree.leaves(slopes))


def test_realtime_repeats_pixels_at_first():
    seen, head = observed(KINDS["bicubic"]), HEADS["realtime"](None, 3)
    out = jax.jit(lambda: head.init_with_output(KEY, features(seen), seen)[0])()
    np.testing.assert_array_equal(out, np.asarray(seen.y).repeat(4, 1).repeat(4, 2))


def test_a_burst_is_named_where_a_single_picture_is_needed():
    seen = observed({"kind": "burst", "frames": 3})
    with pytest.raises(ValueError, match="a burst of 3 frames"):
        start_image(seen)


def test_the_encoder_is_not_told_how_colors_were_changed():
    dark, bright = (observed({"kind": "exposure", "stops": s}) for s in (-1.0, 1.0))
    for seen in (dark, bright):
        np.testing.assert_array_equal(encoder_input(seen)[..., 3], 1)


# --- implicit


@functools.cache
def implicit():
    """A head that has learned something, as a function of the shape."""
    seen, head = observed(KINDS["bicubic"]), HEADS["implicit"](None, 3, width=4, depth=0)
    params = learned(head, seen)
    return seen, jax.jit(lambda shape: head.apply(params, features(seen), seen, shape=shape), static_argnums=0)


def test_implicit_gives_any_shape():
    _, run = implicit()
    np.testing.assert_allclose(run((12, 16)), run(None), atol=1e-5)
    out = run((7, 41))
    assert out.shape == (2, 7, 41, 3) and bool(jnp.isfinite(out).all())


def test_pixels_lie_where_the_operator_took_them():
    """Tripled, the middle pixel of each block has the place of a pixel before."""
    for operator in (physics.Downsample(2), physics.Bicubic(2)):
        once, thrice = pixel_positions(12, 12, 6, operator), pixel_positions(36, 12, 6, operator)
        np.testing.assert_allclose(thrice[1::3], once, atol=1e-5)
    np.testing.assert_allclose(pixel_positions(12, 12, 6, physics.Downsample(2))[::2], np.arange(6.0), atol=1e-6)
    np.testing.assert_allclose(pixel_positions(12, 12, 6, physics.Bicubic(2))[:2], [-0.25, 0.25], atol=1e-6)


def test_the_local_ensemble_is_continuous_across_cells():
    """The finer the sampling, the smaller the largest step; without the ensemble it would stay the same."""
    seen, run = implicit()
    start = [physics.resize(start_image(seen), (12, size)) for size in (400, 1600)]
    change = [run((12, size)) - base for size, base in zip((400, 1600), start, strict=True)]
    coarse, fine = (float(jnp.abs(jnp.diff(x, axis=2)).max()) for x in change)
    assert fine < 0.3 * coarse
    assert float(jnp.abs(change[0]).max()) > 10 * coarse


# --- reference


@functools.cache
def styled():
    seen, head = observed(KINDS["identity"]), HEADS["reference"](None, 3, width=4, depth=0)
    pyramid = features(seen)

    def given(values, present):
        return replace(seen, given={"reference": (values, present)})

    params = learned(head, given(IMAGE, jnp.ones(2, bool)))

    def run(params, values, present):
        return head.apply(params, pyramid, given(values, present))

    return params, jax.jit(run), jax.jit(jax.grad(lambda p, v, has: jnp.sum(run(p, v, has) ** 2)))


def test_a_reference_matters_through_its_statistics():
    params, run, _ = styled()
    both = jnp.ones(2, bool)
    one = run(params, IMAGE, both)
    assert not np.allclose(run(params, IMAGE**2, both), one, atol=1e-3)
    changed = run(params, IMAGE.at[1].set(0.2), both)
    np.testing.assert_allclose(changed[0], one[0], atol=1e-6)  # each example by its own
    assert not np.allclose(changed[1], one[1], atol=1e-3)


def test_an_absent_reference_is_not_looked_at():
    params, run, slopes = styled()
    present = jnp.asarray([True, False])
    values = [IMAGE.at[1].set(x) for x in (0.0, jnp.nan, jnp.inf)]
    first, *others = (run(params, v, present) for v in values)
    gradients = [slopes(params, v, present) for v in values]
    for other in others:
        np.testing.assert_array_equal(other, first)
    for leaf, *same in zip(*(jax.tree.leaves(g) for g in gradients), strict=True):
        assert bool(jnp.isfinite(leaf).all())
        for other in same:
            np.testing.assert_array_equal(other, leaf)


def test_without_references_a_head_that_needs_them_says_so():
    seen = observed(KINDS["identity"])
    with pytest.raises(ValueError, match=r"given=\('reference',\)"):
        HEADS["reference"](None, 3).init(KEY, features(seen), seen)


# --- color


def test_trilinear_reads_as_scipy_does():
    random = np.random.default_rng(0)
    sizes = (4, 5, 3)
    grid, at = random.normal(size=(2, *sizes, 2)), random.uniform(-1, 5, (2, 7, 3))
    found = trilinear(jnp.asarray(grid, jnp.float32), jnp.asarray(at, jnp.float32))
    for i in range(2):
        read = scipy.interpolate.RegularGridInterpolator([np.arange(n) for n in sizes], grid[i])
        np.testing.assert_allclose(found[i], read(np.clip(at[i], 0, np.subtract(sizes, 1))), atol=1e-5)
    corners = jnp.asarray([[[0.0, 0.0, 0.0], [3.0, 4.0, 2.0]]] * 2)
    np.testing.assert_allclose(trilinear(jnp.asarray(grid), corners)[0, 1], grid[0, 3, 4, 2], rtol=1e-5)


def test_a_table_changes_equal_colors_equally():
    seen = observed(KINDS["identity"], jnp.tile(IMAGE[:, :, :8], (1, 1, 2, 1)))
    head = HEADS["lut"](None, 3, points=4)
    out = jax.jit(head.apply)(learned(head, seen), features(seen), seen)
    np.testing.assert_array_equal(out[:, :, :8], out[:, :, 8:])
    assert not np.allclose(out, seen.y, atol=0.1)
    with pytest.raises(ConfigError, match="head 'lut' is for images of 3 channels, got 1"):
        HEADS["lut"](None, 1)
    with pytest.raises(ConfigError, match="points must be at least 2, got 1"):
        HEADS["lut"](None, 3, points=1)


def test_a_bilateral_grid_of_one_answer_is_one_affine_change():
    seen, head = observed(KINDS["identity"]), HEADS["bilateral_grid"](None, 3, bins=3, width=4)
    params = learned(head, seen)["params"]
    matrix, offset = np.random.default_rng(0).normal(size=(3, 3)), np.asarray([0.1, -0.2, 0.3])
    said = np.tile(np.concatenate([matrix.ravel(), offset]), 3)
    answer = {"kernel": jnp.zeros_like(params["out"]["kernel"]), "bias": jnp.asarray(said, jnp.float32)}
    out = jax.jit(head.apply)({"params": {**params, "out": answer}}, features(seen), seen)
    np.testing.assert_allclose(out, seen.y + np.einsum("ij,bhwj->bhwi", matrix, seen.y) + offset, atol=1e-5)


def test_chroma_leaves_the_measured_brightness_as_it_is():
    seen, head = observed(KINDS["gray"]), HEADS["chroma"](None, 3, width=4, depth=1)
    params, apply = jax.tree.map(lambda p: p / 3, learned(head, seen)), jax.jit(head.apply)
    gray = apply(jax.tree.map(jnp.zeros_like, params), features(seen), seen)
    np.testing.assert_allclose(gray, np.broadcast_to(seen.y, IMAGE.shape), atol=1e-6)
    colored = apply(params, features(seen), seen)
    np.testing.assert_allclose(seen.operator(colored), seen.y, atol=1e-6)
    assert float(jnp.ptp(colored, axis=-1).max()) > 0.05
    with pytest.raises(ValueError, match="not Identity; try 'decoder'"):
        head.init(KEY, features(observed(KINDS["identity"])), observed(KINDS["identity"]))

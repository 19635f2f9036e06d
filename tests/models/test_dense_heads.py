"""Heads of pixels and of boxes on pyramids of random features: shapes, the start, and what moves with the picture."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtjax.models import HEADS, Pyramid
from mtjax.physics import Identity, Observed
from mtjax.pytree import replace
from mtjax.registry import ConfigError

PIXEL_HEADS = {"fcn": {}, "unet_decoder": {"width": 4}, "deeplab": {"width": 4, "rates": (1, 2)}}
STRIDES = (2, 4, 8)
SIZE = (141, 14)  # a multiple of no stride; high enough for what is near neither border
SMALL = (13, 18)
MOVE = 2  # features of the coarsest level
SHIFT = MOVE * STRIDES[-1]  # pixels


def pyramid(size):
    """Random features of two pictures, as an encoder gives them: of the size rounded up to the coarsest stride."""
    height, width = (-(-length // STRIDES[-1]) * STRIDES[-1] for length in size)
    rng = np.random.default_rng(0)
    shapes = [(2, height // stride, width // stride, 4) for stride in STRIDES]
    return Pyramid(tuple(jnp.asarray(rng.normal(size=s), jnp.float32) for s in shapes), STRIDES, size)


def seen(size):
    return Observed(jnp.zeros((2, *size, 3)), Identity(), jnp.zeros((2, 1, 1, 1)))


@functools.cache
def program(kind, size):
    """`(features, params) -> prediction`, first parameters, and others that are all random."""
    head = HEADS[kind](None, 3, **PIXEL_HEADS.get(kind, {"width": 4}))
    first = jax.jit(lambda features: head.init(jax.random.key(0), features, seen(size)))(pyramid(size))
    rng = np.random.default_rng(1)
    random = jax.tree.map(lambda x: jnp.asarray(x + 0.3 * rng.normal(size=x.shape), jnp.float32), first)
    return jax.jit(lambda features, params: head.apply(params, features, seen(size))), first, random


@pytest.mark.parametrize("kind", PIXEL_HEADS)
def test_a_head_of_pixels_starts_at_zero_and_takes_any_size(kind):
    run, first, random = program(kind, SIZE)
    np.testing.assert_array_equal(run(pyramid(SIZE), first), 0)
    map_ = run(pyramid(SIZE), random)
    assert map_.shape == (2, *SIZE, 3) and map_.dtype == jnp.float32
    assert bool(jnp.isfinite(map_).all()) and float(map_.std()) > 0.01


@pytest.mark.parametrize("kind", PIXEL_HEADS)
def test_which_levels_a_head_of_pixels_reads(kind):
    run, _, random = program(kind, SIZE)
    features = pyramid(SIZE)
    before = run(features, random)
    for level in range(len(STRIDES)):
        changed = [x + (i == level) * jnp.sin(100 * x) for i, x in enumerate(features.levels)]
        difference = float(jnp.abs(run(replace(features, levels=tuple(changed)), random) - before).max())
        assert (difference > 1e-3) == (kind != "deeplab" or level != 1), level  # DeepLab: the outermost two


def moved(features):
    """The features rolled down, each level by as many pixels of the picture."""
    levels = [jnp.roll(x, SHIFT // stride, 1) for x, stride in zip(features.levels, STRIDES, strict=True)]
    return replace(features, levels=tuple(levels))


def test_scores_of_an_fcn_move_with_the_picture():
    """They depend on nothing but the features nearby, so all that is farther than that from the seam just moves."""
    run, _, random = program("fcn", SIZE)
    before, after = run(pyramid(SIZE), random), run(moved(pyramid(SIZE)), random)
    np.testing.assert_allclose(after[:, SHIFT + 8 : -8], before[:, 8 : -8 - SHIFT], atol=1e-5)
    assert float(jnp.abs(after[:, SHIFT : SHIFT + 4] - before[:, :4]).max()) > 1e-3  # at the border it is another thing


@pytest.mark.parametrize("kind", ["unet_decoder", "deeplab"])
def test_what_stands_alone_is_told_alike_wherever_it_stands(kind):
    """Normalization and pooling see the whole picture, but of a thing on an empty ground always the same."""
    run, _, random = program(kind, SIZE)
    features = pyramid(SIZE)
    middles = [x.shape[1] // 2 for x in features.levels]
    thing = [x.at[:, : m - 1].set(0).at[:, m + 1 :].set(0) for x, m in zip(features.levels, middles, strict=True)]
    features = replace(features, levels=tuple(thing))
    before, after = run(features, random), run(moved(features), random)
    np.testing.assert_allclose(after[:, 52 + SHIFT : 92 + SHIFT], before[:, 52:92], atol=1e-4)
    assert float(jnp.abs(after[:, 52:92] - before[:, 52:92]).max()) > 0.1


def test_boxes_start_rare_and_of_the_size_of_their_level():
    run, first, _ = program("boxes", SMALL)
    found = run(pyramid(SMALL), first)
    counts = [7 * 9, 4 * 5, 2 * 3]  # of places in the picture itself; with its padding it has more
    assert found.logits.shape == (2, sum(counts), 3) and found.boxes.shape == (2, sum(counts), 4)
    np.testing.assert_allclose(1 / (1 + np.exp(-found.logits)), 0.01, rtol=1e-4)
    boxes, stride = np.asarray(found.boxes[0]), np.repeat(STRIDES, counts)
    np.testing.assert_allclose(boxes[:, 2:] - boxes[:, :2], 8.0 * np.stack([stride, stride], -1), rtol=1e-5)
    np.testing.assert_allclose((boxes[:, 2:] + boxes[:, :2]) / 2, found.points[0], atol=1e-4)
    np.testing.assert_array_equal(found.size, [SMALL] * 2)


def test_places_of_boxes_are_centers_of_their_cells_and_share_out_all_sizes():
    run, first, _ = program("boxes", SMALL)
    found = jax.device_get(run(pyramid(SMALL), first))
    np.testing.assert_array_equal(found.points[0, [0, 1, 9, 63, 64]], [[1, 1], [1, 3], [3, 1], [2, 2], [2, 6]])
    np.testing.assert_array_equal(np.unique(found.reach[0], axis=0), [[0, 16], [16, 32], [32, np.inf]])


def test_wild_outputs_stay_finite():
    run, _, random = program("boxes", SMALL)
    found = run(pyramid(SMALL), jax.tree.map(lambda x: 300 * x, random))
    assert float(jnp.abs(found.logits).max()) > 1e4
    assert all(bool(jnp.isfinite(x).all()) for x in (found.logits, found.boxes, found.centerness))


def test_wrong_parameters_are_named():
    with pytest.raises(ConfigError, match=r"rates .* at least 1, got \(0,\)"):
        HEADS["deeplab"](None, 3, rates=(0,))
    with pytest.raises(ConfigError, match="depth of a head of boxes must be at least 1, got 0"):
        HEADS["boxes"](None, 3, depth=0)

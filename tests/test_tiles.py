"""Tiles: the result of the whole picture where that is possible, no seams where it is not, one compiled shape."""

import itertools

import numpy as np
import pytest
import scipy.ndimage

from mtjax.tiles import starts, tiled, weights

RNG = np.random.default_rng(0)


class Counting:
    """A function that keeps the shapes it was called with."""

    def __init__(self, function):
        self.function, self.shapes = function, []

    def __call__(self, image):
        self.shapes.append(image.shape)
        return self.function(image)


def blur(image):
    return scipy.ndimage.uniform_filter(image, 9, mode="reflect", axes=(0, 1))  # radius 4


@pytest.mark.parametrize("size", [(100, 70), (33, 32), (20, 90), (47, 31), (10, 7)])
@pytest.mark.parametrize(("tile", "overlap"), [(32, 12), (40, 20)])
def test_a_blur_is_that_of_the_whole_picture(size, tile, overlap):
    image = RNG.random((*size, 3)).astype(np.float32)
    function = Counting(blur)
    np.testing.assert_allclose(tiled(function, image, tile=tile, overlap=overlap), blur(image), atol=1e-6)
    assert len(set(function.shapes)) == 1
    assert max(function.shapes[0][:2]) <= tile


def test_other_scales_channels_and_trees():
    image = RNG.random((50, 69, 3)).astype(np.float32)

    def function(x):
        larger = np.repeat(np.repeat(x, 3, 0), 3, 1)
        smaller = x.reshape(len(x) // 2, 2, -1, 2, 3).mean((1, 3))
        return {"gray": x.mean(-1), "larger": larger[..., :1], "smaller": [smaller, np.stack([x, x], -1)]}

    result = tiled(function, image, tile=16, overlap=6, align=2)
    even = np.pad(image, ((0, 0), (0, 1), (0, 0)), mode="symmetric")
    expected = function(even)
    np.testing.assert_allclose(result["gray"], image.mean(-1), atol=1e-6)
    np.testing.assert_allclose(result["larger"], expected["larger"][:150, :207], atol=1e-6)
    np.testing.assert_allclose(result["smaller"][0], expected["smaller"][0], atol=1e-6)
    assert result["smaller"][1].shape == (50, 69, 3, 2) and result["gray"].dtype == np.float32


def test_what_differs_from_tile_to_tile_is_blended_without_a_seam():
    calls = iter(range(100))
    result = tiled(lambda x: np.full(x.shape[:2], float(next(calls) % 2)), np.zeros((64, 200, 1)), tile=64, overlap=30)
    assert result.min() == 0 and result.max() == 1
    assert np.abs(np.diff(result, axis=1)).max() < 0.2  # a hard seam jumps by 1


@pytest.mark.parametrize("side", range(17, 60, 3))
@pytest.mark.parametrize(("overlap", "align"), [(0, 1), (1, 1), (5, 1), (15, 1), (6, 4), (15, 4)])
def test_weights_add_up_to_one_everywhere(side, overlap, align):
    side = -(-side // align) * align
    at = starts(side, 16, overlap, align)
    assert at[0] == 0 and at[-1] + 16 == side and all(start % align == 0 for start in at)
    assert all(16 - (b - a) >= min(overlap, 16 - align) for a, b in itertools.pairwise(at))
    total = np.zeros(side)
    for start, row in zip(at, weights(at, side, 16, overlap), strict=True):
        assert (row >= 0).all()
        total[start : start + 16] += row
    np.testing.assert_allclose(total, 1)


def test_bad_arguments_are_named():
    image = np.zeros((40, 40, 1))
    for wrong in ({"tile": 16, "overlap": 16}, {"tile": 18, "overlap": 4, "align": 4}, {"tile": 16, "overlap": -1}):
        with pytest.raises(ValueError, match="expected"):
            tiled(lambda x: x, image, **wrong)
    with pytest.raises(ValueError, match="expected align=2"):
        tiled(lambda x: x[::2, ::2], np.zeros((41, 41, 1)), tile=16, overlap=5)

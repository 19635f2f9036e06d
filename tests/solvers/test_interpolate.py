"""Interpolation, demosaicing and filling in: what they must leave exact, and how near they come on a photograph."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import skimage.data

from mtjax import physics, solvers

RANDOM = np.random.default_rng(0)
METHODS = {"bicubic": jax.jit(solvers.bicubic), "lanczos": jax.jit(solvers.lanczos)}


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def uniform(*shape):
    return jnp.asarray(RANDOM.uniform(size=shape))


@pytest.mark.parametrize("method", METHODS)
def test_decimated_pixels_stay_where_they_were(method):
    y = uniform(2, 6, 7, 3)
    solution = METHODS[method](y, physics.Downsample(3))
    assert solution.image.shape == (2, 18, 21, 3)
    assert solution.status.shape == (2,)
    np.testing.assert_allclose(solution.image[:, ::3, ::3], y, atol=1e-12)


@pytest.mark.parametrize("operator", [physics.Downsample(2), physics.Bicubic(2)], ids=["downsample", "bicubic"])
def test_bicubic_is_exact_on_a_slope_and_both_on_a_constant(operator):
    rows, columns = np.mgrid[:32, :28].astype(float)
    slope = jnp.asarray(0.01 * rows - 0.02 * columns + 0.5)[..., None]
    for method, solve in METHODS.items():
        np.testing.assert_allclose(solve(operator(jnp.full_like(slope, 0.3)), operator).image, 0.3, atol=1e-12)
        error = np.abs(solve(operator(slope), operator).image - slope)[8:-8, 8:-8].max()
        assert error < (1e-12 if method == "bicubic" else 2e-3)  # a tenth of a step from pixel to pixel


def test_finer_kernels_come_nearer_to_a_photograph():
    image = jnp.asarray(skimage.data.camera()[200:328, 100:228] / 255)
    operator = physics.Bicubic(2)
    y = operator(image[..., None])[..., 0]
    errors = [jnp.mean((jnp.repeat(jnp.repeat(y, 2, 0), 2, 1) - image) ** 2)]
    for solve in METHODS.values():
        restored = solve(y, operator).image
        assert restored.shape == image.shape  # a plain [H, W] comes back as one
        errors.append(jnp.mean((restored - image) ** 2))
    assert errors[0] > 1.2 * errors[1] > 1.2 * errors[2]


def test_demosaicing_is_bilinear_and_keeps_what_was_measured():
    y = uniform(8, 11, 1)
    operator = physics.Mosaic("rggb")
    image = solvers.bicubic(y, operator).image
    np.testing.assert_allclose(operator(image), y, atol=1e-12)
    cross, square = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4, np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4
    spread = np.asarray(operator.adjoint(y))
    for channel, kernel in enumerate((square, cross, square)):
        expected = scipy.ndimage.convolve(spread[..., channel], kernel, mode="constant")
        np.testing.assert_allclose(image[1:-1, 1:-1, channel], expected[1:-1, 1:-1], atol=1e-12)
    np.testing.assert_allclose(solvers.bicubic(jnp.full((8, 11), 0.3), operator).image, 0.3, atol=1e-12)


@pytest.mark.parametrize("pattern", ["bggr", "grbg", "gbrg"])
def test_demosaicing_of_a_constant_color_is_exact(pattern):
    operator = physics.Mosaic(pattern)
    x = jnp.broadcast_to(jnp.array([0.2, 0.5, 0.7]), (2, 7, 6, 3))
    np.testing.assert_allclose(METHODS["bicubic"](operator(x), operator).image, x, atol=1e-12)


def test_an_image_too_small_for_all_colors_is_finite():
    operator = physics.Mosaic("rggb")
    np.testing.assert_allclose(solvers.bicubic(jnp.full((1, 1, 1), 0.4), operator).image, [[[0.4, 0, 0]]])


@pytest.mark.parametrize(
    "operator", [physics.Bicubic(2), physics.Mosaic(), physics.Downsample(2)], ids=["bicubic", "mosaic", "downsample"]
)
def test_batches_and_gradients(operator):
    x = uniform(3, 8, 10, 3)
    y = operator(x)
    together = METHODS["bicubic"](y, operator).image
    np.testing.assert_allclose(jax.vmap(lambda one: solvers.bicubic(one, operator).image)(y), together, atol=1e-12)
    gradient = jax.grad(lambda one: solvers.bicubic(one, operator).image.sum())(y)
    # Weights of interpolation sum to 1, so each measured value counts for about as many pixels as it stands for.
    np.testing.assert_allclose(gradient.sum(), x.size, rtol=1e-9)


def test_a_composed_operator_is_undone_from_the_outside():
    camera = physics.Mosaic() @ physics.Bicubic(2)
    x = jnp.broadcast_to(jnp.array([0.2, 0.5, 0.7]), (16, 12, 3))
    for solve in METHODS.values():
        np.testing.assert_allclose(solve(camera(x), camera).image, x, atol=1e-12)

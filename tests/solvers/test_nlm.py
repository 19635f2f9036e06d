"""Non-local means: its definition, scikit-image's, gradients and batches."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data
import skimage.restoration

from mtjax import solvers

RANDOM = np.random.default_rng(0)
COLOR = RANDOM.uniform(size=(2, 9, 8, 3))


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def means(y, strength, sigma, patch, distance):
    """The definition, in loops."""
    height, width, _ = y.shape
    half = patch // 2
    wide = np.pad(y, ((half, half), (half, half), (0, 0)), mode="reflect")
    patches = np.lib.stride_tricks.sliding_window_view(wide, (patch, patch), (0, 1))
    result = np.zeros_like(y)
    for i in range(height):
        for j in range(width):
            rows = slice(max(i - distance, 0), i + distance + 1)
            columns = slice(max(j - distance, 0), j + distance + 1)
            apart = np.mean((patches[rows, columns] - patches[i, j]) ** 2, (-3, -2, -1))
            weights = np.exp(-np.maximum(apart - 2 * sigma**2, 0) / strength**2)
            result[i, j] = np.einsum("ij,ijc->c", weights, y[rows, columns]) / weights.sum()
    return result


@functools.partial(jax.jit, static_argnums=(3, 4))
def denoise(y, strength, sigma=0.1, patch=3, distance=2):
    return solvers.denoise_nlm(y, strength, sigma, patch, distance).image


def test_it_is_its_definition_in_color_and_by_example():
    strength = jnp.array([0.2, 0.5])
    found = denoise(jnp.asarray(COLOR), strength)
    for i in range(2):
        np.testing.assert_allclose(found[i], means(COLOR[i], strength[i], 0.1, 3, 2), atol=1e-12)
    mapped = jax.vmap(denoise)(jnp.asarray(COLOR), strength)
    np.testing.assert_allclose(mapped, found, atol=1e-12)


def test_windows_larger_than_the_image():
    y = COLOR[0, :6, :5, :1]
    for strength in (1e-4, 0.3):
        expected = means(y, strength, 0.0, 5, 7)
        np.testing.assert_allclose(denoise(jnp.asarray(y), strength, 0.0, 5, 7), expected, atol=1e-12)
    plain = np.broadcast_to(y.mean(), y.shape)
    np.testing.assert_allclose(denoise(jnp.asarray(y), 1e6, 0.0, 5, 7), plain, atol=1e-9)


def test_it_is_near_scikit_images_and_takes_noise_away():
    clean = skimage.data.camera()[100:196, 180:276] / 255
    y = clean + 0.1 * RANDOM.standard_normal(clean.shape)
    found = np.asarray(solvers.denoise_nlm(jnp.asarray(y, jnp.float32), 0.075, 0.1).image)
    assert found.dtype == np.float32
    other = skimage.restoration.denoise_nl_means(y, 5, 6, h=0.06, sigma=0.1, fast_mode=True)
    assert np.sqrt(np.mean((found - other) ** 2)) < 0.2 * 0.1  # a fifth of the noise: windows differ by a pixel
    errors = [np.sqrt(np.mean((image - clean) ** 2)) for image in (found, other)]
    assert errors[0] < 0.5 * 0.1
    assert errors[0] < 1.05 * errors[1]


def test_gradients():
    weights, along = jnp.asarray(RANDOM.standard_normal((2, *COLOR.shape)))
    both = jax.jit(jax.value_and_grad(lambda y, h: jnp.vdot(weights, denoise(y, h, 0.1, 3, 1)), (0, 1)))
    y, strength, change = jnp.asarray(COLOR), jnp.array([0.2, 0.5]), jnp.array([1.0, -0.5])
    _, gradient = both(y, strength)
    ends = [both(y + step * along, strength + step * change)[0] for step in (1e-6, -1e-6)]
    found = jnp.vdot(gradient[0], along) + jnp.vdot(gradient[1], change)
    np.testing.assert_allclose(found, (ends[0] - ends[1]) / 2e-6, rtol=1e-6)
    for strength in (0.0, 0.1):
        _, flat = both(jnp.full(COLOR.shape, 0.5), jnp.full(2, strength))
        assert all(jnp.isfinite(g).all() for g in flat)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"patch": 4}, "patch=4"), ({"patch": 19}, "patch=19"), ({"distance": -1}, "distance=-1")],
)
def test_bad_arguments_get_one_line(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        solvers.denoise_nlm(jnp.ones((9, 9)), 0.1, **options)
    assert "\n" not in str(caught.value)

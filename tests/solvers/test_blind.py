"""Blind deconvolution: a known kernel is found again, each example by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import skimage.data

from mtjax import physics
from mtjax.physics.operator import fourier
from mtjax.solvers.blind import _centered, _kernel_step, _sizes, blind_deconvolution

RANDOM = np.random.default_rng(0)
SIZE = 9
PHOTO = skimage.data.camera()[20:276, 140:396].reshape(128, 2, 128, 2, 1).mean((1, 3)) / 255.0
IMAGE = jnp.asarray(PHOTO, jnp.float32)


def shaken():
    """A bent motion, of mass unevenly along its path, and a straight one, both about two pixels wide."""
    bent = np.zeros((SIZE, SIZE))
    for row, column, weight in ((2, 2, 2), (3, 3, 1), (4, 4, 1), (4, 5, 2), (5, 6, 3), (6, 6, 2)):
        bent[row, column] = weight
    straight = np.eye(SIZE)[::-1] * (np.abs(np.arange(SIZE) - SIZE // 2) < 3)
    kernels = scipy.ndimage.convolve(np.stack([bent, straight]), np.outer([1, 2, 1], [1, 2, 1])[None], mode="constant")
    return jnp.asarray(kernels / kernels.sum((-2, -1), keepdims=True), jnp.float32)


def correlation(a, b):
    """Largest normalized correlation over all shifts."""
    pad = [np.fft.fft2(np.asarray(k, float), (2 * SIZE, 2 * SIZE)) for k in (a, b)]
    both = np.fft.ifft2(pad[0].conj() * pad[1]).real.max()
    return both / np.linalg.norm(a) / np.linalg.norm(b)


solve = jax.jit(blind_deconvolution, static_argnames=("kernel_size",))


@pytest.fixture(scope="module")
def solved():
    kernels = shaken()
    y = physics.Blur(kernels[..., None], "valid")(jnp.stack([IMAGE, IMAGE]))
    y = y + 0.003 * jnp.asarray(RANDOM.standard_normal(y.shape), jnp.float32)
    return kernels, y, solve(y, kernel_size=SIZE)


def test_kernels_are_found(solved):
    kernels, _, found = solved
    assert found.kernel.shape == kernels.shape
    assert (found.kernel >= 0).all()
    np.testing.assert_allclose(found.kernel.sum((-2, -1)), 1, rtol=1e-5)
    for i in range(2):
        assert correlation(found.kernel[i], kernels[i]) > 0.9
        assert correlation(found.kernel[i], kernels[1 - i]) < 0.85


def test_images_are_sharper(solved):
    _, y, found = solved
    assert found.image.shape == y.shape
    margin = SIZE // 2
    inner = (slice(12, -12),) * 2

    def nearest(image):
        """The best PSNR over small shifts, which a blind method cannot know."""
        shifts = [(i, j) for i in range(-2, 3) for j in range(-2, 3)]
        truth = IMAGE[margin:-margin, margin:-margin]
        return max(psnr_of(jnp.roll(image, shift, (0, 1))[inner], truth[inner]) for shift in shifts)

    for i in range(2):
        assert nearest(found.image[i]) > nearest(y[i]) + 3


def psnr_of(a, b):
    return -10 * float(jnp.log10(jnp.mean((a - b) ** 2)))


def test_an_example_does_not_depend_on_its_batch(solved):
    _, y, found = solved
    alone = solve(y[1, ..., 0], kernel_size=SIZE)
    assert alone.image.shape == y.shape[1:3]
    np.testing.assert_allclose(alone.kernel, found.kernel[1], atol=2e-3)
    np.testing.assert_allclose(alone.image, found.image[1, ..., 0], atol=2e-2)


@pytest.mark.slow
def test_kernel_step_recovers_the_kernel_of_known_images():
    kernel = shaken()[0][..., None]
    x = jnp.asarray(RANDOM.standard_normal((40, 36, 1)), jnp.float32)
    y = physics.Blur(kernel)(x)
    found = _kernel_step([fourier(x)], [fourier(y)], y, jnp.zeros_like(kernel), 1e-6)
    np.testing.assert_allclose(found, kernel, atol=2e-3)


def test_centering_and_sizes():
    kernel = jnp.zeros((2, 9, 9, 1)).at[0, 1, 6].set(1).at[1, 4, 4].set(1)
    expected = jnp.zeros((2, 9, 9, 1)).at[:, 4, 4].set(1)
    np.testing.assert_array_equal(_centered(kernel), expected)
    assert [_sizes(n) for n in (3, 5, 21)] == [[3], [3, 5], [3, 5, 7, 11, 15, 21]]


@pytest.mark.parametrize("size", [8, 1, 65])
def test_bad_sizes_get_one_line(size):
    with pytest.raises(ValueError, match=f"kernel_size={size}; expected an odd number of 3 to 64") as caught:
        blind_deconvolution(jnp.ones((64, 70)), size)
    assert "\n" not in str(caught.value)

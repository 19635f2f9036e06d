"""PSNR and SSIM against scikit-image, MS-SSIM against its definition written out, and the degenerate cases."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.metrics
from scipy import ndimage

from mtjax import metrics


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(0)
    clean = ndimage.gaussian_filter(rng.random((3, 48, 37, 3)), (0, 2, 2, 0)) * 2 - 0.5
    return clean.astype(np.float32), (clean + 0.1 * rng.normal(size=clean.shape)).astype(np.float32)


def skimage_ssim(x, y):
    return skimage.metrics.structural_similarity(
        x, y, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0, channel_axis=-1
    )


def test_psnr_agrees_with_skimage(pair):
    expected = [skimage.metrics.peak_signal_noise_ratio(x, y, data_range=1.0) for x, y in zip(*pair, strict=True)]
    np.testing.assert_allclose(jax.jit(metrics.psnr)(*map(jnp.asarray, pair)), expected, atol=1e-4)


def test_ssim_agrees_with_skimage(pair):
    expected = [skimage_ssim(x, y) for x, y in zip(*pair, strict=True)]
    np.testing.assert_allclose(jax.jit(metrics.ssim)(*map(jnp.asarray, pair)), expected, atol=1e-5)


def test_psnr_of_an_exact_match_is_finite(pair):
    x = jnp.asarray(pair[0])
    np.testing.assert_allclose(metrics.psnr(x, x), 100.0, atol=1e-4)
    np.testing.assert_allclose(jax.jit(metrics.ssim)(x, x), 1.0, atol=1e-6)
    np.testing.assert_allclose(jax.jit(metrics.ms_ssim)(x, x), 1.0, atol=1e-6)


def reference_ms_ssim(x, y, weights):
    """One channel at a time in float64, windows by SciPy's correlation."""
    taps = np.exp(-0.5 * ((np.arange(11) - 5) / 1.5) ** 2)
    window = np.outer(taps, taps) / taps.sum() ** 2

    def mean(image):
        return ndimage.correlate(image, window)[5:-5, 5:-5]

    result = 1.0
    for scale, weight in enumerate(weights):
        if scale:
            x, y = (
                skimage.transform.downscale_local_mean(i[: i.shape[0] // 2 * 2, : i.shape[1] // 2 * 2], (2, 2))
                for i in (x, y)
            )
        mx, my = mean(x), mean(y)
        structure = (2 * (mean(x * y) - mx * my) + 9e-4) / (mean(x * x) - mx**2 + mean(y * y) - my**2 + 9e-4)
        luminance = (2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4)
        term = luminance * structure if scale == len(weights) - 1 else structure
        result *= term.mean() ** weight
    return result


def test_ms_ssim_is_its_definition(pair):
    weights = np.array([0.0448, 0.2856]) / 0.3304  # 37 pixels hold two scales of 11
    x, y = (np.asarray(i, np.float64) for i in pair)
    expected = [
        np.mean([reference_ms_ssim(a[..., c], b[..., c], weights) for c in range(3)]) for a, b in zip(x, y, strict=True)
    ]
    np.testing.assert_allclose(metrics.ms_ssim(*map(jnp.asarray, pair)), expected, atol=2e-5)


def test_ms_ssim_has_five_scales_from_176_pixels():
    from mtjax.metrics.image import num_scales

    assert [num_scales(s, 500) for s in (11, 21, 22, 64, 175, 176, 400)] == [1, 1, 2, 3, 4, 5, 5]


def test_ms_ssim_of_opposites_is_finite_with_its_gradient():
    stripes = jnp.tile(jnp.asarray([0.0, 1.0]), 22)[None, None, :, None] * jnp.ones((1, 44, 1, 1))
    value, slope = jax.jit(jax.value_and_grad(lambda x: metrics.ms_ssim(x, 1 - stripes).sum()))(stripes)
    assert 0 <= value < 0.5 and jnp.all(jnp.isfinite(slope))


def test_an_image_smaller_than_the_window_is_named():
    with pytest.raises(ValueError, match="at least 11×11 pixels, got 10×64"):
        metrics.ssim(jnp.zeros((1, 10, 64, 1)), jnp.zeros((1, 10, 64, 1)))


def test_float64_stays_float64(pair):
    with jax.enable_x64(True):
        x, y = (jnp.asarray(i, jnp.float64) for i in pair)
        assert metrics.psnr(x, y).dtype == metrics.ssim(x, y).dtype == metrics.ms_ssim(x, y).dtype == jnp.float64
        np.testing.assert_allclose(
            metrics.ssim(x, y), [skimage_ssim(*p) for p in zip(np.asarray(x), np.asarray(y), strict=True)], atol=1e-12
        )

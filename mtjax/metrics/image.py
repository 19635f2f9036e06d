"""How close two images are: PSNR, SSIM and MS-SSIM, one value per example, for images in [0, 1]."""

import functools

import jax.numpy as jnp
import numpy as np

from mtjax.typing import Array, Float, PerExample

# The variant of the paper (Wang et al. 2004), of `dm_pix.ssim` and of
# `skimage.metrics.structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)`.
SIGMA = 1.5
WINDOW = 11
LUMINANCE = 0.01**2
CONTRAST = 0.03**2
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
LARGEST_PSNR = 100.0

Images = Float[Array, "B H W C"]
Smaller = Float[Array, "B h w C"]


def psnr(x: Float[Array, "B *image"], y: Float[Array, "B *image"]) -> PerExample:
    """Peak signal-to-noise ratio in dB, data range 1: -10 log10 of the mean squared error of each example.

    At most 100 dB (an error of 1e-5, where float32 ends), so that an exact match leaves a mean over examples finite.
    """
    error = jnp.mean(jnp.square(x - y), axis=tuple(range(1, x.ndim)))
    return -10 * jnp.log10(jnp.maximum(error, 10 ** (-LARGEST_PSNR / 10)))


def ssim(x: Images, y: Images) -> PerExample:
    """Structural similarity (Wang et al. 2004): 11×11 Gaussian window of σ = 1.5, data range 1, mean over channels.

    Only windows that lie inside the image are averaged; an image smaller than the window is a `ValueError`.
    """
    luminance, structure = _similarity(x, y)
    return jnp.mean(luminance * structure, axis=(1, 2, 3))


def ms_ssim(x: Images, y: Images) -> PerExample:
    """Multi-scale structural similarity (Wang, Simoncelli and Bovik 2003), per channel, mean over channels.

    Each scale halves the image by 2×2 means. The paper's five scales need 176 pixels; a smaller image uses only the
    scales at which it still holds one 11×11 window (64 pixels: three), with the first weights rescaled to sum to one.
    Terms below 1e-6 are raised to it: the power of a negative number is not real, and its slope must be finite.
    """
    scales = num_scales(x.shape[1], x.shape[2])
    weights = np.asarray(SCALE_WEIGHTS[:scales]) / sum(SCALE_WEIGHTS[:scales])
    result = jnp.ones((), x.dtype)
    for scale, weight in enumerate(weights):
        if scale:
            x, y = _halve(x), _halve(y)
        luminance, structure = _similarity(x, y)
        term = luminance * structure if scale == scales - 1 else structure
        result = result * jnp.maximum(jnp.mean(term, axis=(1, 2)), 1e-6) ** float(weight)
    return jnp.mean(result, axis=-1)


def num_scales(height: int, width: int) -> int:
    """How many of MS-SSIM's five scales an image of this size has."""
    return max(1, min(len(SCALE_WEIGHTS), int(np.log2(max(min(height, width), 1) / WINDOW)) + 1))


def _similarity(x: Images, y: Images) -> tuple[Smaller, Smaller]:
    """The luminance and contrast-structure maps over the windows that lie inside the image, [B, H-10, W-10, C]."""
    if min(x.shape[1:3]) < WINDOW:
        raise ValueError(f"SSIM needs images of at least {WINDOW}×{WINDOW} pixels, got {x.shape[1]}×{x.shape[2]}")
    # One filter for all moments: a quarter of the operations to compile. Only the sum of the variances is needed.
    moments = _window_mean(jnp.concatenate([x, y, x * x + y * y, x * y], axis=-1))
    mean_x, mean_y, mean_squares, mean_product = jnp.split(moments, 4, axis=-1)
    squares, product = mean_x**2 + mean_y**2, mean_x * mean_y
    luminance = (2 * product + LUMINANCE) / (squares + LUMINANCE)
    structure = (2 * (mean_product - product) + CONTRAST) / (mean_squares - squares + CONTRAST)
    return luminance, structure


def _window_mean(x: Images) -> Smaller:
    """The Gaussian-weighted mean over each window that fits, by shifted sums: float32 also where matmuls are not."""
    distance = np.arange(WINDOW) - WINDOW // 2
    taps = np.exp(-0.5 * (distance / SIGMA) ** 2)
    taps = taps / taps.sum()
    height, width = x.shape[1] - WINDOW + 1, x.shape[2] - WINDOW + 1
    rows = functools.reduce(jnp.add, (float(tap) * x[:, i : i + height] for i, tap in enumerate(taps)))
    return functools.reduce(jnp.add, (float(tap) * rows[:, :, i : i + width] for i, tap in enumerate(taps)))


def _halve(x: Images) -> Smaller:
    batch, height, width, channels = x.shape
    x = x[:, : height // 2 * 2, : width // 2 * 2]
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))

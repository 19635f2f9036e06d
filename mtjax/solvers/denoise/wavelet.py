"""Wavelet denoising: small coefficients are noise."""

from typing import Any

import jax.numpy as jnp
from jax import lax

from mtjax.physics.operator import AXES, check_choice, squared_magnitude
from mtjax.solvers.denoise.noise_level import estimate_noise
from mtjax.solvers.proximal import per_example, shrink
from mtjax.solvers.solution import Solution, Status, as_images, finish
from mtjax.solvers.transforms import WaveletTransform
from mtjax.typing import Array, Inexact

Values = Inexact[Array, "..."]


def denoise_wavelet(
    y: Any,
    sigma: Any = None,
    method: str = "bayes",
    threshold: str = "soft",
    wavelet: str = "sym4",
    levels: int = 4,
    shifts: int = 1,
) -> Solution:
    """Thresholds the wavelet details of each channel.

    "visu": by `sigma √(2 log n)`, `n` pixels (Donoho and Johnstone, 1994, VisuShrink); "bayes": those of each block by
    `sigma² / √(mean square − sigma²)` (Chang, Yu and Vetterli, 2000, equation 12, BayesShrink). `threshold` is "soft"
    or "hard". `sigma` is the noise's standard deviation, a number or one for each example; None estimates it.
    `wavelet` and `levels` are as in `WaveletTransform`. The result is the mean over `shifts` x `shifts` translations
    of the image (Coifman and Donoho, 1995). `residual` is 0: nothing is iterated.
    As `skimage.restoration.denoise_wavelet`, except at the border: there each level mirrors what it splits, here the
    image is mirrored once. ValueError for names and counts that make no sense.
    """
    check_choice("method", method, ("bayes", "visu"))
    check_choice("threshold", threshold, ("soft", "hard"))
    if shifts < 1:
        raise ValueError(f"shifts={shifts} leaves nothing to average; expected at least 1")
    y, plain = as_images(y)
    transform = WaveletTransform(wavelet, levels)
    sigma = per_example(estimate_noise(y) if sigma is None else sigma, y)
    margins = [_margins(size, 2**levels) for size in y.shape[-3:-1]]
    padded = jnp.pad(y, [(0, 0)] * (y.ndim - 3) + [*margins, (0, 0)], mode="symmetric")
    universal = sigma * jnp.sqrt(2 * jnp.log(jnp.asarray(y.shape[-3] * y.shape[-2], sigma.dtype)))

    def reduce(block: Values) -> Values:
        limit = universal if method == "visu" else _bayes(block, sigma)
        return shrink(block, limit) if threshold == "soft" else jnp.where(jnp.abs(block) > limit, block, 0)

    def denoise(total: Values, shift: Any) -> tuple[Values, None]:
        there = transform(jnp.roll(padded, shift, AXES))
        for height, width in transform.blocks(padded.shape):
            down, right = slice(height // 2, height), slice(width // 2, width)
            for rows, columns in ((slice(height // 2), right), (down, slice(width // 2)), (down, right)):
                there = there.at[..., rows, columns, :].set(reduce(there[..., rows, columns, :]))
        return total + jnp.roll(transform.adjoint(there), -shift, AXES), None

    every = jnp.indices((shifts, shifts)).reshape(2, -1).T
    total, _ = lax.scan(denoise, jnp.zeros_like(padded), every)
    (top, _), (left, _) = margins
    image = total[..., top : top + y.shape[-3], left : left + y.shape[-2], :] / shifts**2
    return finish(image, plain, Status.CONVERGED, 1, jnp.zeros((), jnp.finfo(y.dtype).dtype))


def _bayes(block: Values, sigma: Values) -> Values:
    """The threshold of a block of each channel; so large that nothing is left where there is nothing but noise."""
    signal = squared_magnitude(block).mean(AXES, keepdims=True) - sigma**2
    return sigma**2 * lax.rsqrt(jnp.maximum(signal, 1e-20))


def _margins(size: int, multiple: int) -> tuple[int, int]:
    """How much to add before and after: at least `multiple` in all, to a multiple of it."""
    added = multiple + -size % multiple
    return added // 2, added - added // 2

"""How noisy an image is, from the image alone."""

from typing import Any

import jax.numpy as jnp

from mtjax.solvers.solution import as_images
from mtjax.solvers.transforms import WaveletTransform
from mtjax.typing import Array, Float

_MEDIAN_OF_NORMAL = 0.6744897501960817  # of the magnitude of a standard normal variable


def estimate_noise(y: Any) -> Float[Array, "..."]:
    """Standard deviation of white Gaussian noise in each example `[*b]`, averaged over channels.

    The median magnitude of the finest diagonal wavelet (db2) details, which hold little but noise, over that of a
    standard normal variable (Donoho and Johnstone, 1994): `skimage.restoration.estimate_sigma`, but for what is beyond
    the border (there mirrored, here periodic). ValueError for images smaller than 2x2 pixels.
    """
    y, _ = as_images(y)
    height, width = y.shape[-3] // 2, y.shape[-2] // 2
    if not height or not width:
        raise ValueError(f"y is {y.shape[-3]}x{y.shape[-2]} pixels; expected at least 2x2")
    details = WaveletTransform("db2", 1)(y)[..., height : 2 * height, width : 2 * width, :]
    return jnp.median(jnp.abs(details), (-3, -2)).mean(-1) / _MEDIAN_OF_NORMAL

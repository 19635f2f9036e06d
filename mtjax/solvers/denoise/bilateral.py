"""The bilateral filter: a mean over pixels that are near and look alike."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mtjax.physics.operator import squared_magnitude
from mtjax.solvers.proximal import per_example
from mtjax.solvers.solution import Solution, Status, as_images, finish
from mtjax.typing import Array, Inexact

Values = Inexact[Array, "..."]


def denoise_bilateral(y: Any, sigma_color: Any = 0.25, sigma_spatial: Any = 1.5, size: int | None = None) -> Solution:
    """The weighted mean of the pixels around each one (Tomasi and Manduchi, 1998), mirrored at the border.

    Weights are `exp(−‖color difference‖² / 2 sigma_color² − distance² / 2 sigma_spatial²)`, the same for all channels;
    `sigma_color` is in units of the image, `sigma_spatial` in pixels, each a number or one for each example. The
    window has `size` x `size` pixels, `size` odd (default: to three times `sigma_spatial` on either side, which then
    must be a plain number). Where `sigma_spatial` is large this is `skimage.restoration.denoise_bilateral`, but for the
    rounding of weights there; elsewhere that one's table of distances is one column too wide for how it is read.
    `residual` is 0: nothing is iterated. ValueError for an even `size`, or one that cannot be known.
    """
    y, plain = as_images(y)
    reach = _reach(sigma_spatial, size)
    color, spatial = (0.5 / per_example(sigma, y) ** 2 for sigma in (sigma_color, sigma_spatial))
    padded = jnp.pad(y, [(0, 0)] * (y.ndim - 3) + [(reach, reach)] * 2 + [(0, 0)], mode="symmetric")
    offsets = np.indices((2 * reach + 1, 2 * reach + 1)).reshape(2, -1).T

    def add(sums: tuple[Values, Values], offset: Any) -> tuple[Any, None]:
        start = (0,) * (y.ndim - 3) + (offset[0], offset[1], 0)
        other = lax.dynamic_slice(padded, start, y.shape)
        difference = squared_magnitude(other - y).sum(-1, keepdims=True)
        distance = ((offset - reach) ** 2).sum().astype(spatial.dtype)
        weight = jnp.exp(-(color * difference + spatial * distance))
        return (sums[0] + weight * other, sums[1] + weight), None

    zeros = (jnp.zeros_like(y), jnp.zeros((*y.shape[:-1], 1), color.dtype))
    (weighted, weights), _ = lax.scan(jax.checkpoint(add), zeros, jnp.asarray(offsets), unroll=min(len(offsets), 7))
    return finish(weighted / weights, plain, Status.CONVERGED, 1, jnp.zeros((), color.dtype))


def _reach(sigma_spatial: Any, size: int | None) -> int:
    """How far the window extends on either side."""
    if size is not None:
        if size < 1 or size % 2 == 0:
            raise ValueError(f"size={size} has no middle; expected an odd number")
        return size // 2
    if not isinstance(sigma_spatial, int | float):
        raise ValueError(f"size=None for sigma_spatial of type {type(sigma_spatial).__name__}; expected size in pixels")
    return max(math.ceil(3 * sigma_spatial), 1)

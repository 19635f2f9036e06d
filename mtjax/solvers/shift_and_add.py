"""Shift-and-add: the samples of a burst put where they belong on a finer grid."""

from typing import Any

import jax
import jax.numpy as jnp

from mtjax.physics.warp import grid, sample
from mtjax.solvers.interpolate import fill_in
from mtjax.solvers.solution import Solution, Status, finish
from mtjax.typing import Array


def check_frames(frames: Any, offsets: Any, factor: int) -> tuple[Array, Array]:
    """Both as arrays; ValueError unless `frames` is `[..., K, h, w, C]`, `offsets` `[..., K, 2]` and `factor` >= 1."""
    frames, offsets = jnp.asarray(frames), 1.0 * jnp.asarray(offsets)
    if frames.ndim < 4 or not jnp.issubdtype(frames.dtype, jnp.floating):
        raise ValueError(f"frames is {frames.dtype}{list(frames.shape)}; expected floating point [..., K, h, w, C]")
    count = frames.shape[-4]
    if offsets.shape[-2:] != (count, 2) or offsets.ndim > frames.ndim - 2:
        raise ValueError(f"offsets has shape {offsets.shape}; expected [..., {count}, 2], one (down, right) per frame")
    if factor < 1 or factor != int(factor):
        raise ValueError(f"factor={factor} is not a refinement; expected an integer of at least 1")
    return frames, offsets.astype(frames.dtype)


def shift_and_add(frames: Any, offsets: Any, factor: int) -> Solution:
    """The frames `[..., K, h, w, C]` on a grid `factor` times finer, `[..., factor·h, factor·w, C]`: still blurred.

    Each sample is shared bilinearly by the four pixels around its place ("drizzled": Fruchter and Hook, 2002), each
    pixel is the weighted mean of what it got, and pixels that got less than a whole sample are filled in from their
    neighborhood by normalized convolution (Knutsson and Westin, 1993).
    `offsets` `[..., K, 2]` (down, right) are those of `register`, in pixels of the frames: frame k is the image
    moved by `offsets[k]`, its pixel `i` at `factor · (i − offsets[k])` of the finer grid, as for
    `Downsample(factor) @ Shift(factor * offsets)`. `residual` is the share of pixels that no sample came near.
    """
    frames, offsets = check_frames(frames, offsets, factor)
    *batch, count, height, width, channels = frames.shape
    places = factor * (grid((height, width), frames.dtype) - offsets[..., None, None, :])
    fine = (*batch, count, factor * height, factor * width)
    target = _spread(frames, places, (*fine, channels)).sum(-4)
    weight = _spread(jnp.ones_like(frames[..., :1]), places, (*fine, 1)).sum(-4)
    known = jnp.minimum(weight, 1)
    image = fill_in(known * target / jnp.where(weight > 0, weight, 1), known)
    unseen = jnp.mean(weight < 1e-3, (-3, -2, -1), dtype=frames.dtype)
    return finish(image, False, Status.CONVERGED, 0, unseen)


def _spread(values: Any, places: Any, shape: tuple[int, ...]) -> Any:
    """Transpose of bilinear interpolation at `places`: samples given to the pixels `shape` around them."""
    like = jax.ShapeDtypeStruct(shape, values.dtype)
    return jax.linear_transpose(lambda x: sample(x, places, "linear", "zero"), like)(values)[0]

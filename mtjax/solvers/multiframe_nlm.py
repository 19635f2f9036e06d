"""Non-local means over the frames of a burst: a frame is denoised by patches like its own, in all frames."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from mtjax.solvers.proximal import per_example
from mtjax.solvers.solution import Solution, Status, finish
from mtjax.typing import Array, Float


def multiframe_nlm(frames: Any, strength: Any = 0.1, patch: int = 5, distance: int = 3, reference: int = 0) -> Solution:
    """Frame number `reference` of `[..., K, h, w, C]`, denoised without knowing how things move.

    Each pixel is the mean of the pixels at most `distance` away in every frame, with weights
    `exp(−‖P − Q‖² / strength²)` of the mean squared difference of the `patch` × `patch` neighborhoods (Buades, Coll
    and Morel, 2005; over frames, as the motion-free super-resolution of Protter, Elad, Takeda and Milanfar, 2009:
    interpolate the frames first). `strength`, a number or one for each example, is on the scale of the image: about
    1 to 1.5 times the standard deviation of the noise. `residual` is 0.
    """
    frames = jnp.asarray(frames)
    if frames.ndim < 4 or not jnp.issubdtype(frames.dtype, jnp.floating):
        raise ValueError(f"frames is {frames.dtype}{list(frames.shape)}; expected floating point [..., K, h, w, C]")
    *batch, count, height, width, channels = frames.shape
    if patch < 1 or patch % 2 == 0:
        raise ValueError(f"patch={patch} has no center; expected an odd number of pixels")
    if not 0 <= distance < min(height, width) - patch // 2:
        raise ValueError(f"distance={distance} does not fit frames of {height}x{width}; expected 0 or more pixels")
    if not -count <= reference < count:
        raise ValueError(f"reference={reference} is none of the {count} frames")
    shape = (*batch, height, width, channels)
    scale = 1 / (patch * patch * channels * per_example(strength, jax.ShapeDtypeStruct(shape, frames.dtype)) ** 2)
    half = patch // 2
    margin = distance + half
    padded = jnp.pad(frames, [(0, 0)] * (frames.ndim - 3) + [(margin, margin)] * 2 + [(0, 0)], mode="symmetric")
    inner = [(0, 0)] * len(batch) + [(half, half)] * 2 + [(0, 0)]
    fixed = jnp.pad(frames[..., reference, :, :, :], inner, mode="symmetric")

    def add(sums: tuple[Any, Any], index: Any) -> tuple[Any, None]:
        weighted, weights = sums
        frame, move = index // (2 * distance + 1) ** 2, index % (2 * distance + 1) ** 2
        corner = (move // (2 * distance + 1), move % (2 * distance + 1))
        zeros = (0,) * len(batch)
        size = (*batch, 1, height + 2 * half, width + 2 * half, channels)
        other = lax.dynamic_slice(padded, (*zeros, frame, *corner, 0), size)[..., 0, :, :, :]
        apart = jnp.sum((other - fixed) ** 2, -1, keepdims=True)
        weight = jnp.exp(-scale * _box(apart, patch))
        pixels = other[..., half : half + height, half : half + width, :]
        return (weighted + weight * pixels, weights + weight), None

    start = (jnp.zeros(shape, frames.dtype), jnp.zeros((*shape[:-1], 1), frames.dtype))
    moves = jnp.arange(count * (2 * distance + 1) ** 2)
    (weighted, weights), _ = lax.scan(jax.checkpoint(add), start, moves)
    return finish(weighted / weights, False, Status.CONVERGED, 1, jnp.zeros((), frames.dtype))


def _box(x: Float[Array, "... H W C"], size: int) -> Float[Array, "... h w C"]:
    """Sum over every `size` × `size` window."""
    for axis in (x.ndim - 3, x.ndim - 2):
        parts = [lax.slice_in_dim(x, k, x.shape[axis] - size + 1 + k, axis=axis) for k in range(size)]
        x = sum(parts[1:], parts[0])
    return x

"""Losses of maps of the scene's geometry: depth, surface normals, optical flow. One value per example.

Pixels without a truth count nowhere, see `mtjax.metrics.geometry`; an example without any known pixel has a loss of 0.
"""

import jax.numpy as jnp

from mtjax.metrics.geometry import known_depth, known_direction, known_displacement
from mtjax.typing import Array, Bool, Float, PerExample

Map = Float[Array, "B H W"]
Vectors = Float[Array, "B H W D"]
LEAST = 1e-6  # predicted depths are taken to be at least this, so that each has a logarithm


def silog(depth: Map, target: Map, /, *, focus: float = 0.5) -> PerExample:
    """mean(δ²) - focus · mean(δ)², δ = log d - log t: with `focus` 1 no common scale matters, with 0 it does fully.

    Source: Eigen et al., "Depth map prediction from a single image using a multi-scale deep network", NIPS 2014, eq. 4.
    """
    if not 0 <= focus <= 1:
        raise ValueError(f"focus must be in [0, 1], got {focus}")
    known = known_depth(target)
    ratio = _log_ratio(depth, target)
    return _mean(jnp.square(ratio), known) - focus * jnp.square(_mean(ratio, known))


def depth_edges(depth: Map, target: Map, /, *, scales: int = 4) -> PerExample:
    """The mean of |∂x δ| + |∂y δ|, δ = log d - log t, summed over every 1st, 2nd, 4th, ... pixel: sharp where t is.

    Source: Li and Snavely, "MegaDepth", CVPR 2018, eq. 4.
    """
    known, ratio = known_depth(target), _log_ratio(depth, target)
    total: PerExample = jnp.zeros(len(depth), depth.dtype)
    for scale in range(scales):
        step = 2**scale
        total += _slope(ratio[:, ::step, ::step], known[:, ::step, ::step])
    return total


def cosine(vectors: Vectors, target: Vectors, /) -> PerExample:
    """The mean of 1 - cos of the angle between the predicted and the true vector, whatever their lengths."""
    lengths = jnp.sqrt((jnp.sum(vectors**2, -1) + LEAST) * (jnp.sum(target**2, -1) + LEAST))
    return _mean(1 - jnp.sum(vectors * target, -1) / lengths, known_direction(target))


def end_point(flow: Vectors, target: Vectors, /, *, epsilon: float = 1e-2) -> PerExample:
    """The mean of sqrt(distance² + epsilon²) between end points, in pixels: smooth where the two agree.

    Source: Sun, Roth and Black, "Secrets of optical flow estimation and their principles", CVPR 2010 (Charbonnier).
    """
    known = known_displacement(target)
    apart = flow - jnp.where(known[..., None], target, 0)
    return _mean(jnp.sqrt(jnp.sum(apart**2, -1) + epsilon**2), known)


def _log_ratio(depth: Map, target: Map) -> Map:
    true = jnp.where(known_depth(target), target, 1)
    return jnp.log(jnp.maximum(depth, LEAST)) - jnp.log(true)


def _slope(values: Map, known: Bool[Array, "B H W"]) -> PerExample:
    """The mean of |∂x| and that of |∂y|, over pairs of known neighbors."""
    right = _mean(jnp.abs(jnp.diff(values, axis=2)), known[:, :, 1:] & known[:, :, :-1])
    down = _mean(jnp.abs(jnp.diff(values, axis=1)), known[:, 1:] & known[:, :-1])
    return right + down


def _mean(values: Map, known: Bool[Array, "B H W"]) -> PerExample:
    return jnp.sum(jnp.where(known, values, 0), axis=(1, 2)) / jnp.maximum(jnp.sum(known, axis=(1, 2)), 1)

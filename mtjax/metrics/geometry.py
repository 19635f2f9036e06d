"""Metrics of maps of the scene's geometry, as (sum, count) pairs: depth, surface normals, optical flow.

Pixels without a truth count nowhere: a depth that is not finite and positive, a normal of length 0, a displacement that
is not finite.
"""

import jax.numpy as jnp

from mtjax.metrics.accumulate import Pair, counted
from mtjax.typing import Array, Bool, Float, PerExample

Map = Float[Array, "B H W"]
Normals = Float[Array, "B H W 3"]
Flow = Float[Array, "B H W 2"]


def known_depth(depth: Float[Array, "..."]) -> Bool[Array, "..."]:
    """Where there is a depth: finite and above 0."""
    return jnp.isfinite(depth) & (depth > 0)


def known_direction(vectors: Float[Array, "*s D"]) -> Bool[Array, "*s"]:
    """Where there is a direction: any length but 0."""
    return jnp.any(vectors != 0, axis=-1)


def known_displacement(flow: Float[Array, "*s D"]) -> Bool[Array, "*s"]:
    """Where there is a displacement: a finite one."""
    return jnp.all(jnp.isfinite(flow), axis=-1)


def abs_rel(depth: Map, target: Map) -> Pair:
    """The mean of |d - t| / t over each image's known pixels, averaged over images (Eigen et al. 2014)."""
    known = known_depth(target)
    true = jnp.where(known, target, 1)
    return _image_mean(jnp.abs(depth - true) / true, known)


def depth_rmse(depth: Map, target: Map) -> Pair:
    """The root of the mean squared error over each image's known pixels, averaged over images."""
    mean, count = _image_mean(jnp.square(depth - jnp.where(known_depth(target), target, 0)), known_depth(target))
    return jnp.sqrt(mean), count


def depth_delta(depth: Map, target: Map, *, ratio: float = 1.25) -> Pair:
    """The share of each image's known pixels with max(d / t, t / d) below `ratio`, averaged over images.

    Source: Eigen et al., "Depth map prediction from a single image using a multi-scale deep network", NIPS 2014.
    """
    known = known_depth(target)
    true = jnp.where(known, target, 1)
    near = (depth < ratio * true) & (true < ratio * depth)
    return _image_mean(near.astype(depth.dtype), known)


def mean_angle(normals: Normals, target: Normals) -> Pair:
    """Degrees between the predicted and the true direction: the mean over all known pixels of the data set."""
    known = known_direction(target)
    return _pixels(_angle(normals, target), known)


def within_angle(normals: Normals, target: Normals, *, degrees: float) -> Pair:
    """The share of all known pixels of the data set that are less than so many degrees off (Eigen and Fergus 2015)."""
    return _pixels((_angle(normals, target) < degrees).astype(normals.dtype), known_direction(target))


def end_point_error(flow: Flow, target: Flow) -> Pair:
    """Pixels between the predicted and the true place: the mean over all known pixels of the data set."""
    return _pixels(_distance(flow, target), known_displacement(target))


def outliers(flow: Flow, target: Flow, *, distance: float = 1.0) -> Pair:
    """The share of all known pixels of the data set whose end point is more than `distance` pixels off.

    Source: Baker et al., "A database and evaluation methodology for optical flow", IJCV 92, 2011 (R1.0).
    """
    return _pixels((_distance(flow, target) > distance).astype(flow.dtype), known_displacement(target))


def _angle(one: Normals, other: Normals) -> Map:
    """In degrees, of vectors of any length; atan2 tells small angles apart, which an arc cosine in float32 does not."""
    across = jnp.linalg.norm(jnp.cross(one, other), axis=-1)
    return jnp.rad2deg(jnp.arctan2(across, jnp.sum(one * other, axis=-1)))


def _distance(flow: Flow, target: Flow) -> Map:
    return jnp.linalg.norm(flow - jnp.where(jnp.isfinite(target), target, 0), axis=-1)


def _image_mean(values: Map, known: Bool[Array, "B H W"]) -> Pair:
    pixels: PerExample = jnp.sum(known, axis=(1, 2))
    return counted(jnp.sum(jnp.where(known, values, 0), axis=(1, 2)) / jnp.maximum(pixels, 1), pixels > 0)


def _pixels(values: Map, known: Bool[Array, "B H W"]) -> Pair:
    return jnp.sum(jnp.where(known, values, 0), axis=(1, 2)), jnp.sum(known, axis=(1, 2), dtype=values.dtype)

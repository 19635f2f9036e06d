"""Metrics of one label per pixel and of boundaries, as (sum, count) pairs."""

import jax
import jax.numpy as jnp

from mtjax.metrics.accumulate import Pair
from mtjax.typing import Array, Bool, Float, Int

VOID = 255  # the habit of Pascal VOC and Cityscapes; labels below 0 are void as well

Logits = Float[Array, "B H W K"]
Labels = Int[Array, "B H W"]
Map = Float[Array, "B H W"]


def known(labels: Int[Array, "..."]) -> Bool[Array, "..."]:
    """Where a label is one: neither below 0 nor 255."""
    return (labels >= 0) & (labels != VOID)


def mean_iou(logits: Logits, labels: Labels) -> Pair:
    """Intersection and union of each class, [B, K]: the mean over classes of their quotient over the whole data set.

    Void pixels count nowhere; a class that neither appears nor is predicted is left out of the mean.
    """
    classes = logits.shape[-1]
    if classes > VOID:
        raise ValueError(f"label {VOID} means void, so there can be at most {VOID} classes; got {classes}")
    counts = known(labels)[..., None]
    predicted = jax.nn.one_hot(jnp.argmax(logits, axis=-1), classes, dtype=bool) & counts
    true = jax.nn.one_hot(labels, classes, dtype=bool) & counts
    return _pixels(predicted & true), _pixels(predicted | true)


def pixel_accuracy(logits: Logits, labels: Labels) -> Pair:
    """Right pixels and known pixels of each example, [B]: the share of right ones among all pixels of the data set."""
    counts = known(labels)
    return _pixels((jnp.argmax(logits, axis=-1) == labels) & counts), _pixels(counts)


def boundary_precision(probability: Map, target: Map, *, tolerance: int = 1, threshold: float = 0.5) -> Pair:
    """Found boundary pixels within `tolerance` pixels of a true one, and all found, [B] each: pooled over the data."""
    found, true = probability > threshold, target > 0.5
    return _pixels(found & dilate(true, tolerance)), _pixels(found)


def boundary_recall(probability: Map, target: Map, *, tolerance: int = 1, threshold: float = 0.5) -> Pair:
    """True boundary pixels within `tolerance` pixels of a found one, and all true, [B] each: pooled over the data."""
    found, true = probability > threshold, target > 0.5
    return _pixels(true & dilate(found, tolerance)), _pixels(true)


def boundary_f(probability: Map, target: Map, *, tolerance: int = 1, threshold: float = 0.5) -> Pair:
    """The harmonic mean of each image's boundary precision and recall, averaged over images.

    An image that has no boundary and in which none was found is not counted; one of the two alone scores 0.
    """
    near, found = boundary_precision(probability, target, tolerance=tolerance, threshold=threshold)
    met, true = boundary_recall(probability, target, tolerance=tolerance, threshold=threshold)
    precision, recall = near / jnp.maximum(found, 1), met / jnp.maximum(true, 1)
    both = precision + recall
    count = (found + true > 0).astype(probability.dtype)
    return jnp.where(both > 0, 2 * precision * recall / jnp.where(both > 0, both, 1), 0), count


def dilate(mask: Bool[Array, "B H W"], radius: int) -> Bool[Array, "B H W"]:
    """True within Euclidean distance `radius` pixels of a true pixel (dilation by a disc)."""
    if radius < 0:
        raise ValueError(f"radius must be 0 or more pixels, got {radius}")
    height, width = mask.shape[1:]
    padded = jnp.pad(mask, ((0, 0), (radius, radius), (radius, radius)))
    result = mask
    for down in range(-radius, radius + 1):
        for right in range(-radius, radius + 1):
            if down**2 + right**2 <= radius**2:
                top, left = radius + down, radius + right
                result |= padded[:, top : top + height, left : left + width]
    return result


def _pixels(mask: Bool[Array, "B H W *k"]) -> Float[Array, "B *k"]:
    return jnp.sum(mask, axis=(1, 2), dtype=jnp.float32)

"""Metrics of maps that tell objects apart: the number of each pixel's object, `[B, H, W]`, 0 for none."""

import jax
import jax.numpy as jnp

from mtjax.metrics.accumulate import Pair
from mtjax.typing import Array, Float, Int

Objects = Int[Array, "B H W"]


def panoptic_quality(found: Objects, true: Objects, *, most_found: int, most_true: int) -> Pair:
    """PQ = Σ IoU / (TP + ½ FP + ½ FN), [B] each; a pair of objects with IoU above ½ is a true positive.

    Numbers of objects go up to `most_found` and `most_true`. There can be no two such pairs with one object in common.
    Source: Kirillov et al., "Panoptic segmentation", CVPR 2019, equation 1, for one class.
    """
    quality, _, counted = _matched(found, true, most_found, most_true)
    return quality, counted


def segmentation_quality(found: Objects, true: Objects, *, most_found: int, most_true: int) -> Pair:
    """SQ: the mean IoU of true positives; see `panoptic_quality`."""
    quality, matched, _ = _matched(found, true, most_found, most_true)
    return quality, matched


def recognition_quality(found: Objects, true: Objects, *, most_found: int, most_true: int) -> Pair:
    """RQ = TP / (TP + ½ FP + ½ FN), an F1 of objects; see `panoptic_quality`."""
    _, matched, counted = _matched(found, true, most_found, most_true)
    return matched, counted


def _matched(
    found: Objects, true: Objects, most_found: int, most_true: int
) -> tuple[Float[Array, "B"], Float[Array, "B"], Float[Array, "B"]]:
    """Σ IoU of true positives, how many there are, and TP + ½ FP + ½ FN, which is half the number of all objects."""
    masks = [
        jax.nn.one_hot(objects.reshape(len(objects), -1) - 1, most)
        for objects, most in ((found, most_found), (true, most_true))
    ]
    common = jnp.einsum("bpi,bpj->bij", *masks)
    found_area, true_area = (mask.sum(1) for mask in masks)
    union = found_area[:, :, None] + true_area[:, None] - common
    iou = common / jnp.maximum(union, 1)
    quality = jnp.where(iou > 0.5, iou, 0).sum((1, 2))
    count = ((found_area > 0).sum(-1) + (true_area > 0).sum(-1)) / 2
    return quality, (iou > 0.5).sum((1, 2), dtype=jnp.float32), count

"""Boxes: overlap, suppression of doubles, and the share of objects that were found.

A box is (ymin, xmin, ymax, xmax), in pixels or in fractions of the picture: every overlap here is a quotient of areas,
which stretching the picture does not change.
"""

import jax
import jax.numpy as jnp

from mtjax.metrics.accumulate import Pair
from mtjax.typing import Array, Bool, Float, Int

Boxes = Float[Array, "*#b 4"]


def box_area(boxes: Boxes) -> Float[Array, "*#b"]:
    """The area of each box; 0 for one that is turned inside out."""
    height, width = boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]
    return jnp.maximum(height, 0) * jnp.maximum(width, 0)


def box_iou(a: Boxes, b: Boxes) -> Float[Array, "*#b"]:
    """Intersection over union of boxes that correspond, after broadcasting; 0 where both are empty."""
    common, union = _common_and_union(a, b)
    return common / jnp.where(union > 0, union, 1)


def box_giou(a: Boxes, b: Boxes) -> Float[Array, "*#b"]:
    """Generalized IoU of boxes that correspond, in [-1, 1]: IoU - (hull - union) / hull, `hull` the box around both.

    Unlike IoU it has a slope where boxes do not touch. 0 where both are empty and alike. Source: Rezatofighi et al.,
    "Generalized intersection over union", CVPR 2019, algorithm 1.
    """
    common, union = _common_and_union(a, b)
    hull = box_area(
        jnp.concatenate([jnp.minimum(a[..., :2], b[..., :2]), jnp.maximum(a[..., 2:], b[..., 2:])], axis=-1)
    )
    return common / jnp.where(union > 0, union, 1) - (hull - union) / jnp.where(hull > 0, hull, 1)


def suppress(
    boxes: Float[Array, "M 4"], labels: Int[Array, "M"], scores: Float[Array, "M"], *, overlap: float = 0.6
) -> Bool[Array, "M"]:
    """Which boxes stay when each one that stays takes away the lower scored of its class with a larger IoU.

    Equal scores count as falling in the order given. Exactly the greedy procedure, one box after the other, but in as
    many steps as boxes hang on each other in a chain: a box is taken away if one that stays covers it, which has one
    solution, and each step settles at least the next link of every chain.
    """
    order = jnp.argsort(-scores)
    place = jnp.zeros_like(order).at[order].set(jnp.arange(len(order)))
    covers = (box_iou(boxes[:, None], boxes[None]) > overlap) & (labels[:, None] == labels[None])
    covers &= place[:, None] < place[None]

    def settle(state: tuple[Array, Array]) -> tuple[Array, Array]:
        return ~jnp.any(covers & state[0][:, None], axis=0), state[0]

    start = jnp.ones(len(boxes), bool)
    return jax.lax.while_loop(lambda state: jnp.any(state[0] != state[1]), settle, settle((start, start)))[0]


def detection_recall(
    found: Float[Array, "B M 4"],
    found_labels: Int[Array, "B M"],
    boxes: Float[Array, "B N 4"],
    labels: Int[Array, "B N"],
    *,
    overlap: float = 0.5,
) -> Pair:
    """Objects that a box of their class covers with at least that IoU, and objects, [B] each; labels below 0 are none.

    It does not ask how many boxes there are beside the right ones; average precision does.
    """
    near = box_iou(boxes[:, :, None], found[:, None]) >= overlap
    met = jnp.any(near & (labels[:, :, None] == found_labels[:, None]), axis=-1)
    true = labels >= 0
    return jnp.sum(met & true, -1, dtype=jnp.float32), jnp.sum(true, -1, dtype=jnp.float32)


def _common_and_union(a: Boxes, b: Boxes) -> tuple[Float[Array, "*#b"], Float[Array, "*#b"]]:
    inside = jnp.concatenate([jnp.maximum(a[..., :2], b[..., :2]), jnp.minimum(a[..., 2:], b[..., 2:])], axis=-1)
    common = box_area(inside)
    return common, box_area(a) + box_area(b) - common

"""What proposals of boxes are compared with, and the loss; finite, as its gradients, also where there is no object."""

from typing import Any

import jax
import jax.numpy as jnp

from mtjax.metrics.detection import box_area, box_giou
from mtjax.models.heads.boxes import Proposals
from mtjax.tasks.losses_binary import sigmoid_focal
from mtjax.typing import Array, Float, Int, PerExample

Truth = dict[str, Any]  # "boxes": Float [B, N, 4] in fractions of the picture; "labels": Int [B, N], below 0 none


def center_focal(
    logits: Float[Array, "*s"], heat: Float[Array, "*s"], *, gamma: float = 2.0, beta: float = 4.0
) -> Float[Array, "*s"]:
    """The focal loss of a heat map in [0, 1] that is 1 at centers: near one, the penalty falls by (1 - heat)^beta.

    Source: Law and Deng, "CornerNet", ECCV 2018, equation 1.
    """
    center = heat >= 1
    missed = jax.nn.sigmoid(-logits) ** gamma * jax.nn.softplus(-logits)
    raised = (1 - heat) ** beta * jax.nn.sigmoid(logits) ** gamma * jax.nn.softplus(logits)
    return jnp.where(center, missed, raised)


def assign(
    points: Float[Array, "L 2"], reach: Float[Array, "L 2"], boxes: Float[Array, "N 4"], labels: Int[Array, "N"]
) -> Int[Array, "L"]:
    """The box that each location has to tell of, or -1: the smallest of those around it that it is responsible for.

    All in pixels. A box that lies between the locations, smaller than the finest stride, is given to the nearest one
    that is responsible for it, as if that were inside; so each box has a location, unless a smaller one needs the same.

    Source: Tian et al., "FCOS", ICCV 2019, section 3.2; for boxes between the locations, the rule that each true box
    gets at least its best match, Liu et al., "SSD", ECCV 2016, section 2.2.
    """
    sides = _sides(points[:, None], boxes[None])
    farthest, area = jnp.max(sides, -1), box_area(boxes)
    responsible = (farthest > reach[:, :1]) & (farthest <= reach[:, 1:]) & (labels >= 0)
    fits = responsible & (jnp.min(sides, -1) > 0)
    away = jnp.sum((points[:, None] - (boxes[:, :2] + boxes[:, 2:]) / 2) ** 2, -1)
    nearest = jnp.argmin(jnp.where(responsible, away, jnp.inf), 0)
    between = responsible & ~jnp.any(fits, 0) & (area > 0)
    fits |= between & (jnp.arange(len(points))[:, None] == nearest)
    return jnp.where(jnp.any(fits, -1), jnp.argmin(jnp.where(fits, area, jnp.inf), -1), -1)


def centerness(points: Float[Array, "*b 2"], boxes: Float[Array, "*b 4"]) -> Float[Array, "*b"]:
    """1 in the middle of a box, 0 at its sides: √(min(top, bottom) / max · min(left, right) / max) (FCOS, eq. 3)."""
    sides = jnp.maximum(_sides(points, boxes), 0)
    near, far = (reduce(sides[..., :2], sides[..., 2:]) for reduce in (jnp.minimum, jnp.maximum))
    return jnp.sqrt(jnp.prod(near / jnp.maximum(far, 1e-6), axis=-1))


def detection_loss(proposals: Proposals, truth: Truth) -> PerExample:
    """Focal loss of the classes, 1 - GIoU of the boxes, and cross-entropy of the centerness, each per location with an
    object (per centerness for the boxes); without any object, the focal loss alone.
    """
    return jax.vmap(_loss_of_one)(proposals, truth["boxes"], truth["labels"])


def _loss_of_one(proposals: Proposals, boxes: Float[Array, "N 4"], labels: Int[Array, "N"]) -> Float[Array, ""]:
    boxes = boxes * jnp.tile(proposals.size, 2)
    which = assign(proposals.points, proposals.reach, boxes, labels)
    positive = which >= 0
    wanted, own = boxes[which], jnp.where(positive, labels[which], -1)
    inside = jnp.min(_sides(proposals.points, wanted), -1) > 0
    # A location beside its box is the most central one that the box has; at 0 it would not learn the sides.
    central = jnp.where(positive, jnp.where(inside, centerness(proposals.points, wanted), 1), 0)

    classes = sigmoid_focal(proposals.logits, jax.nn.one_hot(own, proposals.logits.shape[-1]))
    sides = central * (1 - box_giou(proposals.boxes, wanted))
    middle = jax.nn.softplus(proposals.centerness) - central * proposals.centerness
    count = jnp.maximum(positive.sum(), 1)
    weight = jnp.maximum(central.sum(), 1e-6)
    return classes.sum() / count + sides.sum() / weight + jnp.where(positive, middle, 0).sum() / count


def _sides(points: Float[Array, "*p 2"], boxes: Float[Array, "*q 4"]) -> Float[Array, "*s 4"]:
    """Signed distances from points to the top, left, bottom and right side: all positive inside."""
    return jnp.concatenate([points - boxes[..., :2], boxes[..., 2:] - points], axis=-1)

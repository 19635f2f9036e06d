"""Instance segmentation: which pixels belong to one and the same object, whatever it is."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mtjax import metrics
from mtjax.data.fields import SourceInfo
from mtjax.metrics import Pair
from mtjax.tasks import coco
from mtjax.tasks.centers import RARE, UNIT, centers_of, group, without_fragments
from mtjax.tasks.losses_binary import bce
from mtjax.tasks.losses_detection import center_focal
from mtjax.tasks.maps import check_map
from mtjax.tasks.segmentation import palette
from mtjax.tasks.task import Task, Whole
from mtjax.typing import Array, Float, Int, PerExample

MOST_TRUE = 64  # objects of a picture, where the data does not say
MOST_FOUND = 64

Maps = Float[Array, "B H W 4"]
Objects = Int[Array, "B H W"]

SCORES = {
    "pq": metrics.panoptic_quality,
    "sq": metrics.segmentation_quality,
    "rq": metrics.recognition_quality,
}


def instances(
    name: str,
    info: SourceInfo,
    /,
    *,
    observation: str,
    head: Mapping[str, Any] = {"kind": "unet_decoder"},
    label: str = "instances",
) -> Task:
    """The objects in the batch's field `label`, each pixel with its own's number; panoptic quality, and mask AP.

    A head of pixels gives four maps: foreground, centers, and the way to the own center. See `mtjax.tasks.centers`.
    """
    check_map(name, info, label, 1)
    most = info.fields["boxes"][0] if "boxes" in info.fields else MOST_TRUE
    colors = palette(MOST_FOUND + 1)

    def score(metric: Any, prediction: Maps, target: Objects) -> Pair:
        return metric(group(prediction, MOST_FOUND).objects, target, most_found=MOST_FOUND, most_true=most)

    def keep(prediction: Maps, target: Objects) -> dict[str, Array]:
        found = group(prediction, MOST_FOUND)
        # Objects are few, and a whole split of maps is kept.
        return {
            "found": found.objects.astype(jnp.uint8),
            "scores": found.scores,
            "true": jnp.where(target <= most, target, 0).astype(jnp.uint8 if most < 256 else jnp.int32),
        }

    def picture(prediction: np.ndarray) -> np.ndarray:
        return colors[without_fragments(np.asarray(_group(prediction[None], MOST_FOUND).objects[0]))]

    return Task(
        name=name,
        kind="instances",
        observation=observation,
        head=head,
        outputs=4,
        fields=(label,),
        target=lambda batch: batch[label],
        loss=functools.partial(instance_loss, most=most),
        scores={metric: functools.partial(score, function) for metric, function in SCORES.items()},
        better=dict.fromkeys(SCORES, "higher"),
        picture=picture,
        whole=Whole(keep, average_precision, {f"mask_{metric}": way for metric, way in coco.BETTER.items()}),
    )


_group = jax.jit(group, static_argnums=1)


def instance_loss(prediction: Maps, target: Objects, *, most: int) -> PerExample:
    """Cross-entropy of the foreground, focal loss of the centers per object, and L1 of the offsets in the foreground.

    Offsets count in units of `UNIT` pixels; only objects 1 ... `most` are looked at.
    """
    true = centers_of(target, most)
    inside = true.foreground.astype(prediction.dtype)
    foreground = bce(prediction[..., 0], inside)
    centers = center_focal(prediction[..., 1] - RARE, true.heat).sum((1, 2)) / jnp.maximum(true.count, 1)
    apart = jnp.abs(prediction[..., 2:] - true.offsets / UNIT).sum(-1)
    return foreground + centers + (apart * inside).sum((1, 2)) / jnp.maximum(inside.sum((1, 2)), 1)


def average_precision(kept: Mapping[str, np.ndarray]) -> dict[str, float]:
    """COCO's AP of the masks of a whole split, after small fragments have been taken away."""
    found = [without_fragments(objects) for objects in kept["found"]]
    values = coco.mask_ap(list(kept["true"]), found, list(kept["scores"]))
    return {f"mask_{metric}": value for metric, value in values.items()}

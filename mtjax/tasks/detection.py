"""Detection: a box and a class for every object."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mtjax import metrics
from mtjax.data.fields import SourceInfo
from mtjax.metrics import Pair
from mtjax.models.heads.boxes import Proposals
from mtjax.pytree import pytree
from mtjax.tasks import coco
from mtjax.tasks.losses_detection import Truth, detection_loss
from mtjax.tasks.segmentation import palette
from mtjax.tasks.task import Task, Whole, class_names
from mtjax.typing import Array, Float, Int

CANDIDATES = 400  # proposals of a picture that are compared with each other
LEAST_SCORE = 0.01  # below, a proposal is none
SHOWN_SCORE = 0.4  # from here on a box is drawn
LEAST_SIDE = 192  # pixels of a drawn picture, so that names can be read


@pytree
class Detections:
    """Boxes in fractions of the picture, best first; label -1 and score 0 where there are no more."""

    boxes: Float[Array, "B M 4"]
    labels: Int[Array, "B M"]
    scores: Float[Array, "B M"]


def decode(proposals: Proposals, top_k: int = coco.BEST) -> Detections:
    """The `top_k` best proposals that no better one of the same class covers; `min(top_k, classes * locations)` rows.

    A score is √(probability of the class · centerness), as in FCOS. See `metrics.suppress`.
    """

    def of_one(proposals: Proposals) -> tuple[Array, Array, Array]:
        classes = proposals.logits.shape[-1]
        central = jax.nn.sigmoid(proposals.centerness)[:, None]
        every = jnp.sqrt(jax.nn.sigmoid(proposals.logits) * central).reshape(-1)
        scores, chosen = jax.lax.top_k(every, min(CANDIDATES, len(every)))
        boxes = jnp.clip(proposals.boxes[chosen // classes] / jnp.tile(proposals.size, 2), 0, 1)
        labels = chosen % classes
        stays = metrics.suppress(boxes, labels, scores) & (scores >= LEAST_SCORE)
        best, place = jax.lax.top_k(jnp.where(stays, scores, 0), min(top_k, len(scores)))
        return boxes[place], jnp.where(best > 0, labels[place], -1), best

    return Detections(*jax.vmap(of_one)(proposals))


_decode = jax.jit(decode)


def detection(
    name: str,
    info: SourceInfo,
    /,
    *,
    observation: str,
    head: Mapping[str, Any] = {"kind": "boxes"},
    label: str = "box_labels",
) -> Task:
    """The box and the class, in the field `label`, of every object; COCO's average precision, and recall at IoU 0.5."""
    names = class_names(name, info, label)
    if "boxes" not in info.fields:
        raise ValueError(f"tasks.{name}: {info.name} has no field 'boxes'; it has {', '.join(info.fields)}")
    colors = palette(len(names) + 1)[1:]

    def recall(proposals: Proposals, truth: Truth) -> Pair:
        found = decode(proposals)
        return metrics.detection_recall(found.boxes, found.labels, truth["boxes"], truth["labels"])

    def keep(proposals: Proposals, truth: Truth) -> dict[str, Array]:
        found = decode(proposals)
        return {
            "boxes": found.boxes,
            "labels": found.labels,
            "scores": found.scores,
            "true_boxes": truth["boxes"],
            "true_labels": truth["labels"],
        }

    def picture(proposals: Proposals) -> np.ndarray:
        found = jax.device_get(_decode(jax.tree.map(lambda x: x[None], proposals)))
        shown = found.scores[0] >= SHOWN_SCORE
        height, width = (round(float(length)) for length in proposals.size)
        return draw(found.boxes[0][shown], found.labels[0][shown], (height, width), names, colors)

    return Task(
        name=name,
        kind="detection",
        observation=observation,
        head=head,
        outputs=len(names),
        fields=("boxes", label),
        target=lambda batch: {"boxes": batch["boxes"], "labels": batch[label]},
        loss=detection_loss,
        scores={"recall": recall},
        better={"recall": "higher"},
        picture=picture,
        whole=Whole(keep, lambda kept: coco.box_ap(kept, len(names), info.image_shape[:2]), coco.BETTER),
    )


def draw(
    boxes: np.ndarray, labels: np.ndarray, size: tuple[int, int], names: tuple[str, ...], colors: np.ndarray
) -> np.ndarray:
    """Boxes with the names of their classes, the best in front, on a dark picture of `size` or a multiple of it."""
    scale = -(-LEAST_SIDE // min(size))
    height, width = size[0] * scale, size[1] * scale
    canvas = Image.new("RGB", (width, height), (40, 40, 40))
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    for (top, left, bottom, right), label in list(zip(boxes, labels, strict=True))[::-1]:
        color = tuple(int(c) for c in colors[label])
        corner = (left * width, top * height)
        pen.rectangle((*corner, max(right * width - 1, corner[0]), max(bottom * height - 1, corner[1])), None, color, 2)
        pen.rectangle(pen.textbbox(corner, f" {names[label]} ", font), color)
        pen.text(corner, f" {names[label]} ", "black", font)
    return np.asarray(canvas)

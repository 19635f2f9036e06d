"""Saliency: which pixels belong to what stands out."""

from collections.abc import Mapping
from typing import Any

import jax

from mtjax import metrics
from mtjax.data.fields import SourceInfo
from mtjax.metrics import Pair
from mtjax.tasks import losses
from mtjax.tasks.maps import check_map, probability_picture
from mtjax.tasks.task import Task, Whole
from mtjax.typing import Array, Float, PerExample

Logits = Float[Array, "B H W 1"]
Map = Float[Array, "B H W"]


def saliency(
    name: str,
    info: SourceInfo,
    /,
    *,
    observation: str,
    head: Mapping[str, Any] = {"kind": "dense"},
    loss: str | Mapping[str, float] = {"bce": 1.0, "soft_iou": 1.0},
    label: str = "saliency",
) -> Task:
    """The map in the batch's field `label`, 1 where salient; mean absolute error, and the largest F-beta."""
    check_map(name, info, label, 1)
    per_example = losses.build(loss)

    def per_map(prediction: Logits, target: Map) -> PerExample:
        return per_example(prediction[..., 0], target)

    def mae(prediction: Logits, target: Map) -> Pair:
        return metrics.mean_absolute_error(jax.nn.sigmoid(prediction[..., 0]), target)

    def keep(prediction: Logits, target: Map) -> tuple[Array, Array]:
        return metrics.level_counts(jax.nn.sigmoid(prediction[..., 0]), target)

    return Task(
        name=name,
        kind="saliency",
        observation=observation,
        head=head,
        outputs=1,
        fields=(label,),
        target=lambda batch: batch[label],
        loss=per_map,
        scores={"mae": mae},
        better={"mae": "lower"},
        picture=probability_picture,
        whole=Whole(keep, lambda kept: {"max_f": metrics.max_f(*kept)}, {"max_f": "higher"}),
    )

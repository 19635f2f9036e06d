"""Boundary detection: where one thing ends and another begins."""

from collections.abc import Callable, Mapping
from typing import Any

import jax

from mtjax import metrics
from mtjax.data.fields import SourceInfo
from mtjax.metrics import Pair
from mtjax.tasks import losses
from mtjax.tasks.maps import check_map, probability_picture
from mtjax.tasks.task import Task


def boundary(
    name: str,
    info: SourceInfo,
    /,
    *,
    observation: str,
    head: Mapping[str, Any] = {"kind": "dense"},
    loss: str | Mapping[str, float] = "balanced_bce",
    label: str = "boundary",
    tolerance: int = 1,
) -> Task:
    """The boundary map in the batch's field `label`; F within `tolerance` pixels, at a probability of one half."""
    check_map(name, info, label, 1)
    per_example = losses.build(loss)

    def score(metric: Callable[..., Pair]) -> Callable[[Any, Any], Pair]:
        return lambda prediction, target: metric(jax.nn.sigmoid(prediction[..., 0]), target, tolerance=tolerance)

    return Task(
        name=name,
        kind="boundary",
        observation=observation,
        head=head,
        outputs=1,
        fields=(label,),
        target=lambda batch: batch[label],
        loss=lambda prediction, target: per_example(prediction[..., 0], target),
        scores={
            "f": score(metrics.boundary_f),
            "precision": score(metrics.boundary_precision),
            "recall": score(metrics.boundary_recall),
        },
        better={"f": "higher", "precision": "higher", "recall": "higher"},
        picture=probability_picture,
    )

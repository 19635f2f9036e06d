"""Boundary detection: where one thing ends and another begins."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mtjax import metrics
from mtjax.data.source import SourceInfo
from mtjax.tasks import losses
from mtjax.tasks.task import Task
from mtjax.typing import Array, Float


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
    if label not in info.fields:
        raise ValueError(f"tasks.{name}: {info.name} has no field {label!r}; it has {', '.join(info.fields)}")
    per_example = losses.build(loss)

    def measure(prediction: Float[Array, "B H W K"], target: Float[Array, "B H W"]):
        return metrics.boundary(prediction[..., 0], target, tolerance=tolerance)

    def picture(prediction: np.ndarray) -> np.ndarray:
        probability = 1 / (1 + np.exp(-prediction))
        return np.broadcast_to(np.round(255 * probability).astype(np.uint8), (*prediction.shape[:2], 3))

    return Task(
        name=name,
        kind="boundary",
        observation=observation,
        head=head,
        outputs=1,
        fields=(label,),
        target=lambda batch: batch[label],
        loss=lambda prediction, target: per_example(prediction[..., 0], target),
        metrics=measure,
        better={"f": "higher", "precision": "higher", "recall": "higher"},
        picture=picture,
    )

"""Semantic segmentation: one class per pixel."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mtjax import metrics
from mtjax.data.fields import SourceInfo
from mtjax.tasks import losses
from mtjax.tasks.task import Task, class_names


def palette(num_classes: int) -> np.ndarray:
    """Distinct colors `[K, 3]` of type uint8; class 0 is dark gray."""
    hue = np.arange(num_classes)[:, None] * 0.61803398875 + np.array([0, 1 / 3, 2 / 3])
    colors = np.round(255 * (0.55 + 0.4 * np.cos(2 * np.pi * hue))).astype(np.uint8)
    colors[0] = 40
    return colors


def segmentation(
    name: str,
    info: SourceInfo,
    /,
    *,
    observation: str,
    head: Mapping[str, Any] = {"kind": "dense"},
    loss: str | Mapping[str, float] = "cross_entropy",
    label: str = "segments",
) -> Task:
    """The class of every pixel in the batch's field `label`; mean intersection over union, and pixel accuracy."""
    names = class_names(name, info, label)
    colors = palette(len(names))
    return Task(
        name=name,
        kind="segmentation",
        observation=observation,
        head=head,
        outputs=len(names),
        fields=(label,),
        target=lambda batch: batch[label],
        loss=losses.build(loss),
        scores={"miou": metrics.mean_iou, "pixel_accuracy": metrics.pixel_accuracy},
        better={"miou": "higher", "pixel_accuracy": "higher"},
        picture=lambda prediction: colors[prediction.argmax(-1)],
    )

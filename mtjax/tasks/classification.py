"""Classification: one class per picture."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from mtjax import metrics
from mtjax.data.fields import SourceInfo
from mtjax.tasks import losses
from mtjax.tasks.task import Task, class_names

SCORES = {
    "accuracy": metrics.accuracy,
    "f1": metrics.f1,
    "precision": metrics.precision,
    "recall": metrics.recall,
}


def classification(
    name: str,
    info: SourceInfo,
    /,
    *,
    observation: str,
    head: Mapping[str, Any] = {"kind": "pooled"},
    loss: str | Mapping[str, float] = "cross_entropy",
    label: str = "label",
) -> Task:
    """The class in the batch's field `label`; accuracy, and F1, precision and recall averaged over classes.

    With more than five classes also top-5 accuracy.
    """
    names = class_names(name, info, label)
    scores = dict(SCORES)
    if len(names) > 5:
        scores["top5_accuracy"] = functools.partial(metrics.top_k_accuracy, k=5)

    def picture(prediction: np.ndarray) -> np.ndarray:
        canvas = Image.new("RGB", (64, 64), "white")
        ImageDraw.Draw(canvas).text((4, 24), names[int(prediction.argmax())], fill="black")
        return np.asarray(canvas)

    return Task(
        name=name,
        kind="classification",
        observation=observation,
        head=head,
        outputs=len(names),
        fields=(label,),
        target=lambda batch: batch[label],
        loss=losses.build(loss),
        scores=scores,
        better=dict.fromkeys(scores, "higher"),
        picture=picture,
    )

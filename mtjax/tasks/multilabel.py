"""Multi-label classification: for every class, whether the picture shows it."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from PIL import Image, ImageDraw

from mtjax import metrics
from mtjax.data.fields import SourceInfo
from mtjax.tasks import losses
from mtjax.tasks.task import Task, Whole, class_names
from mtjax.typing import Array, Float

SCORES = {"micro_f1": metrics.micro_f1, "macro_f1": metrics.macro_f1, "exact_match": metrics.exact_match}
LINE = 14  # pixels


def multilabel(
    name: str,
    info: SourceInfo,
    /,
    *,
    observation: str,
    head: Mapping[str, Any] = {"kind": "pooled"},
    loss: str | Mapping[str, float] = "bce",
    label: str = "present",
) -> Task:
    """The classes in the batch's field `label`, 1 where present; F1, exact matches, and mean average precision."""
    names = class_names(name, info, label)

    def keep(prediction: Float[Array, "B K"], target: Float[Array, "B K"]) -> dict[str, Array]:
        return {"score": jax.nn.sigmoid(prediction), "target": target}

    def picture(prediction: np.ndarray) -> np.ndarray:
        said = [names[k] for k in np.flatnonzero(prediction > 0)]
        canvas = Image.new("RGB", (64, max(64, LINE * len(said) + 8)), "white")
        ImageDraw.Draw(canvas).multiline_text((4, 4), "\n".join(said), fill="black", spacing=4)
        return np.asarray(canvas)

    return Task(
        name=name,
        kind="multilabel",
        observation=observation,
        head=head,
        outputs=len(names),
        fields=(label,),
        target=lambda batch: batch[label],
        loss=losses.build(loss),
        scores=SCORES,
        better=dict.fromkeys(SCORES, "higher"),
        picture=picture,
        whole=Whole(
            keep=keep,
            score=lambda kept: {"map": metrics.mean_average_precision(kept["score"], kept["target"])},
            better={"map": "higher"},
        ),
    )

"""Color adjustment: the clean image from one whose colors are wrong, or that has none."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from mtjax import metrics
from mtjax.data.fields import SourceInfo
from mtjax.tasks.reconstruction import image_task, of_shown_image
from mtjax.tasks.task import Task


def color(
    name: str,
    info: SourceInfo,
    /,
    *,
    observation: str,
    head: Mapping[str, Any] = {"kind": "lut"},
    loss: str | Mapping[str, float] = "l1",
) -> Task:
    """The clean image, judged by its colors too; heads `lut`, `bilateral_grid`, `reference`, and `chroma` for gray."""
    if info.image_shape[-1] != 3:
        raise ValueError(f"tasks.{name}: {info.name} has images of {info.image_shape[-1]} channels; color needs 3")
    task = image_task(name, "color", info, observation, head, loss)
    return dataclasses.replace(
        task,
        scores={**task.scores, "delta_e": of_shown_image(metrics.delta_e)},
        better={**task.better, "delta_e": "lower"},
    )

"""Super-resolution: the clean image from a smaller observation."""

from collections.abc import Mapping
from typing import Any

from mtjax.data.fields import SourceInfo
from mtjax.tasks.reconstruction import image_task
from mtjax.tasks.task import Task


def super_resolution(
    name: str,
    info: SourceInfo,
    /,
    *,
    observation: str,
    head: Mapping[str, Any] = {"kind": "upscale"},
    loss: str | Mapping[str, float] = "l1",
) -> Task:
    """The clean image from a smaller observation, whose operator says the factor; heads `upscale`, `realtime`, ..."""
    return image_task(name, "super_resolution", info, observation, head, loss)

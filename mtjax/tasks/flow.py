"""Optical flow: where each pixel of the frame before is now."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mtjax import metrics
from mtjax.data.colors import flow_colors
from mtjax.data.fields import SourceInfo
from mtjax.tasks import losses
from mtjax.tasks.maps import check_map
from mtjax.tasks.task import Task


def flow(
    name: str,
    info: SourceInfo,
    /,
    *,
    observation: str,
    head: Mapping[str, Any] = {"kind": "dense"},
    loss: str | Mapping[str, Any] = "end_point",
    label: str = "flow",
) -> Task:
    """The displacements in the batch's field `label`: the mean end-point error, and the share more than 1 pixel off.

    The observation is one of the current frame which is told the one before: `fused=("previous",)`. A displacement that
    is not finite is unknown: the pixel counts neither in the loss `end_point` nor in any metric.

    Source: Dosovitskiy et al., "FlowNet: learning optical flow with convolutional networks", ICCV 2015 (both frames
    enter one encoder as channels).
    """
    check_map(name, info, label, 2)
    return Task(
        name=name,
        kind="flow",
        observation=observation,
        head=head,
        outputs=2,
        fields=(label,),
        target=lambda batch: batch[label],
        loss=losses.build(loss),
        scores={"epe": metrics.end_point_error, "outliers": metrics.outliers},
        better={"epe": "lower", "outliers": "lower"},
        picture=picture,
    )


def picture(prediction: np.ndarray) -> np.ndarray:
    """Middlebury's colors; the longest displacement, or one pixel if all are shorter, is saturated."""
    longest = float(np.linalg.norm(prediction, axis=-1).max())
    return flow_colors(prediction, max(longest, 1.0))

"""Surface normals: which way what each pixel shows is facing."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from mtjax import metrics
from mtjax.data.colors import normal_colors
from mtjax.data.fields import SourceInfo
from mtjax.tasks import losses
from mtjax.tasks.maps import check_map
from mtjax.tasks.task import Task
from mtjax.typing import Array, Float

VIEWER = np.array([0, 0, 1], np.float32)
SHARES = (11.25, 22.5, 30.0)  # degrees


def normals(
    name: str,
    info: SourceInfo,
    /,
    *,
    observation: str,
    head: Mapping[str, Any] = {"kind": "dense"},
    loss: str | Mapping[str, Any] = "cosine",
    label: str = "normals",
) -> Task:
    """The directions in the batch's field `label`: the mean angle to them, and the share of pixels within some angles.

    What the head says is added to the direction of the viewer, where all surfaces so face at first, and the sum is made
    a unit vector. A true direction of length 0 is unknown: the pixel counts neither in the loss `cosine` nor in any
    metric.

    Source: Eigen and Fergus, "Predicting depth, surface normals and semantic labels with a common multi-scale
    convolutional architecture", ICCV 2015.
    """
    check_map(name, info, label, 3)
    per_example = losses.build(loss)

    def score(metric: Callable[..., metrics.Pair]) -> Callable[[Any, Any], metrics.Pair]:
        return lambda prediction, target: metric(unit(prediction), target)

    shares = {f"within_{degrees:g}": functools.partial(metrics.within_angle, degrees=degrees) for degrees in SHARES}
    return Task(
        name=name,
        kind="normals",
        observation=observation,
        head=head,
        outputs=3,
        fields=(label,),
        target=lambda batch: batch[label],
        loss=lambda prediction, target: per_example(unit(prediction), target),
        scores={"angle": score(metrics.mean_angle), **{share: score(metric) for share, metric in shares.items()}},
        better={"angle": "lower", **dict.fromkeys(shares, "higher")},
        picture=lambda prediction: normal_colors(np.asarray(unit(jnp.asarray(prediction)))),
    )


def unit(prediction: Float[Array, "*s 3"]) -> Float[Array, "*s 3"]:
    """The unit vector that a prediction stands for; the slope is finite also where there is no direction."""
    vector = prediction + VIEWER
    return vector / jnp.sqrt(jnp.maximum(jnp.sum(vector**2, -1, keepdims=True), 1e-6))

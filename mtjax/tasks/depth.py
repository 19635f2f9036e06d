"""Depth: how far away what each pixel shows is."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mtjax import metrics
from mtjax.data.colors import depth_colors
from mtjax.data.fields import SourceInfo
from mtjax.metrics.geometry import known_depth
from mtjax.tasks import losses
from mtjax.tasks.maps import check_map
from mtjax.tasks.task import Task
from mtjax.typing import Array, Batch, Float


def depth(
    name: str,
    info: SourceInfo,
    /,
    *,
    observation: str,
    head: Mapping[str, Any] = {"kind": "dense"},
    loss: str | Mapping[str, Any] = "silog",
    label: str = "depth",
) -> Task:
    """The distances in the batch's field `label`: relative error, root mean squared error, share within a quarter.

    The softplus of what the head says is the depth, so it is positive. True depths that are not finite and positive are
    unknown: such a pixel adds nothing to any loss, whatever is predicted there, and counts in no metric.
    """
    check_map(name, info, label, 1)
    per_example = losses.build(loss)

    def predicted(prediction: Float[Array, "B H W 1"], target: Float[Array, "B H W"]) -> Float[Array, "B H W"]:
        return jnp.where(known_depth(target), jax.nn.softplus(prediction[..., 0]), 0)

    def target(batch: Batch) -> Float[Array, "B H W"]:
        distance = jnp.asarray(batch[label])
        return jnp.where(known_depth(distance), distance, 0)

    def score(metric: Callable[..., metrics.Pair]) -> Callable[[Any, Any], metrics.Pair]:
        return lambda prediction, target: metric(predicted(prediction, target), target)

    def picture(prediction: np.ndarray) -> np.ndarray:
        distance = np.logaddexp(0, prediction[..., 0])
        return depth_colors(distance, float(distance.min()), float(distance.max()))

    return Task(
        name=name,
        kind="depth",
        observation=observation,
        head=head,
        outputs=1,
        fields=(label,),
        target=target,
        loss=lambda prediction, target: per_example(predicted(prediction, target), target),
        scores={
            "abs_rel": score(metrics.abs_rel),
            "rmse": score(metrics.depth_rmse),
            "delta1": score(metrics.depth_delta),
        },
        better={"abs_rel": "lower", "rmse": "lower", "delta1": "higher"},
        picture=picture,
    )

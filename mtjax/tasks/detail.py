"""Detail: the layer that an observation has lost, to be added back as strongly as one likes."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from mtjax.data.fields import SourceInfo
from mtjax.metrics import Pair
from mtjax.models.heads.detail import Layers
from mtjax.tasks import losses
from mtjax.tasks.reconstruction import image_picture, image_task
from mtjax.tasks.task import Task
from mtjax.typing import Array, Float

Images = Float[Array, "B H W C"]


def blend(prediction: Layers, strength: Any = 1.0) -> Any:
    """`base + strength · detail`: 0 leaves what was observed, 1 restores, more exaggerates.

    `strength` is a number, or an array that broadcasts with the image.
    """
    return prediction.base + strength * prediction.detail


def detail_error(prediction: Layers, target: Images) -> Pair:
    """The energy of what the detail layer misses, relative to that of the true one; 1 for no detail at all.

    Over a split it is the ratio of the sums, so that images without detail do no harm.
    """
    true = target - prediction.base
    axes = (1, 2, 3)
    return jnp.square(prediction.detail - true).sum(axes), jnp.square(true).sum(axes)


def detail(
    name: str,
    info: SourceInfo,
    /,
    *,
    observation: str,
    head: Mapping[str, Any] = {"kind": "detail"},
    loss: str | Mapping[str, float] = {"l1": 1.0, "gradient": 0.5},
) -> Task:
    """The image minus what was observed of it, as a layer of its own; see `blend`."""
    of_layers = losses.build(loss)
    task = image_task(name, "detail", info, observation, head, "l1")

    def restored(prediction: Layers) -> Any:
        return blend(prediction)

    def picture(prediction: Layers) -> np.ndarray:
        return image_picture(np.asarray(blend(prediction)))

    of_image = {
        metric: lambda prediction, target, score=score: score(blend(prediction), target)
        for metric, score in task.scores.items()
    }
    return dataclasses.replace(
        task,
        loss=lambda prediction, target: of_layers(prediction.detail, target - prediction.base),
        scores={**of_image, "detail_error": detail_error},
        better={**task.better, "detail_error": "lower"},
        picture=picture,
        restored=restored,
    )

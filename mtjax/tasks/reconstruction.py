"""Reconstruction: the clean image from an observation of the same size."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from mtjax import metrics
from mtjax.data.fields import SourceInfo
from mtjax.metrics import Pair
from mtjax.tasks import losses
from mtjax.tasks.task import Task
from mtjax.typing import Array, Float, PerExample

Images = Float[Array, "B H W C"]


def of_shown_image(metric: Callable[[Images, Images], PerExample]) -> Callable[[Images, Images], Pair]:
    """The metric of a prediction clipped to [0, 1], counted once per image."""
    return lambda prediction, target: metrics.counted(metric(jnp.clip(prediction, 0, 1), target))


def image_picture(prediction: np.ndarray) -> np.ndarray:
    """The image itself, gray as color."""
    shown = np.round(np.clip(prediction, 0, 1) * 255).astype(np.uint8)
    return np.broadcast_to(shown, (*shown.shape[:2], 3)) if shown.shape[2] == 1 else shown


def image_task(name: str, kind: str, info: SourceInfo, observation: str, head: Mapping[str, Any], loss: Any) -> Task:
    """A task whose target is the clean image, whatever was observed of it."""
    return Task(
        name=name,
        kind=kind,
        observation=observation,
        head=head,
        outputs=info.image_shape[-1],
        fields=("image",),
        target=lambda batch: batch["image"],
        loss=losses.build(loss),
        scores={"psnr": of_shown_image(metrics.psnr), "ssim": of_shown_image(metrics.ssim)},
        better={"psnr": "higher", "ssim": "higher"},
        picture=image_picture,
        restored=lambda prediction: prediction,
    )


def reconstruction(
    name: str,
    info: SourceInfo,
    /,
    *,
    observation: str,
    head: Mapping[str, Any] = {"kind": "decoder"},
    loss: str | Mapping[str, float] = "l1",
) -> Task:
    """The clean image from its blurred, masked or noisy observation; heads `decoder`, `estimate`, `unrolled`, ..."""
    return image_task(name, "reconstruction", info, observation, head, loss)

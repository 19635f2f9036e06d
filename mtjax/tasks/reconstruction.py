"""Reconstruction: the clean image from an observation of the same size."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from mtjax import metrics
from mtjax.data.source import SourceInfo
from mtjax.tasks import losses
from mtjax.tasks.task import Pairs, Task
from mtjax.typing import Array, Float


def image_metrics(prediction: Float[Array, "B H W C"], target: Float[Array, "B H W C"]) -> Pairs:
    """PSNR and SSIM of the prediction clipped to [0, 1]."""
    shown = jnp.clip(prediction, 0, 1)
    count = jnp.ones(len(target))
    return {"psnr": (metrics.psnr(shown, target), count), "ssim": (metrics.ssim(shown, target), count)}


def image_picture(prediction: np.ndarray) -> np.ndarray:
    """The image itself, grey as colour."""
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
        metrics=image_metrics,
        better={"psnr": "higher", "ssim": "higher"},
        picture=image_picture,
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
    """The clean image from its blurred, masked or noisy observation; heads `decoder`, `estimate` and `unrolled`."""
    return image_task(name, "reconstruction", info, observation, head, loss)

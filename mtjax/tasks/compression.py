"""Compression: the image from as few bits as may be."""

from collections.abc import Callable, Mapping
from typing import Any

from mtjax import metrics
from mtjax.data.fields import SourceInfo
from mtjax.metrics import Pair
from mtjax.tasks import losses
from mtjax.tasks.reconstruction import image_picture, of_shown_image
from mtjax.tasks.task import Task
from mtjax.typing import Array, Float, PerExample

Coded = dict[str, Array]


def bits_per_pixel(prediction: Coded) -> PerExample:
    """The estimated length of the code, over the pixels of the image, whatever its channels."""
    height, width = prediction["image"].shape[1:3]
    return prediction["bits"] / (height * width)


def compression(
    name: str,
    info: SourceInfo,
    /,
    *,
    observation: str,
    head: Mapping[str, Any] = {"kind": "bottleneck"},
    weight: float | int = 0.01,
) -> Task:
    """The clean image through a code of few bits; PSNR first, SSIM, and bits per pixel.

    The loss is R + λ · 255² · D with R in bits per pixel, D the mean squared error of images in [0, 1], and λ =
    `weight`: the convention of Ballé et al., ICLR 2018, and of CompressAI, whose λ go from 0.0018 (smallest files) to
    0.18. Compare the PSNR of two codecs at equal bits per pixel only; see `mtjax.compare.codecs` for JPEG's.
    """
    if weight <= 0:
        raise ValueError(f"tasks.{name}: weight must be greater than 0, got {weight}")

    def of_image(metric: Callable[[Array, Array], PerExample]) -> Callable[[Coded, Array], Pair]:
        score = of_shown_image(metric)
        return lambda prediction, target: score(prediction["image"], target)

    def loss(prediction: Coded, target: Float[Array, "B H W C"]) -> PerExample:
        return bits_per_pixel(prediction) + weight * 255**2 * losses.l2(prediction["image"], target)

    return Task(
        name=name,
        kind="compression",
        observation=observation,
        head=head,
        outputs=info.image_shape[-1],
        fields=("image",),
        target=lambda batch: batch["image"],
        loss=loss,
        scores={
            "psnr": of_image(metrics.psnr),
            "ssim": of_image(metrics.ssim),
            "bits_per_pixel": lambda prediction, _: metrics.counted(bits_per_pixel(prediction)),
        },
        better={"psnr": "higher", "ssim": "higher", "bits_per_pixel": "lower"},
        picture=lambda prediction: image_picture(prediction["image"]),
        restored=lambda prediction: prediction["image"],
    )

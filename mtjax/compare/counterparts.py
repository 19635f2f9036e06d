"""Other ways to do what a head does that gives no image: edges, salient regions, motion, a codec, and no look at all.

An entry of `COUNTERPARTS` is called with the parameters of its config node, `compare.TASK = [dict(kind="canny")]`, and
returns a `Counterpart`. So is a function of your own, with keyword-only parameters that have defaults or that the node
gives, named as `dict(kind="package.module:NAME")`::

    def darkest(*, thresholds: tuple[float, ...] = (0.1, 0.2)) -> Counterpart:
        def run(shown: Shown, threshold: float) -> np.ndarray:
            return np.where(shown.y.mean(-1, keepdims=True) < threshold, SURE, -SURE)

        return Counterpart(("saliency",), run, tuple({"threshold": t} for t in thresholds))
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

SURE = 10.0  # the logit of a yes


@dataclasses.dataclass(frozen=True)
class Shown:
    """What a counterpart sees of one example: `y` `[h, w, C]`, the fields `told` beside it, and the head's prediction.

    The prediction is there for its form, and for methods that must spend as much as the head did: a codec at its rate.
    """

    y: np.ndarray
    told: Mapping[str, np.ndarray]
    prediction: Any


@dataclasses.dataclass(frozen=True)
class Counterpart:
    """A method without learning.

    tasks: the kinds of tasks that it can do.
    run: `(Shown, **choice)` to a prediction of the form that the task's head gives, of one example.
    choices: parameters among which the best on validation images is taken.
    note: from its predictions of all test examples, stacked, to what a reader should know of them.
    """

    tasks: tuple[str, ...]
    run: Callable[..., Any]
    choices: tuple[Mapping[str, Any], ...] = ({},)
    note: Callable[[Any], str] | None = None


def canny(
    *, sigmas: Sequence[float] = (0.5, 1.0, 2.0), thresholds: Sequence[float] = (0.05, 0.1, 0.2, 0.4)
) -> Counterpart:
    """Edges by Canny (1986): after a Gaussian of `sigmas` pixels, slopes above a threshold, and those joined to them.

    The slopes are Sobel's, of an image in [0, 1]; those joined on are above 0.4 times the threshold.
    """
    from skimage.feature import canny as detect

    def run(shown: Shown, sigma: float, threshold: float) -> np.ndarray:
        edges = detect(gray(shown.y), sigma, low_threshold=0.4 * threshold, high_threshold=threshold)
        return np.where(edges, SURE, -SURE)[..., None].astype(np.float32)

    choices = ({"sigma": float(s), "threshold": float(t)} for s, t in itertools.product(sigmas, thresholds))
    return Counterpart(("boundary",), run, tuple(choices))


def spectral_residual(*, sigmas: Sequence[float] = (1.0, 2.0, 4.0)) -> Counterpart:
    """Saliency by the residual of the log spectrum (Hou and Zhang, CVPR 2007), smoothed by one of `sigmas` pixels.

    Scaled so that each picture's most salient pixel has probability 1.
    """
    from scipy import ndimage

    def run(shown: Shown, sigma: float) -> np.ndarray:
        spectrum = np.fft.fft2(gray(shown.y))
        size = np.log(np.abs(spectrum) + 1e-8)
        residual = size - ndimage.uniform_filter(size, 3, mode="wrap")
        found = np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
        found = ndimage.gaussian_filter(found, sigma)
        share = np.clip(found / max(found.max(), 1e-12), 1e-4, 1 - 1e-4)
        return np.log(share / (1 - share))[..., None].astype(np.float32)

    return Counterpart(("saliency",), run, tuple({"sigma": float(sigma)} for sigma in sigmas))


def tv_l1(*, attachments: Sequence[int] = (5, 15, 50)) -> Counterpart:
    """Optical flow by TV-L1 (Zach et al., DAGM 2007), with one of these weights of the data: `previous` to `image`."""
    from skimage.registration import optical_flow_tvl1

    def run(shown: Shown, attachment: int) -> np.ndarray:
        flow = optical_flow_tvl1(gray(shown.told["previous"]), gray(shown.y), attachment=attachment)
        return np.moveaxis(flow, 0, -1).astype(np.float32)

    return Counterpart(("flow",), run, tuple({"attachment": int(weight)} for weight in attachments))


def jpeg() -> Counterpart:
    """JPEG at the quality whose rate is nearest to what the head spent on the same picture; see `compare.codecs`."""
    from mtjax.compare.codecs import jpeg_at_rate

    def run(shown: Shown) -> dict[str, Any]:
        image = np.clip(np.asarray(shown.y), 0, 1)
        pixels = image.shape[0] * image.shape[1]
        found = jpeg_at_rate(image[None], np.asarray([float(shown.prediction["bits"]) / pixels]))
        bits, of_file = (np.float32(rate[0] * pixels) for rate in (found.bits_per_pixel, found.file_bits_per_pixel))
        return {**shown.prediction, "image": found.images[0], "bits": bits, "file_bits": of_file}

    def note(predictions: dict[str, Any]) -> str:
        height, width = predictions["image"].shape[1:3]
        counted, whole = (predictions[name].mean() / (height * width) for name in ("bits", "file_bits"))
        return (
            f"{counted:.3g} bits per pixel are those of the scan and the quality, which alone vary with the picture; "
            f"whole files, with the tables, have {whole:.3g}"
        )

    return Counterpart(("compression",), run, note=note)


def constant(*, values: Sequence[float] = (0.0,)) -> Counterpart:
    """The same everywhere, whatever the picture: the prediction that is one of `values` in each of its numbers.

    What a head must beat to have learned anything: no motion, background everywhere, the flattest surface.
    """

    def run(shown: Shown, value: float) -> Any:
        return np.full_like(shown.prediction, value)

    kinds = ("boundary", "classification", "depth", "flow", "multilabel", "normals", "saliency", "segmentation")
    return Counterpart(kinds, run, tuple({"value": float(value)} for value in values))


COUNTERPARTS: dict[str, Callable[..., Counterpart]] = {
    "canny": canny,
    "constant": constant,
    "jpeg": jpeg,
    "spectral_residual": spectral_residual,
    "tv_l1": tv_l1,
}


def gray(image: np.ndarray) -> np.ndarray:
    """The mean of the channels, in float64."""
    return np.asarray(image, np.float64).mean(-1)

"""Brain slices from part of k-space by the rules of ISTA-Net (Zhang and Ghanem, 2018), with its pseudo-radial masks."""

from functools import partial
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from mtjax.compare.protocols import methods
from mtjax.compare.protocols.measures import clipped_psnr
from mtjax.compare.protocols.pictures import array_file
from mtjax.compare.protocols.protocol import Case, Method, Protocol, Setting, table
from mtjax.physics import Fourier

RATIOS = (10, 20, 30, 40, 50)
NAMES = tuple(f"{ratio} %" for ratio in RATIOS)


def measured(image: np.ndarray, data: Path, ratio: int) -> Case:
    """The frequencies of a slice that the mask keeps, frequency 0 being at its corner."""
    mask = np.load(array_file(data, f"ista_mask_{ratio}.npy"), allow_pickle=False).astype(np.float32)
    operator = Fourier(mask, real=True)
    return Case(image, np.asarray(operator(jnp.asarray(image / 255, jnp.float32))), operator, 0.0)


KSPACE = Protocol(
    name="kspace",
    title="Magnetic resonance imaging from part of k-space",
    rules=(
        "Real brain slices of 256×256 pixels; the frequencies on pseudo-radial lines, without noise; the result is "
        "real, clipped and not rounded; PSNR over the whole slice, mean over slices. Published means are of 50 slices."
    ),
    unit="PSNR in dB",
    measure=clipped_psnr,
    settings=tuple(
        Setting(name, ("brain_test50", "BrainImages_test"), (partial(measured, ratio=ratio),), count=50)
        for name, ratio in zip(NAMES, RATIOS, strict=True)
    ),
    methods=(Method("zero-filled", methods.estimate), methods.TV_WEIGHT, methods.WAVELET_WEIGHT),
    published=table(
        "Zhang and Ghanem, ISTA-Net, CVPR 2018",
        NAMES,
        {
            "ADMM-Net": (None, 37.17, 39.84, 41.56, 43.00),
            "ISTA-Net": (None, 38.30, 40.52, 42.12, 43.60),
            "ISTA-Net+": (None, 38.73, 40.89, 42.52, 44.09),
        },
        checked=False,
    ),
)

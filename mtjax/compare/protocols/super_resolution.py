"""Bicubic super-resolution, measured in luminance, as in VDSR (Kim et al., 2016), DRRN (Tai et al., 2017) and EDSR."""

from functools import partial
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from mtjax.compare.protocols import methods
from mtjax.compare.protocols.measures import luminance, modcrop, psnr, shave, stored
from mtjax.compare.protocols.protocol import Case, Method, Protocol, Setting, table
from mtjax.physics import Bicubic

FACTORS = (2, 3, 4)
SETS = {"Set5": ("Set5",), "Set14": ("Set14",), "BSD100": ("BSD100", "B100"), "Urban100": ("Urban100",)}
COUNTS = {"Set5": 5, "Set14": 14, "BSD100": 100, "Urban100": 100}


def decimated(image: np.ndarray, data: Path, factor: int) -> Case:
    """The luminance of a picture cropped to a multiple of `factor`, as MATLAB's `imresize` shrinks it.

    Networks of three channels get the picture itself so shrunk, rounded to 8 bits.
    """
    del data
    image, operator = modcrop(image, factor), Bicubic(factor)
    clean = luminance(image) if image.shape[2] == 3 else image
    y, color = (np.asarray(operator(jnp.asarray(x / 255, jnp.float32))) for x in (clean, image))
    return Case(clean, y, operator, 0.0, (stored(color) / 255).astype(np.float32))


def luminance_psnr(case: Case, image: np.ndarray) -> float:
    """PSNR of the luminance, rounded, without as many pixels on each side as the factor of the decimation."""
    operator = case.operator
    assert isinstance(operator, Bicubic)
    restored = luminance(stored(image)) if image.shape[2] > case.clean.shape[2] else stored(image)
    return psnr(shave(case.clean, operator.factor), shave(restored, operator.factor))


def names(title: str) -> tuple[str, ...]:
    """What the settings of a set are called."""
    return tuple(f"{title}, ×{factor}" for factor in FACTORS)


EVERYWHERE = tuple(name for title in SETS for name in names(title))

SUPER_RESOLUTION = Protocol(
    name="super_resolution",
    title="Bicubic super-resolution",
    rules=(
        "The picture is cropped to a multiple of the factor; its luminance (BT.601, 16 to 235, rounded) is shrunk as "
        "by MATLAB's imresize, antialiased, and not rounded; the result is rounded to 8 bits; PSNR without as many "
        "pixels at each border as the factor. Networks of three channels get the picture itself, shrunk and rounded."
    ),
    unit="PSNR in dB",
    measure=luminance_psnr,
    settings=tuple(
        Setting(f"{title}, ×{factor}", folders, (partial(decimated, factor=factor),), count=COUNTS[title])
        for title, folders in SETS.items()
        for factor in FACTORS
    ),
    methods=(Method("bicubic", methods.estimate), methods.TV_WEIGHT),
    published=(
        *table(
            "Tai et al., DRRN, CVPR 2017; Lim et al., EDSR, CVPRW 2017",
            EVERYWHERE,
            {"bicubic": (33.66, 30.39, 28.42, 30.24, 27.55, 26.00, 29.56, 27.21, 25.96, 26.88, 24.46, 23.14)},
        ),
        *table(
            "Lim et al., EDSR, CVPRW 2017",
            names("Set5"),
            {
                "A+": (36.54, 32.58, 30.28),
                "SRCNN": (36.66, 32.75, 30.48),
                "VDSR": (37.53, 33.66, 31.35),
                "EDSR": (38.11, 34.65, 32.46),
            },
        ),
        *table(
            "Zhang et al., DnCNN, tables of its repository",
            EVERYWHERE,
            {"DnCNN-3": (37.58, 33.75, 31.40, 33.03, 29.81, 28.04, 31.90, 28.85, 27.29, 30.74, 27.15, 25.20)},
        ),
        *table(
            "Zhang et al., USRNet, table of its repository",
            EVERYWHERE,
            {"USRNet": (37.72, 34.45, 32.45, 33.49, 30.51, 28.83, 32.10, 29.18, 27.69, 31.79, 28.38, 26.44)},
        ),
    ),
)

"""White Gaussian noise by the rules of DnCNN (Zhang, Zuo, Chen, Meng and Zhang, 2017)."""

from functools import partial
from pathlib import Path

import numpy as np

from mtjax.compare.protocols import methods
from mtjax.compare.protocols.measures import stored_psnr
from mtjax.compare.protocols.protocol import Case, Method, Protocol, Setting, table
from mtjax.physics import Identity

LEVELS = (15, 25, 50)
RULES = (
    "y = x + e with white Gaussian noise of standard deviation σ (of 255), neither clipped nor rounded, the generator "
    "seeded anew with 0 for each picture; the result is rounded to 8 bits; PSNR over the whole picture, mean over "
    "pictures. MATLAB's generator cannot be had here: other draws move a mean by about 0.01 dB."
)
FIGURES = "Zhang et al., Plug-and-play image restoration with deep denoiser prior (DPIR), tables of its repository"


def noisy(image: np.ndarray, data: Path, sigma: float | int) -> Case:
    """A picture with noise of standard deviation `sigma` of 255."""
    del data
    y = image + sigma * np.random.default_rng(0).standard_normal(image.shape)
    return Case(image, (y / 255).astype(np.float32), Identity(), sigma / 255)


def settings(title: str, folders: tuple[str, ...], count: int) -> tuple[Setting, ...]:
    """A set of pictures at each of the levels."""
    return tuple(Setting(f"{title}, σ {s}", folders, (partial(noisy, sigma=s),), count=count) for s in LEVELS)


def names(title: str) -> tuple[str, ...]:
    """What the settings of a set are called."""
    return tuple(f"{title}, σ {s}" for s in LEVELS)


METHODS = (
    Method("noisy", methods.estimate),
    methods.WIENER,
    methods.DENOISE_TV,
    methods.BM3D,
)

GRAY = Protocol(
    name="denoise_gray",
    title="Gaussian denoising, gray",
    rules=RULES,
    unit="PSNR in dB",
    measure=stored_psnr,
    settings=settings("Set12", ("Set12",), 12) + settings("BSD68", ("BSD68",), 68),
    methods=METHODS,
    published=table(
        FIGURES,
        names("Set12") + names("BSD68"),
        {
            "BM3D": (32.37, 29.97, 26.72, 31.08, 28.57, 25.60),
            "WNNM": (32.70, 30.28, 27.05, 31.37, 28.83, 25.87),
            "DnCNN": (32.86, 30.44, 27.18, 31.73, 29.23, 26.23),
            "IRCNN": (32.77, 30.38, 27.14, 31.63, 29.15, 26.19),
            "FFDNet": (32.75, 30.43, 27.32, 31.63, 29.19, 26.29),
            "DRUNet": (33.25, 30.94, 27.90, 31.91, 29.48, 26.59),
        },
    ),
)

COLOR = Protocol(
    name="denoise_color",
    title="Gaussian denoising, color",
    rules=f"{RULES} All channels alike. Set5 has no published figures: it stands here for want of the others.",
    unit="PSNR in dB",
    measure=stored_psnr,
    settings=(
        *settings("Set5", ("Set5",), 5),
        *settings("CBSD68", ("CBSD68",), 68),
        *settings("Kodak24", ("Kodak24_500", "Kodak24"), 24),
        *settings("McMaster", ("McMaster",), 18),
    ),
    methods=METHODS,
    published=table(
        FIGURES,
        names("CBSD68") + names("Kodak24") + names("McMaster"),
        {
            "CBM3D": (33.52, 30.71, 27.38, 34.28, 32.15, 28.46, 34.06, 31.66, 28.51),
            "DnCNN": (33.90, 31.24, 27.95, 34.60, 32.14, 28.95, 33.45, 31.52, 28.62),
            "IRCNN": (33.86, 31.16, 27.86, 34.69, 32.18, 28.93, 34.58, 32.18, 28.91),
            "FFDNet": (33.87, 31.21, 27.96, 34.63, 32.13, 28.98, 34.66, 32.35, 29.18),
            "DRUNet": (34.30, 31.69, 28.51, 35.31, 32.89, 29.86, 35.40, 33.14, 30.08),
        },
    ),
)

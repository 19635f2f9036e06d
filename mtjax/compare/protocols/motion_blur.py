"""Motion blur by the rules of DPIR (Zhang et al., 2021), with the kernels of Levin et al. (2009)."""

from functools import partial
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from mtjax.compare.protocols import methods
from mtjax.compare.protocols.measures import modcrop, stored_psnr
from mtjax.compare.protocols.pictures import array_file
from mtjax.compare.protocols.protocol import Case, Method, Protocol, Setting, table
from mtjax.physics import Blur

LEVELS = (2.55, 7.65)
KERNELS = tuple(f"k{number}" for number in range(1, 9))
SET3C = ("butterfly", "leaves", "starfish")
FIRST_SEVEN = tuple(f"{number:02}" for number in range(1, 8))
RULES = (
    "The picture is cropped to a multiple of 8 and blurred with the kernel, circularly, in 8 bits: what is behind the "
    "point is cut off, as scipy.ndimage.convolve does, so that y is half a gray level too dark; white Gaussian noise "
    "with numpy.random.seed(0), not clipped; the result is rounded to 8 bits; PSNR over all pixels and channels."
)


def blurred(image: np.ndarray, data: Path, kernel: str, sigma: float) -> Case:
    """A picture behind one of Levin's kernels, with noise of standard deviation `sigma` of 255."""
    clean = modcrop(image, 8)
    with np.load(array_file(data, "levin09.npz"), allow_pickle=False) as kernels:
        k = kernels[kernel]
    levels = ndimage.convolve(clean.astype(np.uint8), k[..., None], mode="wrap")
    y = levels / 255 + np.random.RandomState(0).normal(0, sigma / 255, levels.shape)
    return Case(clean, y.astype(np.float32), Blur(jnp.asarray(k, jnp.float32)), sigma / 255)


COLOR_NAMES = tuple(f"{picture}, σ {sigma}" for sigma in LEVELS for picture in SET3C)
GRAY_NAMES = tuple(f"Set12 (01 to 07), 8 kernels, σ {sigma}" for sigma in LEVELS)

COLOR = Protocol(
    name="deblur_levin",
    title="Motion deblurring, color",
    rules=f"{RULES} The kernel is Levin's second, of 17×17 pixels.",
    unit="PSNR in dB",
    measure=stored_psnr,
    settings=tuple(
        Setting(
            f"{picture}, σ {sigma}",
            ("Set3C", "set3c"),
            (partial(blurred, kernel="k2", sigma=sigma),),
            only=(picture,),
        )
        for sigma in LEVELS
        for picture in SET3C
    ),
    methods=(
        Method("blurred", methods.estimate),
        methods.WIENER,
        methods.TV,
        methods.HYPER_LAPLACIAN,
        methods.PNP_BM3D,
    ),
    published=table(
        "Zhang et al., Plug-and-play image restoration with deep denoiser prior (DPIR), TPAMI 2021",
        COLOR_NAMES,
        {
            "EPLL": (None, None, None, None, 17.54, None),
            "FDN": (27.40, 26.51, 27.48, 24.27, 23.53, 24.71),
            "IRCNN": (32.74, 33.22, 33.53, 28.53, 28.45, 28.42),
            "DPIR": (34.18, 35.12, 33.91, 30.45, 30.27, 29.46),
        },
        checked=False,
    ),
)

GRAY = Protocol(
    name="deblur_levin_gray",
    title="Motion deblurring, gray",
    rules=f"{RULES} The mean over the first seven pictures of Set12 and all eight kernels.",
    unit="PSNR in dB",
    measure=stored_psnr,
    settings=tuple(
        Setting(
            name,
            ("Set12",),
            tuple(partial(blurred, kernel=kernel, sigma=sigma) for kernel in KERNELS),
            only=FIRST_SEVEN,
            count=56,
        )
        for name, sigma in zip(GRAY_NAMES, LEVELS, strict=True)
    ),
    methods=(Method("blurred", methods.estimate), methods.WIENER, methods.HYPER_LAPLACIAN),
    published=table(
        "an independent implementation in NumPy, Wiener's ratio the best by the true image",
        GRAY_NAMES,
        {"blurred (NumPy)": (19.34, 19.01), "Wiener (NumPy)": (28.19, 24.89)},
    ),
)

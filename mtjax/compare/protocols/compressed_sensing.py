"""Block compressed sensing by the rules of ISTA-Net (Zhang and Ghanem, 2018), with its matrices."""

from functools import partial
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from mtjax.compare.protocols import methods
from mtjax.compare.protocols.measures import clipped_psnr
from mtjax.compare.protocols.pictures import array_file
from mtjax.compare.protocols.protocol import Case, Method, Protocol, Setting, table
from mtjax.physics import MatrixSensing

BLOCK = 33
RATIOS = (10, 25)
NAMES = tuple(f"Set11, {ratio} %" for ratio in RATIOS)


def measured(image: np.ndarray, data: Path, ratio: int) -> Case:
    """Gaussian measurements of the blocks of a picture, which is black beyond its lower and right border."""
    matrix = np.load(array_file(data, f"phi_0_{ratio}_1089.npy"), allow_pickle=False).astype(np.float32)
    operator = MatrixSensing(matrix, BLOCK, None)
    down, right = (-size % BLOCK for size in image.shape[:2])
    wide = jnp.pad(jnp.asarray(image / 255, jnp.float32), ((0, down), (0, right), (0, 0)))
    return Case(image, np.asarray(operator(wide)), operator, 0.0)


COMPRESSED_SENSING = Protocol(
    name="compressed_sensing",
    title="Block compressed sensing",
    rules=(
        "Blocks of 33×33 pixels, row by row, times ISTA-Net's Gaussian matrices of 109 and 272 rows; the picture is "
        "filled up with black to whole blocks; no noise; the result is clipped and not rounded; PSNR over the picture."
    ),
    unit="PSNR in dB",
    measure=clipped_psnr,
    settings=tuple(
        Setting(name, ("Set11",), (partial(measured, ratio=ratio),), count=11)
        for name, ratio in zip(NAMES, RATIOS, strict=True)
    ),
    methods=(Method("adjoint", methods.estimate), methods.TV_WEIGHT, methods.WAVELET_WEIGHT),
    published=table(
        "Zhang and Ghanem, ISTA-Net, CVPR 2018",
        NAMES,
        {
            "TVAL3": (22.99, 27.92),
            "D-AMP": (22.64, 28.46),
            "IRCNN": (24.02, 30.07),
            "SDA": (22.65, 25.34),
            "ReconNet": (24.28, 25.60),
            "ISTA-Net": (25.80, 31.53),
            "ISTA-Net+": (26.64, 32.57),
        },
        checked=False,
    ),
)

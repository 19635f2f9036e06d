"""Six blurs of the cameraman, as in BM3D-DEB (Dabov et al., 2008) and IDD-BM3D (Danielyan et al., 2012)."""

from functools import partial
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from mtjax.compare.protocols import methods
from mtjax.compare.protocols.measures import isnr
from mtjax.compare.protocols.protocol import Case, Method, Protocol, Setting, table
from mtjax.physics import Blur

NAMES = (
    "1: 1/(1 + i² + j²), σ² 2",
    "2: the same, σ² 8",
    "3: 9×9 box, BSNR 40 dB",
    "4: binomial 5×5, σ 7",
    "5: Gaussian 1.6 px, σ 2",
    "6: Gaussian 0.4 px, σ 8",
)


def scenarios() -> list[tuple[np.ndarray, float | None]]:
    """Kernel, and standard deviation of the noise of 255; None: so that the blurred image's SNR is 40 dB."""
    i, j = np.mgrid[-7:8, -7:8]
    binomial = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]).astype(float)
    k, n = np.mgrid[-12:13, -12:13]
    kernels = [1.0 / (i**2 + j**2 + 1)] * 2 + [np.ones((9, 9)), binomial]
    kernels += [np.exp(-(k**2 + n**2) / (2 * std**2)) for std in (1.6, 0.4)]
    noises = (2**0.5, 8**0.5, None, 7.0, 2.0, 8.0)
    return [(kernel / kernel.sum(), noise) for kernel, noise in zip(kernels, noises, strict=True)]


def blurred(image: np.ndarray, data: Path, number: int) -> Case:
    """Scenario `number`, from 0: circular blur, noise that is not clipped."""
    del data
    kernel, sigma = scenarios()[number]
    operator = Blur(jnp.asarray(kernel, jnp.float32))
    clear = np.asarray(operator(jnp.asarray(image / 255, jnp.float32)))
    sigma = 255 * float(np.sqrt(clear.var() / 1e4)) if sigma is None else sigma
    y = clear + sigma / 255 * np.random.RandomState(0).standard_normal(image.shape)
    return Case(image, y.astype(np.float32), operator, sigma / 255)


DEBLURRING = Protocol(
    name="deblur_cameraman",
    title="The six standard deblurring scenarios",
    rules=(
        "The cameraman of 256×256 pixels, circular convolution, white Gaussian noise (of 255) that is neither clipped "
        "nor rounded; improvement of SNR over the whole picture, the result not rounded. One draw of the noise; others "
        "differ by about 0.1 dB, and MATLAB's randn('seed', 0) cannot be had here."
    ),
    unit="ISNR in dB",
    measure=isnr,
    settings=tuple(
        Setting(name, ("Set12",), (partial(blurred, number=number),), only=("01",)) for number, name in enumerate(NAMES)
    ),
    methods=(
        Method("blurred", methods.estimate),
        methods.WIENER,
        methods.TV,
        methods.HYPER_LAPLACIAN,
        methods.PNP_BM3D,
    ),
    published=(
        *table(
            "an independent implementation in NumPy: Wiener's ratio and the best of 7 weights by the true image",
            NAMES,
            {
                "Wiener (NumPy)": (5.46, 3.79, 6.20, 1.45, 2.50, 1.01),
                "TV (NumPy)": (7.34, 5.23, 8.61, 2.47, 3.35, 3.27),
            },
        ),
        *table(
            "Danielyan, Katkovnik and Egiazarian, BM3D frames and variational image deblurring, TIP 2012",
            NAMES,
            {
                "TVMM": (7.41, 5.17, 8.54, 2.57, 3.36, 1.30),
                "L0-Abs": (7.70, 5.55, 9.10, 2.93, 3.49, 1.77),
                "BM3D-DEB": (8.19, 6.40, 8.34, 3.34, 3.73, 4.70),
                "IDD-BM3D": (8.85, 7.12, 10.45, 3.98, 4.31, 4.89),
            },
            checked=False,
        ),
    ),
)

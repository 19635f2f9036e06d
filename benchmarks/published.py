"""Repeats published figures by their published protocols, and prints ours beside them.

    python benchmarks/published.py DATA_DIR [--only=bicubic]

DATA_DIR holds `restoration_test/Set5`, the five pictures of Bevilacqua et al. (2012) as `*_GT.bmp`, and
`restoration_test/Set12`, the twelve grey ones that the papers of denoising networks use, as `*.png`. A check is one
function here, `check(data) -> [Row, ...]`, and a line in `CHECKS`; one whose pictures are not there is left out with a
line that says so.
"""

import argparse
import functools
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from mtjax import physics, solvers


class Row(NamedTuple):
    """One figure in dB: what it is of, as published, and ours."""

    what: str
    published: float
    ours: float


def pictures(data: pathlib.Path, pattern: str) -> list[np.ndarray]:
    """Arrays of whole numbers 0..255 in float64, `[H, W]` or `[H, W, 3]`; FileNotFoundError if there are none."""
    paths = sorted(data.glob(pattern))
    if not paths:
        raise FileNotFoundError(f"there is no {data / pattern}")
    return [np.asarray(Image.open(path)).astype(float) for path in paths]


def psnr(x: np.ndarray, y: np.ndarray) -> float:
    """In dB, for values in 0..255."""
    return float(10 * np.log10(255**2 / np.mean((x - y) ** 2)))


def luminance(image: np.ndarray) -> np.ndarray:
    """`[H, W, 3]` in 0..255 to whole numbers in 16..235, as MATLAB's `rgb2ycbcr`."""
    return np.round(16 + image @ np.array([65.481, 128.553, 24.966]) / 255)


def bicubic(data: pathlib.Path) -> list[Row]:
    """Set5, the luminance alone: cropped to a multiple of the factor, decimated, interpolated, rounded, border off.

    The figures are those that the papers of DRRN (Tai et al., 2017) and EDSR (Lim et al., 2017) give for bicubic.
    """
    rows = []
    for factor, published in ((2, 33.66), (3, 30.39), (4, 28.42)):
        operator, found = physics.Bicubic(factor), []
        for image in pictures(data, "restoration_test/Set5/*_GT.bmp"):
            height, width = (size - size % factor for size in image.shape[:2])
            clean = luminance(image[:height, :width])
            y = operator(jnp.asarray(clean / 255)[..., None])
            restored = np.round(255 * np.clip(np.asarray(solvers.bicubic(y, operator).image)[..., 0], 0, 1))
            inside = np.s_[factor:-factor, factor:-factor]
            found.append(psnr(clean[inside], restored[inside]))
        rows.append(Row(f"bicubic, Set5, ×{factor}", published, float(np.mean(found))))
    return rows


def bm3d(data: pathlib.Path) -> list[Row]:
    """Set12 with white noise that is not clipped; the figures are those of the DnCNN paper (Zhang et al., 2017)."""
    rows = []
    for sigma, published, profile in ((15, 32.37, "normal"), (25, 29.97, "normal"), (50, 26.72, "high")):
        denoise = jax.jit(functools.partial(solvers.denoise_bm3d, sigma=sigma / 255, profile=profile))
        found = []
        for clean in pictures(data, "restoration_test/Set12/*.png"):
            y = clean + sigma * np.random.default_rng(0).standard_normal(clean.shape)
            restored = np.asarray(denoise(jnp.asarray(y / 255, jnp.float32)).image)
            found.append(psnr(clean, 255 * np.clip(restored, 0, 1)))
        rows.append(Row(f"BM3D, Set12, sigma {sigma}", published, float(np.mean(found))))
    return rows


def scenarios() -> list[tuple[np.ndarray, float | None, float]]:
    """The six blurs of IDD-BM3D (Danielyan et al., 2012): kernel, noise of 255 (None: BSNR of 40 dB), ISNR of TV."""
    i, j = np.mgrid[-7:8, -7:8]
    binomial = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]).astype(float)
    k, n = np.mgrid[-12:13, -12:13]
    kernels = [1.0 / (i**2 + j**2 + 1)] * 2 + [np.ones((9, 9)), binomial]
    kernels += [np.exp(-(k**2 + n**2) / (2 * std**2)) for std in (1.6, 0.4)]
    noises = (2**0.5, 8**0.5, None, 7.0, 2.0, 8.0)
    figures = (7.34, 5.23, 8.61, 2.47, 3.35, 3.27)
    return [(h / h.sum(), *rest) for h, *rest in zip(kernels, noises, figures, strict=True)]


def deblur(data: pathlib.Path) -> list[Row]:
    """Improvement of SNR on the cameraman by total variation, circular blur, 150 iterations, the best of 13 weights.

    The figures are an independent implementation's, with its best of 7 weights; TVMM's (Danielyan et al., 2012) are
    7.41, 5.17, 8.54, 2.57, 3.36 and 1.30.
    """
    clean = pictures(data, "restoration_test/Set12/01.png")[0] / 255
    weights = jnp.geomspace(0.01, 0.12, 13)

    @jax.jit
    def solve(y: jax.Array, operator: physics.Operator, weights: jax.Array) -> jax.Array:
        return jax.lax.map(
            lambda w: solvers.admm(y, operator, solvers.TotalVariation(w), rho=5 * w, iterations=150).image, weights
        )

    rows = []
    for number, (kernel, sigma, figure) in enumerate(scenarios(), 1):
        operator = physics.Blur(jnp.asarray(kernel, jnp.float32))
        blurred = np.asarray(operator(jnp.asarray(clean, jnp.float32)[..., None])[..., 0])
        sigma = 255 * np.sqrt(blurred.var() / 1e4) if sigma is None else sigma
        y = blurred + sigma / 255 * np.random.RandomState(0).standard_normal(clean.shape)
        found = np.asarray(solve(jnp.asarray(y, jnp.float32), operator, weights * sigma**2 / 255))
        best = max(psnr(255 * clean, 255 * image) for image in found)
        rows.append(Row(f"TV deblurring, scenario {number}, ISNR", figure, best - psnr(255 * clean, 255 * y)))
    return rows


CHECKS: dict[str, Callable[[pathlib.Path], list[Row]]] = {"bicubic": bicubic, "deblur": deblur, "bm3d": bm3d}


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--only", choices=sorted(CHECKS))
    arguments = parser.parse_args()
    print(f"{'PSNR in dB':40s} {'published':>10s} {'ours':>8s} {'difference':>11s}")
    for name in [arguments.only] if arguments.only else CHECKS:
        try:
            for row in CHECKS[name](arguments.data):
                print(f"{row.what:40s} {row.published:10.2f} {row.ours:8.3f} {row.ours - row.published:+11.3f}")
        except FileNotFoundError as error:
            print(f"{name}: left out, {error}")


if __name__ == "__main__":
    main()

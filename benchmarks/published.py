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


CHECKS: dict[str, Callable[[pathlib.Path], list[Row]]] = {"bicubic": bicubic, "bm3d": bm3d}


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

"""How published figures measure: on 0..255, rounded or not, in luminance, without the border."""

import numpy as np

from mtjax.compare.protocols.protocol import Case
from mtjax.metrics.image import LARGEST_PSNR


def psnr(x: np.ndarray, y: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of values in 0..255, over all pixels and channels; at most 100."""
    return float(min(10 * np.log10(255**2 / max(np.mean((x - y) ** 2), 1e-12)), LARGEST_PSNR))


def stored(image: np.ndarray) -> np.ndarray:
    """An image in [0, 1] as a file of 8 bits holds it: whole numbers 0..255, halves up, as MATLAB's `im2uint8`."""
    return np.floor(255 * np.clip(image, 0, 1) + 0.5)


def luminance(image: np.ndarray) -> np.ndarray:
    """`[H, W, 3]` in 0..255 to `[H, W, 1]`, whole numbers in 16..235, as MATLAB's `rgb2ycbcr`."""
    return np.round(16 + image @ np.array([65.481, 128.553, 24.966]) / 255)[..., None]


def modcrop(image: np.ndarray, factor: int) -> np.ndarray:
    """An image `[H, W, C]` without the rows and columns at its end that make its sides no multiples of `factor`."""
    height, width = (size - size % factor for size in image.shape[:2])
    return image[:height, :width]


def shave(image: np.ndarray, border: int) -> np.ndarray:
    """An image `[H, W, C]` without so many pixels on each side."""
    return image[border : image.shape[0] - border, border : image.shape[1] - border]


def stored_psnr(case: Case, image: np.ndarray) -> float:
    """PSNR of the image rounded to 8 bits, the whole of it."""
    return psnr(case.clean, stored(image))


def clipped_psnr(case: Case, image: np.ndarray) -> float:
    """PSNR of the image clipped to [0, 1] and not rounded, cut to the size of the clean one."""
    height, width = case.clean.shape[:2]
    return psnr(case.clean, 255 * np.clip(image[:height, :width], 0, 1))


def isnr(case: Case, image: np.ndarray) -> float:
    """By how many dB the image, neither clipped nor rounded, is nearer to the clean one than what was observed."""
    return psnr(case.clean, 255 * image) - psnr(case.clean, 255 * case.y)

"""JPEG, the codec that a learned one is compared with: at the same bits per pixel, image by image."""

import bisect
import dataclasses
import io

import numpy as np
from PIL import Image

QUALITIES = range(1, 101)


@dataclasses.dataclass(frozen=True)
class Coded:
    """Images as JPEG gives them back, `[N, H, W, C]` in [0, 1], with the bits per pixel and quality of each `[N]`."""

    images: np.ndarray
    bits_per_pixel: np.ndarray
    quality: np.ndarray


def jpeg_at_rate(images: np.ndarray, bits_per_pixel: np.ndarray) -> Coded:
    """Each image as JPEG of the quality whose rate is nearest to the one that is asked for.

    The whole file is counted, with its header and its tables, some 600 bytes of color and 300 of gray: small images
    cannot have a low rate, so look at the rate that comes back. Huffman tables are optimal, colors subsampled 2×2.

    Args:
        images: `[N, H, W, 1 or 3]` in [0, 1].
        bits_per_pixel: `[N]`, per image.
    """
    coded = [_nearest(image, float(rate)) for image, rate in zip(images, bits_per_pixel, strict=True)]
    return Coded(*(np.stack(parts) for parts in zip(*coded, strict=True)))


def _nearest(image: np.ndarray, rate: float) -> tuple[np.ndarray, float, int]:
    """The image at the quality nearest in rate, its rate, and the quality."""
    levels = np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)
    picture = Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels)
    pixels = image.shape[0] * image.shape[1]

    def rate_of(quality: int) -> float:
        return 8 * len(_jpeg(picture, quality)) / pixels

    above = bisect.bisect_left(QUALITIES, rate, key=rate_of)  # files grow with the quality
    near = QUALITIES[max(above - 1, 0) : above + 1]
    quality = min(near, key=lambda quality: abs(rate_of(quality) - rate))
    decoded = np.asarray(Image.open(io.BytesIO(_jpeg(picture, quality))), np.float32) / 255
    return decoded.reshape(image.shape), rate_of(quality), quality


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, "jpeg", quality=quality, optimize=True, subsampling="4:2:0")
    return file.getvalue()

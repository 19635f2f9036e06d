"""JPEG, the codec that a learned one is compared with: at the same bits per pixel, image by image.

A learned codec's stream does not hold the network, and its image's size is known. So of JPEG too only what varies with
the picture is counted: one byte for the quality, and the scan, which is the entropy-coded data alone. The rest of a
file, 623 bytes in color and 328 in gray, most of an image of 32×32 pixels, follows from the quality and the size:
quantization tables are libjpeg's, Huffman tables the standard's (ITU-T T.81, annex K), colors subsampled 2×2.
"""

import bisect
import dataclasses
import functools
import io

import numpy as np
from PIL import Image

QUALITIES = range(1, 101)
END = b"\xff\xd9"  # the marker behind the scan
SCAN_HEADER = 0xDA  # the second byte of the marker of the segment before it


@dataclasses.dataclass(frozen=True)
class Coded:
    """Images as JPEG gives them back, `[N, H, W, C]` in [0, 1], with what each took `[N]`.

    bits_per_pixel: of the scan and the quality; these are compared. file_bits_per_pixel: of the whole file.
    """

    images: np.ndarray
    bits_per_pixel: np.ndarray
    file_bits_per_pixel: np.ndarray
    quality: np.ndarray


def jpeg_at_rate(images: np.ndarray, bits_per_pixel: np.ndarray) -> Coded:
    """Each image as JPEG of the quality whose rate is nearest to the one that is asked for; the lower one of two.

    Args:
        images: `[N, H, W, 1 or 3]` in [0, 1].
        bits_per_pixel: `[N]`, per image.
    """
    coded = [_nearest(image, float(rate)) for image, rate in zip(images, bits_per_pixel, strict=True)]
    return Coded(*(np.stack(parts) for parts in zip(*coded, strict=True)))


def encode(image: np.ndarray, quality: int) -> bytes:
    """The scan of an image `[H, W, 1 or 3]` in [0, 1]."""
    levels = np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)
    return _file(levels, quality)[len(_header(levels.shape, quality)) : -len(END)]


def decode(scan: bytes, quality: int, shape: tuple[int, ...]) -> np.ndarray:
    """The image `[H, W, 1 or 3]` of a scan; nothing else is needed."""
    file = io.BytesIO(_header(shape, quality) + scan + END)
    return (np.asarray(Image.open(file), np.float32) / 255).reshape(shape)


def _nearest(image: np.ndarray, rate: float) -> tuple[np.ndarray, float, float, int]:
    """The image at the quality nearest in rate, its rate, that of the whole file, and the quality."""
    scan = functools.cache(functools.partial(encode, image))
    pixels = image.shape[0] * image.shape[1]

    def rate_of(quality: int) -> float:
        return 8 * (1 + len(scan(quality))) / pixels

    above = bisect.bisect_left(QUALITIES, rate, key=rate_of)  # scans grow with the quality
    near = QUALITIES[max(above - 1, 0) : above + 1]
    quality = min(near, key=lambda quality: abs(rate_of(quality) - rate))
    whole = len(_header(image.shape, quality)) + len(scan(quality)) + len(END)
    return decode(scan(quality), quality, image.shape), rate_of(quality), 8 * whole / pixels, quality


@functools.lru_cache
def _header(shape: tuple[int, ...], quality: int) -> bytes:
    """What stands before the scan in every file of this shape and quality."""
    file = _file(np.zeros(shape, np.uint8), quality)
    end, kind = 2, 0  # behind the marker of the file's start
    while kind != SCAN_HEADER:  # segments: 0xFF, their kind, and their length without these two bytes
        kind, end = file[end + 1], end + 2 + int.from_bytes(file[end + 2 : end + 4], "big")
    return file[:end]


def _file(levels: np.ndarray, quality: int) -> bytes:
    file = io.BytesIO()
    picture = Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels)
    picture.save(file, "jpeg", quality=quality, optimize=False, subsampling="4:2:0")
    return file.getvalue()

"""Reads TIFF files of more than 8 bits per channel, which Pillow does not read in color."""

import ctypes
import functools
import logging
import pathlib
import zlib
from typing import Any

import numpy as np
import PIL

from mtjax.data.sources.untrusted import refuse_bomb

ORIENTATION = 274  # the tag that tells how to turn a picture upright
HARMLESS = (1, 5, 32773)  # how a TIFF of more than 8 bits may be packed: not, LZW, PackBits
DEFLATE = (8, 32946)


@functools.cache
def silence() -> None:
    """Keeps Pillow, and its own libtiff, past Python, from writing to standard error what else they find wrong."""
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    for library in pathlib.Path(PIL.__file__).parent.parent.glob("pillow.libs/libtiff*"):
        ctypes.CDLL(str(library)).TIFFSetErrorHandler(None)


def is_wide(path: pathlib.Path) -> bool:
    """Whether the first page has more than 8 bits per channel, by its header."""
    with _open(path) as file:
        return file.pages.first.bitspersample > 8


def read_wide(path: pathlib.Path) -> np.ndarray:
    """The first page of a TIFF of 16 or 32 bits, or of floats in [0, 1], as float32 [H, W, S]."""
    with _open(path) as file:
        page = file.pages.first
        refuse_bomb(page.imagewidth, page.imagelength * page.imagedepth, page.samplesperpixel)
        _refuse_inflated(file.filehandle, page)
        samples = page.asarray()
        axes, bits, photometric = (
            page.axes,
            page.bitspersample,
            getattr(page.photometric, "name", str(page.photometric)),
        )
        orientation = page.tags.valueof(ORIENTATION, 1)
    if photometric not in ("MINISBLACK", "MINISWHITE", "RGB"):
        raise ValueError(f"TIFF files of {bits} bits with {photometric} colors are not supported")
    if axes.startswith("S"):
        samples, axes = np.moveaxis(samples, 0, -1), axes[1:] + "S"
    if axes not in ("YX", "YXS"):
        raise ValueError(f"a TIFF page with axes {axes} is not a picture")
    if samples.dtype.kind == "u":
        picture = samples.astype(np.float32) / (2**bits - 1)
    elif samples.dtype.kind == "f" and np.isfinite(samples).all() and samples.min() >= 0 and samples.max() <= 1:
        picture = samples.astype(np.float32)
    else:
        raise ValueError(f"TIFF samples of type {samples.dtype} must be unsigned, or floats in [0, 1]")
    picture = np.atleast_3d(1 - picture if photometric == "MINISWHITE" else picture)
    return _upright(picture[..., :4] if photometric == "RGB" else picture[..., :2], int(orientation))


def _open(path: pathlib.Path) -> Any:
    """The file, opened by a library that would put what it finds odd into the log, line by line."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    return tifffile.TiffFile(path)


def _refuse_inflated(file: Any, page: Any) -> None:
    """Raises ValueError if a strip or tile grows to more than the page: tifffile would inflate it all the same."""
    if page.compression not in DEFLATE:
        if page.compression not in HARMLESS:
            raise ValueError(f"TIFF compression {int(page.compression)} is not supported for more than 8 bits")
        return
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        file.seek(offset)
        if len(zlib.decompressobj().decompress(file.read(count), page.nbytes + 1)) > page.nbytes:
            raise ValueError("the TIFF data is longer than its header says")


def _upright(picture: np.ndarray, orientation: int) -> np.ndarray:
    """Turns a picture as its orientation tag 1 ... 8 says (TIFF 6.0, section 8)."""
    if orientation >= 5:
        picture = np.swapaxes(picture, 0, 1)
    if orientation in (3, 4, 7, 8):
        picture = picture[::-1]
    if orientation in (2, 3, 6, 7):
        picture = picture[:, ::-1]
    return picture

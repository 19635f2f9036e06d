"""Decodes picture files (PNG, JPEG, TIFF, BMP; gray or color; 1 to 16 bits, or floats) into arrays of one form.

Files are not trusted: one that is damaged, or made to do harm, is a ValueError or an OSError of one line.
"""

import pathlib

import numpy as np
from PIL import Image, ImageOps

from mtjax.data.sources import tiff
from mtjax.data.sources.png16 import is_png16, read_png16
from mtjax.data.sources.untrusted import FORMATS, decoding, refuse_bomb

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # how bright red, green and blue look (ITU-R BT.601)
WHITE = (255, 255, 255)


def is_wide(path: pathlib.Path) -> bool:
    """Whether a file holds more than 8 bits per channel, by its header. Raises what `read_picture` would."""
    with decoding(path):
        if is_png16(path):
            return True
        if path.suffix.lower() in (".tif", ".tiff"):
            return tiff.is_wide(path)
        with Image.open(path, formats=FORMATS):
            return False


def read_picture(path: pathlib.Path, channels: int, longest: int, shortest: int) -> np.ndarray:
    """A picture as uint8 [H, W, C], or float32 in [0, 1] if the file has more than 8 bits per channel.

    Turned upright (EXIF), palettes resolved, transparency laid over white, CMYK converted; gray is repeated for
    `channels` = 3, color is weighted by brightness for `channels` = 1. A picture whose longer side exceeds `longest`
    is reduced (antialiased) to it, though never below `shortest` on its shorter side.

    Raises ValueError or OSError for what cannot be decoded, and for more pixels than `PIL.Image.MAX_IMAGE_PIXELS`.
    """
    with decoding(path):
        if is_wide(path):
            picture = read_png16(path).astype(np.float32) / 65535 if is_png16(path) else tiff.read_wide(path)
            return _reduce_wide(_with_channels(_over_white(picture), channels), longest, shortest)
        return _with_channels(_read_narrow(path, longest, shortest), channels)


def _read_narrow(path: pathlib.Path, longest: int, shortest: int) -> np.ndarray:
    """A picture of at most 8 bits per channel, as uint8 [H, W, 1 or 3]."""
    tiff.silence()
    with Image.open(path, formats=FORMATS) as picture:
        refuse_bomb(*picture.size)
        picture.draft(None, _target(picture.size, longest, shortest))  # JPEG can be decoded smaller; others cannot
        upright = _plain(ImageOps.exif_transpose(picture))
    target = _target(upright.size, longest, shortest)
    if target != upright.size:
        upright = upright.resize(target, Image.Resampling.LANCZOS)
    return np.atleast_3d(np.asarray(upright if upright.mode == "L" else upright.convert("RGB")))


def _plain(picture: Image.Image) -> Image.Image:
    """A picture in mode L or RGB."""
    if picture.mode in ("L", "RGB"):
        return picture
    if picture.mode == "1":
        return picture.convert("L")
    if picture.has_transparency_data:
        over = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, WHITE)
        return Image.alpha_composite(white, over).convert("L" if picture.mode == "LA" else "RGB")
    if picture.mode in ("P", "CMYK", "YCbCr", "LAB", "HSV", "RGBX"):
        return picture.convert("RGB")
    raise ValueError(f"pictures of Pillow's mode {picture.mode} are not supported")


def _target(size: tuple[int, int], longest: int, shortest: int) -> tuple[int, int]:
    """The (width, height) to reduce a picture to; its own if it is small enough."""
    factor = min(1.0, max(longest / max(size), shortest / min(size)))
    return (max(1, round(size[0] * factor)), max(1, round(size[1] * factor)))


def _reduce_wide(picture: np.ndarray, longest: int, shortest: int) -> np.ndarray:
    height, width = picture.shape[:2]
    target = _target((width, height), longest, shortest)
    if target == (width, height):
        return picture
    planes = [Image.fromarray(p).resize(target, Image.Resampling.LANCZOS) for p in np.moveaxis(picture, -1, 0)]
    return np.clip(np.stack([np.asarray(plane) for plane in planes], -1), 0, 1)


def _over_white(picture: np.ndarray) -> np.ndarray:
    """float [H, W, 1 or 3] from [H, W, 1...4], an even last channel being opacity."""
    if picture.shape[-1] in (1, 3):
        return picture
    opacity = picture[..., -1:]
    return picture[..., :-1] * opacity + (1 - opacity)


def _with_channels(picture: np.ndarray, channels: int) -> np.ndarray:
    """[H, W, channels] from a gray or color picture; uint8 stays uint8."""
    if picture.shape[-1] == channels:
        return picture
    if channels == 3:
        return np.repeat(picture, 3, axis=-1)
    gray = picture.astype(np.float32) @ LUMA
    gray = np.round(gray).astype(np.uint8) if picture.dtype == np.uint8 else gray
    return gray[..., None]

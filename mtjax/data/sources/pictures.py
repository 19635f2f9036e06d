"""Decodes picture files (PNG, JPEG, TIFF; gray or color; 1 to 16 bits, or floats) into arrays of one form."""

import pathlib

import numpy as np
from PIL import Image, ImageOps

from mtjax.data.sources.png16 import is_png16, read_png16

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # how bright red, green and blue look (ITU-R BT.601)
ORIENTATION = 274  # the tag, in EXIF and in TIFF, that tells how to turn a picture upright
WHITE = (255, 255, 255)


def is_wide(path: pathlib.Path) -> bool:
    """Whether a file holds more than 8 bits per channel, by its header. Raises what `read_picture` would."""
    if is_png16(path):
        return True
    if path.suffix.lower() in (".tif", ".tiff"):
        return _is_wide_tiff(path)
    with Image.open(path):
        return False


def read_picture(path: pathlib.Path, channels: int, longest: int, shortest: int) -> np.ndarray:
    """A picture as uint8 [H, W, C], or float32 in [0, 1] if the file has more than 8 bits per channel.

    Turned upright (EXIF), palettes resolved, transparency laid over white, CMYK converted; gray is repeated for
    `channels` = 3, color is weighted by brightness for `channels` = 1. A picture whose longer side exceeds `longest`
    is reduced (antialiased) to it, though never below `shortest` on its shorter side.

    Raises OSError, ValueError or SyntaxError, as the decoders do, for what cannot be decoded.
    """
    if is_wide(path):
        picture = read_png16(path).astype(np.float32) / 65535 if is_png16(path) else _read_wide_tiff(path)
        return _reduce_wide(_with_channels(_over_white(picture), channels), longest, shortest)
    with Image.open(path) as picture:
        target = _target(picture.size, longest, shortest)
        picture.draft(None, target)  # lets the JPEG decoder reduce; no effect on other formats
        upright = _plain(ImageOps.exif_transpose(picture))
    target = _target(upright.size, longest, shortest)
    if target != upright.size:
        upright = upright.resize(target, Image.Resampling.LANCZOS)
    pixels = np.asarray(upright if upright.mode == "L" else upright.convert("RGB"))
    return _with_channels(np.atleast_3d(pixels), channels)


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


def _is_wide_tiff(path: pathlib.Path) -> bool:
    import tifffile

    with tifffile.TiffFile(path) as file:
        return file.pages.first.bitspersample > 8


def _read_wide_tiff(path: pathlib.Path) -> np.ndarray:
    """The first page of a TIFF of 16 or 32 bits, or of floats in [0, 1], as float32 [H, W, S]."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        page = file.pages.first
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


def _upright(picture: np.ndarray, orientation: int) -> np.ndarray:
    """Turns a picture as its orientation tag 1 ... 8 says (TIFF 6.0, section 8)."""
    if orientation >= 5:
        picture = np.swapaxes(picture, 0, 1)
    if orientation in (3, 4, 7, 8):
        picture = picture[::-1]
    if orientation in (2, 3, 6, 7):
        picture = picture[:, ::-1]
    return picture

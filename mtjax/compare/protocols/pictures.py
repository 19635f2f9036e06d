"""Finds sets of pictures, and arrays that go with them, below the folder that the user gives."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from mtjax.data.sources.pictures import SUFFIXES
from mtjax.data.sources.untrusted import FORMATS, decoding


class MissingError(FileNotFoundError):
    """Pictures or arrays of a protocol that are not there; the message is one line that names them."""


def read(path: Path) -> np.ndarray:
    """`[H, W, 1 or 3]` in float64, whole numbers 0..255."""
    with decoding(path), Image.open(path, formats=FORMATS) as picture:
        plain = picture if picture.mode in ("L", "RGB") else picture.convert("RGB")
        pixels = np.asarray(plain, np.float64)
    return pixels if pixels.ndim == 3 else pixels[..., None]


def pictures(data: Path, folders: tuple[str, ...], only: tuple[str, ...] = ()) -> list[Path]:
    """The files of the first folder of such a name that holds pictures, by name: `data` itself, in it, or one deeper.

    `only`: the names of the files wanted, without their suffixes.

    Raises:
        MissingError: there is none, or not all that are wanted.
    """
    for folder in _places(data, folders):
        found = sorted(f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES and (not only or f.stem in only))
        if missing := sorted(set(only) - {file.stem for file in found}) if found else []:
            raise MissingError(f"folder {folder.name} has no picture {', '.join(missing)}")
        if found:
            return found
    names = f" with {', '.join(only)}" if only else ""
    raise MissingError(f"there is no folder {' or '.join(folders)} of pictures{names}")


def array_file(data: Path, *names: str) -> Path:
    """The first file of such a name in `data`, or at most two folders below it; MissingError if there is none."""
    for name in names:
        for depth in ("", "*/", "*/*/"):
            if found := sorted(data.glob(depth + name)):
                return found[0]
    raise MissingError(f"there is no file {' or '.join(names)}")


def _places(data: Path, folders: tuple[str, ...]) -> Iterator[Path]:
    for name in folders:
        if data.name == name and data.is_dir():
            yield data
        yield from (place for place in (data / name, *sorted(data.glob(f"*/{name}"))) if place.is_dir())

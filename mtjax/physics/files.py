"""Arrays from files: masks and measurement matrices here, kernels in `kernels.load`."""

import pathlib

import numpy as np

from mtjax.registry import nearest, one_line
from mtjax.typing import Float

PICTURES = ("PNG", "JPEG", "TIFF", "BMP")  # for one of its other formats, Pillow starts Ghostscript


def load_mask(path: str | pathlib.Path, name: str | None, shape: tuple[int, int]) -> Float[np.ndarray, "H W"]:
    """A mask of an image's `shape` (H, W), in [0, 1]: a `.npy` array, array `name` of a `.npz`, or a picture.

    Values may be truth values, 0 and 1, or those of a picture, whose white, 255, becomes 1. `name` may be left out
    where there is one array. Raises ValueError or an OSError, in one line, for what is no such mask.
    """
    mask = _numbers(path, name, "mask")
    if mask.shape != shape:
        raise ValueError(f"mask in {str(path)!r} has shape {mask.shape}; expected {shape}, as the image")
    mask = mask / 255 if mask.max() > 1 else mask
    if mask.min() < 0 or mask.max() > 1 or not mask.any():
        raise ValueError(f"mask in {str(path)!r} must be in [0, 1], or [0, 255] in a picture, and not all 0")
    return mask


def load_matrix(path: str | pathlib.Path, name: str | None, columns: int) -> Float[np.ndarray, "M N"]:
    """A measurement matrix `[M, N]` of N = `columns`, one for each pixel: a `.npy` array, or array `name` of a `.npz`.

    `name` may be left out where there is one array. Raises ValueError or an OSError, in one line, for what is no such
    matrix.
    """
    matrix = _numbers(path, name, "matrix")
    if matrix.shape[1] != columns:
        raise ValueError(f"matrix in {str(path)!r} has shape {matrix.shape}; expected {columns} columns, one per pixel")
    return matrix


def load_array(path: str | pathlib.Path, name: str | None, what: str) -> np.ndarray:
    """A `.npy` array, array `name` of a `.npz`, or a picture (as gray), as it is stored.

    Of a stack `[n, ...]` of three axes in a `.npy`, `name` is the number of one, counted from 0. `name` may be left out
    where there is one array. Raises ValueError or an OSError, in one line that calls it `what`, for what is no array.
    """
    path = pathlib.Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"there is no {what} file {str(path)!r}")
    try:
        found = _read(path)
    except Exception as error:
        raise ValueError(f"{what} file {str(path)!r} cannot be read: {one_line(error)}") from error
    if name is None and len(found) == 1:
        (name,) = found
    if name not in found:
        raise ValueError(f"name={name!r} is no {what} in {str(path)!r}; {nearest(str(name), found)}")
    return np.asarray(found[name])


def _numbers(path: str | pathlib.Path, name: str | None, what: str) -> np.ndarray:
    """A finite array of two axes, as float64."""
    array = load_array(path, name, what)
    if array.ndim != 2 or array.dtype.kind not in "biuf" or not array.size or not np.isfinite(array).all():
        raise ValueError(f"{what} in {str(path)!r} is {array.dtype} {array.shape}; expected finite numbers of two axes")
    return array.astype(float)


def _read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Name of each array in a file -> the array."""
    if path.suffix.lower() == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    if path.suffix.lower() == ".npy":
        with path.open("rb") as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
        return {str(i): part for i, part in enumerate(array)} if array.ndim == 3 else {"0": array}
    from PIL import Image  # not needed by those who bring arrays

    with Image.open(path, formats=PICTURES) as picture:
        return {"0": np.asarray(picture if picture.mode.startswith("I") else picture.convert("F"))}

"""Brings a picture and all that is known of its pixels to a given size: reduced or enlarged first, then cut."""

from collections.abc import Mapping

import numpy as np
from PIL import Image

from mtjax.data.fields import PICTURES, Example

BOXES = ("boxes", "box_labels")
Size = tuple[int, int]  # height and width in pixels


def covering(example: Mapping[str, np.ndarray], size: Size) -> Example:
    """The example in the smallest size, of the same proportions, that `size` fits into.

    Pictures, uint8 [H, W, C], are resampled antialiased; of every other map [H, W, ...] the nearest pixel is taken.
    Boxes are fractions of the picture, so that they stay. What has another height or width than the image stays too.
    """
    old = example["image"].shape[:2]
    factor = max(wanted / length for wanted, length in zip(size, old, strict=True))
    new = tuple(max(wanted, round(length * factor)) for wanted, length in zip(size, old, strict=True))
    if new == old:
        return dict(example)
    rows, columns = ((np.arange(n) + 0.5) * o // n for n, o in zip(new, old, strict=True))
    fitted = dict(example)
    for field, value in example.items():
        if field in BOXES or value.shape[:2] != old:
            continue
        if field in PICTURES:
            fitted[field] = _resampled(value, (new[0], new[1]))
        else:
            fitted[field] = value[rows.astype(int)][:, columns.astype(int)]
    return fitted


def cut(example: Mapping[str, np.ndarray], size: Size, down: float, right: float) -> Example:
    """The part of `size` at a place given by two numbers in [0, 1), (0.5, 0.5) being the middle; boxes move with it.

    A box that leaves the part altogether becomes zeros with class -1.
    """
    old = example["image"].shape[:2]
    top, left = (
        int(place * (length - wanted + 1)) for place, length, wanted in zip((down, right), old, size, strict=True)
    )
    part = {
        field: value[top : top + size[0], left : left + size[1]]
        if field not in BOXES and value.shape[:2] == old
        else value
        for field, value in example.items()
    }
    if "boxes" in example:
        moved = (example["boxes"] * (old * 2) - (top, left) * 2) / (size * 2)
        moved = np.clip(moved, 0, 1).astype(np.float32)
        seen = (moved[:, 2] > moved[:, 0]) & (moved[:, 3] > moved[:, 1])
        part["boxes"] = np.where(seen[:, None], moved, np.float32(0))
        if "box_labels" in example:
            part["box_labels"] = np.where(seen, example["box_labels"], -1).astype(np.int32)
    return part


def padded(boxes: np.ndarray, labels: np.ndarray, count: int) -> Example:
    """The `count` largest boxes that are to be seen; zeros and -1 beyond."""
    seen = np.flatnonzero(labels >= 0)
    areas = (boxes[seen, 2] - boxes[seen, 0]) * (boxes[seen, 3] - boxes[seen, 1])
    seen = seen[np.argsort(-areas, kind="stable")][:count]
    padded, classes = np.zeros((count, 4), np.float32), np.full(count, -1, np.int32)
    padded[: len(seen)], classes[: len(seen)] = boxes[seen], labels[seen]
    return {"boxes": padded, "box_labels": classes}


def _resampled(picture: np.ndarray, size: Size) -> np.ndarray:
    gray = picture.shape[-1] == 1
    image = Image.fromarray(picture[..., 0] if gray else picture)
    pixels = np.asarray(image.resize((size[1], size[0]), Image.Resampling.LANCZOS))
    return pixels[..., None] if gray else pixels

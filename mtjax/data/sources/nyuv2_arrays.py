"""NYU Depth v2 as a file for each frame and each of its labels."""

import pathlib
from typing import Any

import numpy as np

from mtjax.data.sources.layout import Layout, check_classes, damaged
from mtjax.metrics.segmentation import VOID
from mtjax.registry import ConfigError

PARTS = ("image", "depth", "label", "normal")
Frame = tuple[pathlib.Path, ...]  # as PARTS


def frames(layout: Layout, classes: int) -> tuple[list[Frame], list[Frame]]:
    """The frames of the folders train and val; both must be there."""
    if classes != 13:
        raise ConfigError(f"classes={classes}: the arrays of {str(layout.root)!r} have 13")
    return _folder(layout, "train"), _folder(layout, "val")


def files(frame: Frame) -> list[pathlib.Path]:
    """What a frame is read from."""
    return list(frame)


def read(frame: Frame) -> dict[str, Any]:
    """One frame."""
    image, depth, label, normals = (_load(file) for file in frame)
    height, width = image.shape[:2]
    for file, array, shapes in (
        (frame[0], image, [(height, width, 3)]),
        (frame[1], depth, [(height, width), (height, width, 1)]),
        (frame[2], label, [(height, width)]),
        (frame[3], normals, [(height, width, 3)]),
    ):
        if array.shape not in shapes or array.dtype.kind not in "fiu":
            wanted = ", ".join(map(str, shapes[0]))
            raise damaged(file, f"is {array.dtype} [{', '.join(map(str, array.shape))}], expected numbers [{wanted}]")
    if not (image.min() >= 0 and image.max() <= 1):
        raise damaged(frame[0], f"has values from {image.min():g} to {image.max():g}, expected 0 to 1")
    known = (label >= 0) & (label < VOID)
    return {
        "image": np.round(image * 255).astype(np.uint8),
        "segments": check_classes(np.where(known, label, VOID).astype(np.uint8), 13, frame[2]),
        "depth": np.where(np.isfinite(depth), depth, 0).reshape(height, width),
        "normals": np.where(np.isfinite(normals), normals, 0),
    }


def _folder(layout: Layout, part: str) -> list[Frame]:
    """The frames of one folder, by number; each must have every label."""
    pictures = layout.files(f"{part}/image/*.npy")
    odd = next((file for file in pictures if not file.stem.isdecimal()), None)
    if odd:
        raise layout.refusal(f"has {layout.name(odd)}, whose name is no number")
    pictures.sort(key=lambda file: int(file.stem))
    labels = [
        [pair[1] for pair in layout.pairs(pictures, layout.files(f"{part}/{name}/*.npy"), lambda file: file.stem)]
        for name in PARTS[1:]
    ]
    return list(zip(pictures, *labels, strict=True))


def _load(file: pathlib.Path) -> np.ndarray:
    try:
        array = np.load(file, allow_pickle=False)
    except Exception as error:  # what reads arrays raises all sorts of things
        raise damaged(file, error) from error
    if array.ndim < 2 or not array.size:
        raise damaged(file, f"has shape {array.shape}, which is no map")
    return array

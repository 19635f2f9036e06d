"""`multi_mnist`: two handwritten digits, or pieces of clothing, that overlap in one picture."""

import pathlib
from typing import Literal

import numpy as np
from PIL import Image

from mtjax.data.fields import Example, Source, SourceInfo
from mtjax.data.sources.mnist_files import CLASS_NAMES, SIDE, Digits, read_split

SPLITS = ("train", "validation", "test")
CANVAS, SHIFT = 36, 6  # pixels: the side of the canvas; how far right and down the second picture lies
SMALLEST, LARGEST = 8, 256  # pixels


def multi_mnist(
    split: str,
    /,
    *,
    path: str,
    left: Literal["mnist", "fashion"] = "mnist",
    right: Literal["mnist", "fashion"] = "mnist",
    size: int = 36,
    channels: int = 1,
    train: int = 50000,
    validation: int = 10000,
    test: int = 10000,
    seed: int = 0,
) -> Source:
    """Pairs of pictures of 28×28 on a canvas of 36×36, the right one six pixels below and right of the left one.

    Each pixel is the larger of the two. Fields: image, label_left, label_right. Which pictures make an example is a
    function of (split, index, seed) alone, and no picture is in two splits (see `mnist_files.read_split`).

    Args:
        split: "train", "validation" or "test".
        path: a folder with MNIST or Fashion-MNIST (see `mnist_files.read_split` for the files).
        left: the set that the picture at the upper left is of.
        right: the set that the picture at the lower right is of.
        size: height and width in pixels; another one than 36 is resized to (bilinear, antialiased).
        channels: 1, or 3 alike ones, to be mixed with color.
        train: examples for training.
        validation: examples for validation.
        test: examples for testing.
        seed: other pairs for another number.

    Raises ConfigError (a ValueError) for a folder without these files, and ValueError for values out of range.

    Source: Sabour et al., "Dynamic routing between capsules", NeurIPS 2017; the placing without chance is that of
    Sener and Koltun, "Multi-task learning as multi-objective optimization", NeurIPS 2018, who then resize to 28×28.
    """
    counts = {"train": train, "validation": validation, "test": test}
    if split not in SPLITS:
        raise ValueError(f"split={split!r}: multi_mnist has {', '.join(SPLITS)}")
    for name, value in (("left", left), ("right", right)):
        if value not in CLASS_NAMES:
            raise ValueError(f"{name}={value!r}: expected {' or '.join(CLASS_NAMES)}")
    if not SMALLEST <= size <= LARGEST:
        raise ValueError(f"size={size}: multi_mnist makes pictures of {SMALLEST} to {LARGEST} pixels")
    if channels not in (1, 3):
        raise ValueError(f"channels={channels}: expected 1 or 3")
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name}={count}: expected the number of examples in that split, at least 1")
    if seed < 0:
        raise ValueError(f"seed={seed}: expected 0 or more")
    root = pathlib.Path(path).expanduser()
    pool = {name: read_split(root, name, split, alone=left == right) for name in dict.fromkeys((left, right))}
    names = {"label_left": CLASS_NAMES[left], "label_right": CLASS_NAMES[right]}
    info = SourceInfo(
        name="multi_mnist",
        fields={"image": (size, size, channels), "label_left": (), "label_right": ()},
        class_names=names,
        image_shape=(size, size, channels),
    )
    return _MultiMnist(pool[left], pool[right], counts[split], (seed, SPLITS.index(split)), info)


class _MultiMnist(Source):
    """Makes each example when it is asked for."""

    def __init__(self, left: Digits, right: Digits, count: int, seed: tuple[int, int], info: SourceInfo):
        self._left, self._right, self._count, self._seed, self.info = left, right, count, seed, info

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Example:
        rng = np.random.default_rng([*self._seed, index])
        one = rng.integers(len(self._left))
        other = rng.integers(len(self._right) - (self._left is self._right))
        if self._left is self._right:
            other += other >= one  # a picture is not laid over itself
        size, _, channels = self.info.image_shape
        image = _overlaid(self._left.images[one], self._right.images[other])
        if size != CANVAS:
            image = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))
        return {
            "image": np.repeat(image[..., None], channels, -1),
            "label_left": np.asarray(self._left.labels[one], np.int32),
            "label_right": np.asarray(self._right.labels[other], np.int32),
        }


def _overlaid(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Both pictures on one canvas, uint8 [36, 36]."""
    canvas = np.zeros((CANVAS, CANVAS), np.uint8)
    canvas[:SIDE, :SIDE] = left
    below = canvas[SHIFT : SHIFT + SIDE, SHIFT : SHIFT + SIDE]
    np.maximum(below, right, out=below)
    return canvas

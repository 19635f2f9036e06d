"""Pictures of any size through a function of pictures of one size: overlapping tiles, blended where they meet."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import jax
import numpy as np

TILE, OVERLAP = 512, 96


def tiled(
    function: Callable[[np.ndarray], Any],
    image: np.ndarray,
    *,
    tile: int = TILE,
    overlap: int = OVERLAP,
    align: int = 1,
) -> Any:
    """`function` of a picture `[H, W, C]`, computed tile by tile; all tiles have one shape, so it is compiled once.

    Beyond the input, the output and one tile nothing is held in memory. Where two tiles overlap, the outer third of
    each is thrown away and what is left is blended, with weights that add up to 1: the result is that of the whole
    picture if no value depends on pixels farther away than a third of `overlap`, and else has no seams.

    Args:
        function: from `[h, w, C]` to a tree of float arrays `[s h, s w, ...]`, of any scales s.
        image: of any size; one that is no larger than a tile is given to `function` as it is.
        tile: its height and width in pixels, a multiple of `align`.
        overlap: of neighbors, at least; less than `tile`.
        align: tiles begin at multiples of it: 1/s for outputs with scales s < 1, the stride of a network.

    Returns:
        The tree, with arrays `[⌈s H⌉, ⌈s W⌉, ...]` of NumPy.
    """
    if not 0 <= overlap < tile or tile % align or align < 1:
        raise ValueError(f"tile={tile}, overlap={overlap}, align={align}; expected a larger tile, a multiple of align")
    height, width = image.shape[:2]
    if max(height, width) <= tile:
        return jax.tree.map(np.asarray, jax.device_get(function(image)))
    rows, columns = (starts(side, tile, overlap, align) for side in (height, width))
    shape = (min(tile, _up(height, align)), min(tile, _up(width, align)))
    image = np.pad(image, ((0, -height % align), (0, -width % align), (0, 0)), mode="symmetric")
    leaves, tree = None, None
    for top in rows:
        for left in columns:
            part = function(image[top : top + shape[0], left : left + shape[1]])
            parts, tree = jax.tree.flatten(jax.device_get(part))
            if leaves is None:
                leaves = [_Blended(image.shape[:2], shape, (rows, columns), overlap, part) for part in parts]
            for leaf, part in zip(leaves, parts, strict=True):
                leaf.add(part, top, left)
    assert leaves is not None and tree is not None
    return jax.tree.unflatten(tree, [leaf.cropped(height, width) for leaf in leaves])


def starts(side: int, tile: int, overlap: int, align: int = 1) -> list[int]:
    """Where tiles begin along one side: evenly far apart, the first at 0, the last one ending with the side."""
    last = max(_up(side, align) - tile, 0)
    step = max((tile - overlap) // align * align, align)
    count = -(-last // step) + 1
    return [last * i // max(count - 1, 1) // align * align for i in range(count)]


def weights(at: list[int], side: int, tile: int, overlap: float | int) -> np.ndarray:
    """How much each tile counts, `[len(at), tile]`, so that over a side of `side` pixels they add up to 1.

    A tile's weight is 0 in the outer third of the overlap, then rises like a cosine over the next third; at the ends of
    the side there is no neighbor, and it is 1.
    """
    margin = overlap / 3
    distance = np.arange(tile) + 0.5
    raw = np.ones((len(at), tile))
    for i, start in enumerate(at):
        for inner, away in ((start > 0, distance), (start + tile < side, tile - distance)):
            if inner:
                ramp = np.clip((away - margin) / max(margin, 0.5), 0, 1)
                raw[i] *= 0.5 - 0.5 * np.cos(np.pi * ramp)
    total = np.zeros(side)
    for start, row in zip(at, raw, strict=True):
        total[start : start + tile] += row
    return np.stack([row / total[start : start + tile] for start, row in zip(at, raw, strict=True)])


class _Blended:
    """One output, to which tiles are added."""

    def __init__(self, size: Any, shape: Any, at: Any, overlap: int, first: np.ndarray):
        self.scales = [Fraction(first.shape[axis], shape[axis]) for axis in range(2)]
        whole, counts = [], []
        for starts, side, part, scale in zip(at, size, first.shape, self.scales, strict=False):
            own = [_scaled(start, scale) for start in starts]
            whole.append(_scaled(side, scale))
            counts.append(dict(zip(starts, weights(own, whole[-1], part, float(overlap * scale)), strict=True)))
        self.rows, self.columns = counts
        self.total = np.zeros((*whole, *first.shape[2:]), first.dtype)

    def add(self, part: np.ndarray, top: int, left: int) -> None:
        y, x = (_scaled(start, scale) for start, scale in zip((top, left), self.scales, strict=True))
        weight = (self.rows[top][:, None] * self.columns[left]).astype(part.dtype)
        weighted = part * weight.reshape(*weight.shape, *(1,) * (part.ndim - 2))
        self.total[y : y + part.shape[0], x : x + part.shape[1]] += weighted

    def cropped(self, height: int, width: int) -> np.ndarray:
        """Without what the picture was filled up with."""
        rows, columns = (math.ceil(side * scale) for side, scale in zip((height, width), self.scales, strict=True))
        return self.total[:rows, :columns]


def _scaled(length: int, scale: Fraction) -> int:
    """A length in pixels of the output.

    Raises:
        ValueError: it is no whole number of them.
    """
    result = length * scale
    if result.denominator != 1:
        raise ValueError(f"tiles at {length} pixels and an output of scale {scale}; expected align={scale.denominator}")
    return int(result)


def _up(length: int, multiple: int) -> int:
    return -(-length // multiple) * multiple

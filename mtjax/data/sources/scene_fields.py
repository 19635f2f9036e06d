"""Fields of `digit_scenes` that are made when an example is read, from what is stored of it."""

import dataclasses
import zlib
from collections.abc import Callable, Iterable

import numpy as np
from scipy import ndimage

from mtjax.data.fields import Example
from mtjax.registry import ConfigError, nearest

DIGITS = tuple(str(d) for d in range(10))
BEVEL = 0.1  # width of the slope along a digit's edge, as a share of the picture's size
SMOOTHING = 0.012  # standard deviation of what rounds a relief, likewise
MOTION = 6 / 64  # the largest shift between two frames, likewise
FRAMES = 5  # of a clip
DRIFT = 1 / 48  # its camera's largest steady shift from frame to frame, likewise
SHAKE = 1 / 128  # standard deviation of the jitter that is added, likewise
CELLS = 4  # to a side: of the grid that a flow bends with, and of the blocks of a reference

Draw = np.random.Generator
Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Extra:
    """A field: `make(example, rng)`, its shape in a scene of `size`×`size` pixels, the names of its classes if any.

    Fields with the same `chance` draw the same random numbers.
    """

    make: Callable[[Example, Draw], np.ndarray]
    shape: Callable[[int], Shape]
    classes: tuple[str, ...] = ()
    chance: str = ""


def check_extras(names: Iterable[str]) -> None:
    """Raises a ConfigError for the first name that is none of `EXTRAS`, with the nearest."""
    for name in names:
        if name not in EXTRAS:
            raise ConfigError(f"unknown field {name!r} in data.extras; {nearest(name, EXTRAS)}")


def make_extras(names: Iterable[str], example: Example, split: int, index: int) -> Example:
    """The named fields of an example: a function of the example, and of its place in the data set."""
    made = {}
    for name in names:
        extra = EXTRAS[name]
        rng = np.random.default_rng([zlib.crc32(extra.chance.encode()), split, index])
        made[name] = extra.make(example, rng)
    return made


def _present(example: Example, rng: Draw) -> np.ndarray:
    present = np.zeros(len(DIGITS), np.float32)
    present[example["box_labels"][example["box_labels"] >= 0]] = 1
    return present


def _parity(example: Example, rng: Draw) -> np.ndarray:
    return np.asarray(example["label"] % 2, np.int32)


def _saliency(example: Example, rng: Draw) -> np.ndarray:
    return (example["instances"] == 1).astype(np.float32)


def _normals(example: Example, rng: Draw) -> np.ndarray:
    """Each digit rises from its visible edge at 45°, is flat further in, and a little rounded everywhere."""
    instances = example["instances"]
    size = len(instances)
    rise = np.zeros(instances.shape)
    for k in range(1, instances.max() + 1):
        rise += np.asarray(ndimage.distance_transform_edt(instances == k))
    height = ndimage.gaussian_filter(np.minimum(rise, BEVEL * size), SMOOTHING * size)
    down, right = np.gradient(height)
    slopes = np.where(instances[..., None] > 0, np.stack([-right, -down], -1), 0)
    normals = np.concatenate([slopes, np.ones((size, size, 1))], -1)
    return (normals / np.linalg.norm(normals, axis=-1, keepdims=True)).astype(np.float32)


def _flow(example: Example, rng: Draw) -> np.ndarray:
    """Cubic interpolation of a coarse grid of random vectors, the longest of which is 0.3 to 1 times `MOTION`."""
    size = len(example["image"])
    at = np.linspace(0, CELLS - 1, size)
    grid = np.stack(np.meshgrid(at, at, indexing="ij"))
    coarse = rng.standard_normal((2, CELLS, CELLS))
    flow = np.stack([ndimage.map_coordinates(component, grid, order=3, mode="mirror") for component in coarse], -1)
    longest = np.linalg.norm(flow, axis=-1).max()
    return (flow * (rng.uniform(0.3, 1) * MOTION * size / longest)).astype(np.float32)


def _previous(example: Example, rng: Draw) -> np.ndarray:
    """The image read bilinearly at `p + flow(p)`, mirrored at its border pixels as augmentation does it."""
    image = example["image"]
    at = np.moveaxis(np.indices(image.shape[:2]).transpose(1, 2, 0) + _flow(example, rng), -1, 0)
    channels = [ndimage.map_coordinates(image[..., c].astype(np.float32), at, order=1, mode="mirror") for c in range(3)]
    return np.round(np.stack(channels, -1)).astype(np.uint8)


def _clip(example: Example, rng: Draw) -> np.ndarray:
    """The image, then what a camera that drifts and shakes saw before it, latest first; mirrored beyond its border."""
    image = example["image"]
    size = len(image)
    heading, pace = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 1) * DRIFT * size
    steady = np.arange(FRAMES)[:, None] * pace * np.array([np.sin(heading), np.cos(heading)])
    offsets = steady + rng.normal(0, SHAKE * size, (FRAMES, 2))
    offsets[0] = 0
    moved = [ndimage.shift(image.astype(np.float32), (*offset, 0), order=3, mode="mirror") for offset in offsets]
    return np.clip(np.round(np.stack(moved)), 0, 255).astype(np.uint8)


def _reference(example: Example, rng: Draw) -> np.ndarray:
    """The image's blocks in random order, each mirrored left to right."""
    image = example["image"]
    size = len(image)
    block = -(-size // CELLS)
    beyond = CELLS * block - size
    padded = np.pad(image, ((0, beyond), (0, beyond), (0, 0)), mode="reflect")
    blocks = padded.reshape(CELLS, block, CELLS, block, 3).transpose(0, 2, 1, 3, 4).reshape(-1, block, block, 3)
    blocks = blocks[rng.permutation(len(blocks)), :, ::-1]
    whole = blocks.reshape(CELLS, CELLS, block, block, 3).transpose(0, 2, 1, 3, 4).reshape(padded.shape)
    return np.ascontiguousarray(whole[:size, :size])


EXTRAS: dict[str, Extra] = {
    "present": Extra(_present, lambda size: (len(DIGITS),), DIGITS),
    "parity": Extra(_parity, lambda size: (), ("even", "odd")),
    "saliency": Extra(_saliency, lambda size: (size, size)),
    "normals": Extra(_normals, lambda size: (size, size, 3)),
    "previous": Extra(_previous, lambda size: (size, size, 3), chance="motion"),
    "flow": Extra(_flow, lambda size: (size, size, 2), chance="motion"),
    "clip": Extra(_clip, lambda size: (FRAMES, size, size, 3), chance="clip"),
    "reference": Extra(_reference, lambda size: (size, size, 3), chance="reference"),
}

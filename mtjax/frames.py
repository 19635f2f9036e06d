"""The frames of a burst or a clip in a folder of pictures: read, and aligned to within half a pixel."""

from pathlib import Path

import jax
import numpy as np

from mtjax import solvers
from mtjax.data.sources.pictures import SUFFIXES
from mtjax.photograph import with_channels
from mtjax.registry import ConfigError
from mtjax.solve import read_observation
from mtjax.typing import Float

MIDDLE = 1024  # pixels to a side of what is registered: one motion moves all of a frame, and more would take memory


def read_frames(path: Path) -> Float[np.ndarray, "K H W C"]:
    """The one photograph that a file holds, or the frames that a folder's pictures are, in the order of their names.

    Raises:
        ConfigError: there is no picture, one cannot be read, or one is not as large as the first.
    """
    if not path.is_dir():
        return np.asarray(read_observation(path, "the photograph"))[None]
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    if not files:
        raise ConfigError(f"the folder {str(path)!r} has no pictures; expected files {', '.join(SUFFIXES)}")
    frames: list[np.ndarray] = []
    for file in files:
        frame = np.asarray(read_observation(file, "the frame"))
        expected = (frames or [frame])[0].shape[:2]
        if frame.shape[:2] != expected:
            sizes = [f"{width}x{height}" for height, width in (frame.shape[:2], expected)]
            raise ConfigError(f"the frame {str(file)!r} is {sizes[0]} pixels; expected {sizes[1]}, as {files[0].name}")
        frames.append(frame)
    channels = max(frame.shape[-1] for frame in frames)
    return np.stack([with_channels(frame, channels) for frame in frames])


def aligned(
    frames: Float[np.ndarray, "K H W C"],
) -> tuple[Float[np.ndarray, "K H W C"], Float[np.ndarray, "K 2"]]:
    """The frames moved back by whole pixels to lie on the first, and how they had moved (down, right), in pixels.

    What is left of the motion, `offsets - round(offsets)`, is within half a pixel, so a part of the picture can be read
    on its own however far the camera went. What a frame does not show is filled in from the first one.

    Raises:
        ValueError: frames too small to be registered, see `solvers.register`.
    """
    middle = [slice(max(side - MIDDLE, 0) // 2, max(side - MIDDLE, 0) // 2 + MIDDLE) for side in frames.shape[1:3]]
    first, *others = frames[:, middle[0], middle[1]]
    register = jax.jit(lambda frame: solvers.register(first, frame).offset)
    offsets = np.stack([np.zeros(2, np.float32), *(np.asarray(register(frame)) for frame in others)])
    whole = np.round(offsets).astype(int)
    return np.stack([_moved_back(frame, by, frames[0]) for frame, by in zip(frames, whole, strict=True)]), offsets


def _moved_back(frame: np.ndarray, by: np.ndarray, beyond: np.ndarray) -> np.ndarray:
    """`frame(p + by)`, and `beyond(p)` where there is no such pixel."""
    to, of = (
        tuple(slice(max(step, 0), side + min(step, 0)) for step, side in zip(steps, frame.shape, strict=False))
        for steps in (-by, by)
    )
    result = beyond.copy()
    result[to] = frame[of]
    return result

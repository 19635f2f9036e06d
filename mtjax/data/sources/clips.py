"""`clips`: frames of films, or of bursts, each seen with those before it."""

import pathlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from mtjax.data.fields import Example, Source, SourceInfo
from mtjax.data.sources.annotated import SPLITS
from mtjax.data.sources.fitting import Size
from mtjax.data.sources.layout import Layout, damaged, held_out, picture_size, read_array
from mtjax.data.sources.pictures import SUFFIXES, read_picture
from mtjax.data.sources.reader import Reader
from mtjax.registry import ConfigError

TREE = "CLIP/FRAME.png (or .jpg, .tif), or CLIP.npz with an array frames: uint8 [T, H, W] or [T, H, W, 3]"
HELD_OUT = 0.1  # of the clips, or of a clip's frames, for validation; as many for testing
UNREDUCED = 1 << 20  # pixels: frames are cut, never made smaller, so that their sampling stays what it was
Clip = Sequence[pathlib.Path | np.ndarray]  # pictures, or what an archive holds


def clips(split: str, /, *, path: str, frames: int = 5, size: int | tuple[int, int] = 64, channels: int = 3) -> Source:
    """Frames and the `frames` - 1 before each: image, and clip [T, H, W, C], the image first and the oldest last.

    A folder with pictures is a clip, in the order of the numbers in their names; an archive of frames is one too.
    Frames are not resized. Training cuts at a random place, a function of (seed, k); evaluation takes the middle.
    Of three clips or more, one in ten (at least one) is for validation and as many are for testing, chosen by their
    names. Of fewer, the end of each clip is for testing and what comes before it for validation, a tenth each but at
    least `frames`; no frame is in two splits.

    Args:
        split: "train", "validation" or "test".
        path: the folder with the clips, or with one clip's frames.
        frames: T, how many frames an example has.
        size: height and width of the cut in pixels; one number for squares.
        channels: 3, or 1 for gray.

    Raises ConfigError (a ValueError), in one line, for the first thing that differs from the layout, clips that are too
    short or too small, and values out of range.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if split not in SPLITS:
        raise ConfigError(f"split={split!r}: clips has {', '.join(SPLITS)}")
    if frames < 1 or min(height, width) < 1 or channels not in (1, 3):
        raise ConfigError(
            f"frames={frames}, size={size}, channels={channels}: expected positive numbers; 1 or 3 channels"
        )
    layout = Layout(path, TREE)
    found = _clips(layout)
    for name, clip in found.items():
        if (least := frames * (1 if len(found) > 2 else 3)) > len(clip):
            raise layout.refusal(f"has a clip {name} of {len(clip)} frames; frames={frames} needs {least} or more")
        _check_sizes(layout, name, clip, (height, width))
    if len(found) > 2:
        kept, tested = held_out(found, str, HELD_OUT)
        trained, validated = held_out(kept, str, len(tested) / len(kept))
        chosen = {"train": trained, "validation": validated, "test": tested}[split]
        parts = [found[name] for name in chosen]
    else:
        parts = [_in_time(clip, frames)[split] for clip in found.values()]
    return _Clips(parts, split, frames, (height, width), channels)


class _Clips(Source):
    """Windows of consecutive frames."""

    def __init__(self, parts: list[Clip], split: str, frames: int, size: Size, channels: int):
        self._all: list[pathlib.Path | np.ndarray] = []
        self._last: list[int] = []  # of each window, the place of its last frame, which is the example's image
        for clip in parts:
            self._last += range(len(self._all) + frames - 1, len(self._all) + len(clip))
            self._all += clip
        self._channels, self._size, self._frames = channels, size, frames
        self._reader = Reader(self._load, len(self._all), f"clips {split}", where=lambda i: str(self._all[i]))
        shape = (*size, channels)
        self.info = SourceInfo("clips", {"image": shape, "clip": (frames, *shape)}, {}, shape)

    def __len__(self) -> int:
        return len(self._last)

    def __getitem__(self, index: int) -> Example:
        return self._cut(index, 0.5, 0.5)

    def sample(self, index: int, rng: np.random.Generator) -> Example:
        """The example cut at a random place."""
        return self._cut(index, *rng.random(2))

    def _load(self, index: int) -> Example:
        frame = self._all[index]
        if isinstance(frame, pathlib.Path):
            picture = read_picture(frame, self._channels, UNREDUCED, 1)
            if picture.dtype != np.uint8:
                raise ValueError("frames of more than 8 bits are not supported")
        else:
            picture = np.asarray(Image.fromarray(frame).convert("RGB" if self._channels == 3 else "L"))
        return {"frame": picture.reshape(*picture.shape[:2], self._channels)}

    def _cut(self, index: int, down: float, right: float) -> Example:
        last = self._last[index]
        whole = [self._reader.get_or_next(last - before)["frame"] for before in range(self._frames)]
        height, width = self._size
        top = int(down * (whole[0].shape[0] - height + 1))
        left = int(right * (whole[0].shape[1] - width + 1))
        clip = np.stack([frame[top : top + height, left : left + width] for frame in whole])
        return {"image": clip[0], "clip": clip}


def _clips(layout: Layout) -> dict[str, Any]:
    """The clips by name, their frames in order."""
    found: dict[str, list[Any]] = {}
    for file in sorted(layout.root.rglob("*"), key=_numbered):
        hidden = any(part.startswith(".") for part in file.relative_to(layout.root).parts)
        if hidden or file.is_dir():
            continue
        if file.suffix == ".npz":
            found[layout.name(file)] = list(_archived(file))
        elif file.suffix.lower() in SUFFIXES:
            found.setdefault(layout.name(file.parent), []).append(file)
    if not found:
        raise layout.refusal("has no clip")
    return found


def _numbered(file: pathlib.Path) -> list[tuple[int, str]]:
    """What sorts frame2 before frame10."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", file.as_posix())]


def _check_sizes(layout: Layout, name: str, clip: Clip, size: Size) -> None:
    """Raises ConfigError unless all frames of a clip have one size, of which `size` can be cut."""
    sizes = [picture_size(frame) if isinstance(frame, pathlib.Path) else frame.shape[:2] for frame in clip]
    for number, other in enumerate(sizes):
        if other != sizes[0]:
            both = f"{other[1]}×{other[0]} pixels, the first {sizes[0][1]}×{sizes[0][0]}"
            raise layout.refusal(f"has a clip {name} whose frame {number} is {both}")
    if sizes[0][0] < size[0] or sizes[0][1] < size[1]:
        raise layout.refusal(f"has a clip {name} of {sizes[0][1]}×{sizes[0][0]} pixels, too small for size={size}")


def _in_time(clip: Clip, frames: int) -> dict[str, Clip]:
    """A clip's early frames, those after them, and its last ones."""
    held = max(frames, round(HELD_OUT * len(clip)))
    return {"train": clip[: -2 * held], "validation": clip[-2 * held : -held], "test": clip[-held:]}


def _archived(file: pathlib.Path) -> np.ndarray:
    """The frames of an archive."""
    frames = read_array(file, "frames")
    if frames.dtype != np.uint8 or not (frames.ndim == 3 or (frames.ndim == 4 and frames.shape[3] == 3)):
        got = ", ".join(map(str, frames.shape))
        raise damaged(file, f"frames is {frames.dtype} [{got}], expected uint8 [T, H, W] or [T, H, W, 3]")
    return frames

"""`pairs`: photographs, and what a camera or a given program made of each, some times smaller."""

import pathlib
import re

import numpy as np

from mtjax.data.fields import Example, Source, SourceInfo
from mtjax.data.sources.annotated import SPLITS
from mtjax.data.sources.fitting import Size
from mtjax.data.sources.layout import Layout, Paired, damaged, held_out, picture_size
from mtjax.data.sources.pictures import SUFFIXES, read_picture
from mtjax.data.sources.reader import Reader
from mtjax.registry import ConfigError

TREE = "NAME_HR.png and NAME_LR.png, or HR/NAME.png and LR/NAME.png"
HELD_OUT = 0.1  # of the pairs for validation, and as many for testing
UNREDUCED = 1 << 20  # pixels: both pictures are cut, never resized, so that one stays what was made of the other


def pairs(split: str, /, *, path: str, factor: int, size: int | tuple[int, int] = 96, channels: int = 3) -> Source:
    """Pictures of high resolution, and those of low resolution that belong to them: image, observed.

    `observed` is the same part of the scene as the image, `factor` times smaller to each side; an observation reads it
    by `observed="observed"`. Training cuts at a random place, a function of (seed, k); evaluation takes the middle. One
    pair in ten, at least one, is for validation and as many are for testing, chosen by their names.

    Args:
        split: "train", "validation" or "test".
        path: the folder. HR or LR is a word of each file's path in it: NAME_HR.png beside NAME_LR.png, as SelfExSR has
            them, or HR/NAME.png and LR/NAME.png, where NAME, NAMEx2 and hrNAME, lrNAME are alike, as DIV2K has them. Of
            folders called X2, X3 ... the one of `factor` is read.
        factor: how many times smaller.
        size: height and width of the image in pixels, multiples of `factor`; one number for squares.
        channels: 3, or 1 for gray.

    Raises ConfigError (a ValueError), in one line, for the first thing that differs: a file without its other, sizes
    that do not fit; and for values out of range.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if split not in SPLITS:
        raise ConfigError(f"split={split!r}: pairs has {', '.join(SPLITS)}")
    if factor < 1 or channels not in (1, 3):
        raise ConfigError(f"factor={factor}, channels={channels}: expected a positive factor, and 1 or 3 channels")
    if min(height, width) < 1 or height % factor or width % factor:
        raise ConfigError(f"size={size}: expected positive multiples of factor={factor}")
    layout = Layout(path, TREE)
    found = _pairs(layout, factor)
    if len(found) < 3:
        raise layout.refusal(f"has only {len(found)} pairs; three splits need 3 or more")
    for high, low in found:
        _check_sizes(high, low, factor, (height, width))
    kept, tested = held_out(found, lambda pair: pair[0].name, HELD_OUT)
    trained, validated = held_out(kept, lambda pair: pair[0].name, len(tested) / len(kept))
    chosen = {"train": trained, "validation": validated, "test": tested}[split]
    return _Pairs(chosen, split, factor, (height, width), channels)


class _Pairs(Source):
    """Cuts of both pictures at one place."""

    def __init__(self, files: Paired, split: str, factor: int, size: Size, channels: int):
        self._files, self._factor, self._size = files, factor, size
        self._reader = Reader(self._load, len(files), f"pairs {split}", where=lambda index: str(files[index][0]))
        small = (size[0] // factor, size[1] // factor, channels)
        self.info = SourceInfo("pairs", {"image": (*size, channels), "observed": small}, {}, (*size, channels))

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Example:
        return self._cut(index, 0.5, 0.5)

    def sample(self, index: int, rng: np.random.Generator) -> Example:
        """The pair cut at a random place."""
        return self._cut(index, *rng.random(2))

    def _load(self, index: int) -> Example:
        channels = self.info.image_shape[2]
        image, observed = (read_picture(file, channels, UNREDUCED, 1) for file in self._files[index])
        if image.dtype != np.uint8 or observed.dtype != np.uint8:
            raise ValueError("pairs of more than 8 bits are not supported")
        return {"image": image, "observed": observed}

    def _cut(self, index: int, down: float, right: float) -> Example:
        pair = self._reader.get_or_next(index)
        height, width = (length // self._factor for length in self._size)
        top = int(down * (pair["observed"].shape[0] - height + 1))
        left = int(right * (pair["observed"].shape[1] - width + 1))

        def part(picture: np.ndarray, scale: int) -> np.ndarray:
            rows, columns = (slice(scale * start, scale * (start + n)) for start, n in ((top, height), (left, width)))
            return picture[rows, columns]

        return {"image": part(pair["image"], self._factor), "observed": part(pair["observed"], 1)}


def _pairs(layout: Layout, factor: int) -> Paired:
    """The files of high and of low resolution that share a name."""
    sides: dict[str, dict[str, pathlib.Path]] = {"HR": {}, "LR": {}}
    for file in sorted(file for file in layout.root.rglob("*") if file.suffix.lower() in SUFFIXES):
        folders = [re.fullmatch("X([0-9]+)", part.upper()) for part in file.relative_to(layout.root).parent.parts]
        if any(folder and int(folder[1]) != factor for folder in folders):
            continue
        words = re.findall("[A-Z]+", layout.name(file).upper())
        side = [side for side in sides if side in words]
        if len(side) != 1:
            raise layout.refusal(f"has {layout.name(file)}, which is not told to be HR or LR")
        sides[side[0]][re.sub(f"^[hl]r|_[hl]r$|x{factor}$", "", file.stem.lower())] = file
    high, low = sides["HR"], sides["LR"]
    alone = next((side[name] for side in (high, low) for name in side if (name in high) != (name in low)), None)
    if alone:
        counts = f"{len(high)} HR and {len(low)} LR pictures"
        raise layout.refusal(f"has {counts}: {layout.name(alone)} is without the other")
    return [(high[name], low[name]) for name in high]


def _check_sizes(high: pathlib.Path, low: pathlib.Path, factor: int, size: Size) -> None:
    """Raises ConfigError unless one picture is `factor` times as large as the other, and `size` can be cut from it."""
    large, small = picture_size(high), picture_size(low)
    if large != (small[0] * factor, small[1] * factor):
        both = f"{large[1]}×{large[0]} pixels, {low.name} {small[1]}×{small[0]}"
        raise damaged(high, f"is {both}; expected {factor} times as many to each side")
    if large[0] < size[0] or large[1] < size[1]:
        raise damaged(high, f"is {large[1]}×{large[0]} pixels, too small for size={size}")

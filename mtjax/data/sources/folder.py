"""`folder`: the pictures of a directory, of any kind and size, as square crops."""

import hashlib
import logging
import pathlib

import numpy as np

from mtjax.data.fields import Example, Source, SourceInfo
from mtjax.data.sources.pictures import SUFFIXES, is_wide, read_picture
from mtjax.data.sources.reader import OnError, Reader
from mtjax.registry import one_line, printable

log = logging.getLogger(__name__)
# Multiples of this, modulo 1, are spread evenly over the unit square (the additive recurrence R2 of Roberts, 2018).
SPREAD = np.array([0.7548776662466927, 0.5698402909980532])


def folder(
    split: str,
    /,
    *,
    path: str,
    size: int = 64,
    channels: int = 3,
    crops: int = 1,
    validation: float = 0.1,
    test: float = 0.1,
    longest: int = 1024,
    on_error: OnError = "raise",
    memory: int = 1024,
) -> Source:
    """Pictures (PNG, JPEG, TIFF; gray or color; 8 or 16 bits) below a directory, as crops of `size`×`size` pixels.

    Training sees a crop at a random place, a function of (seed, k); evaluation sees the middle. A picture smaller than
    a crop is extended by reflection; one smaller than half a crop counts as unreadable. Images are uint8, or float32
    in [0, 1] if any file has more than 8 bits.

    Args:
        split: "train", "validation" or "test". Which files these are depends on nothing but the files' names.
        path: the directory; those inside it are searched too. Names that begin with a dot are passed over. A link to a
            file outside it counts as unreadable: a directory from elsewhere must not reach for other files of yours.
        size: height and width of the crops.
        channels: 3, or 1 for gray.
        crops: how many examples an epoch takes from each picture; crops of evaluation are spread evenly, the first in
            the middle. A few dozen photographs need more than one.
        validation: share of the files for validation.
        test: share of the files for testing.
        longest: larger pictures are reduced until their longer side has so many pixels (where the shorter one allows).
        on_error: what to do with a file that cannot be decoded. "raise": stop, naming it. "skip": name it in the log
            and count it; training takes the next picture in its place, evaluation counts it as not valid.
        memory: how many MiB of decoded pictures to keep.

    Raises ValueError for a directory that is missing or has too few pictures, and for values out of range.
    """
    _check(split, size, channels, crops, validation, test, longest, on_error)
    root = pathlib.Path(path).expanduser()
    if not root.is_dir():
        raise ValueError(f"data.path: {str(root)!r} is {'not a directory' if root.exists() else 'missing'}")
    files = sorted(file for file in root.rglob("*") if _is_picture(file, root))
    if not files:
        raise ValueError(f"data.path: no picture ({', '.join(SUFFIXES)}) in {str(root)!r} or below")
    files, wide = _scan(files, root, on_error)
    chosen = _shares(files, root, validation, test)[split]
    if not chosen:
        raise ValueError(f"data.path: {len(files)} readable pictures in {str(root)!r} leave none for {split}")
    return _Folder(chosen, split, size, channels, crops, longest, on_error, memory, wide)


class _Folder(Source):
    """Crops of the files of one split."""

    def __init__(
        self,
        files: list[pathlib.Path],
        split: str,
        size: int,
        channels: int,
        crops: int,
        longest: int,
        on_error: OnError,
        memory: int,
        wide: bool,
    ):
        self.files, self._size, self._channels, self._crops, self._longest = files, size, channels, crops, longest
        self.reader = Reader(
            self._load, len(files), f"folder {split}", on_error, memory, where=lambda index: str(files[index])
        )
        shape = (size, size, channels)
        self.info = SourceInfo("folder", {"image": shape}, {}, shape, wide=wide)

    def __len__(self) -> int:
        return len(self.files) * self._crops

    def __getitem__(self, index: int) -> Example:
        file, number = divmod(index, self._crops)
        padded = self.reader.get(file)
        return {} if padded is None else self._crop(padded["picture"], *(0.5 + number * SPREAD) % 1)

    def sample(self, index: int, rng: np.random.Generator) -> Example:
        """A crop at a random place of the example's picture, or of the next one that can be decoded."""
        return self._crop(self.reader.get_or_next(index // self._crops)["picture"], *rng.random(2))

    def _load(self, index: int) -> dict[str, np.ndarray]:
        picture = read_picture(self.files[index], self._channels, self._longest, self._size)
        height, width = picture.shape[:2]
        if min(height, width) < self._size / 2:
            raise ValueError(f"{width}×{height} pixels are less than half of size={self._size}")
        missing = [max(0, self._size - length) for length in (height, width)]
        padded = np.pad(picture, [(m // 2, m - m // 2) for m in missing] + [(0, 0)], mode="reflect")
        return {"picture": padded}

    def _crop(self, picture: np.ndarray, down: float, right: float) -> Example:
        """The crop at a place given by two numbers in [0, 1)."""
        top = int(down * (picture.shape[0] - self._size + 1))
        left = int(right * (picture.shape[1] - self._size + 1))
        crop = picture[top : top + self._size, left : left + self._size]
        return {"image": crop.astype(np.float32) / 255 if self.info.wide and crop.dtype == np.uint8 else crop}


def _check(
    split: str, size: int, channels: int, crops: int, validation: float, test: float, longest: int, on_error: str
) -> None:
    if split not in ("train", "validation", "test"):
        raise ValueError(f"split={split!r}: folder has train, validation, test")
    if size < 1:
        raise ValueError(f"size={size}: expected the height and width of the crops in pixels")
    if channels not in (1, 3):
        raise ValueError(f"channels={channels}: expected 1 or 3")
    if crops < 1:
        raise ValueError(f"crops={crops}: expected how many examples to take from each picture")
    if min(validation, test) < 0 or validation + test >= 1:
        raise ValueError(f"validation={validation}, test={test}: expected shares whose sum is less than 1")
    if longest < size:
        raise ValueError(f"longest={longest}: expected at least size={size}")
    if on_error not in ("raise", "skip"):
        raise ValueError(f"on_error={on_error!r}: expected 'raise' or 'skip'")


def _is_picture(file: pathlib.Path, root: pathlib.Path) -> bool:
    """Whether a file's name is that of a picture, and neither it nor a folder on the way to it is hidden."""
    hidden = any(part.startswith(".") for part in file.relative_to(root).parts)
    return file.suffix.lower() in SUFFIXES and not hidden and not file.is_dir()


def _scan(files: list[pathlib.Path], root: pathlib.Path, on_error: str) -> tuple[list[pathlib.Path], bool]:
    """The files whose headers can be read, and whether any has more than 8 bits per channel."""
    readable, wide, home = [], False, root.resolve()
    for index, file in enumerate(files):
        try:
            if file.is_symlink() and not file.resolve().is_relative_to(home):
                raise ValueError("it is a link out of the directory")
            wide |= is_wide(file)
            readable.append(file)
        except Exception as error:
            name, reason = printable(str(file)), one_line(error)
            if on_error == "raise":
                raise ValueError(f"folder: cannot read file {index}, {name}: {reason}") from error
            log.warning("folder: skipped file %d, %s: %s", index, name, reason)
    if len(readable) < len(files):
        log.warning("folder: skipped %d of %d files", len(files) - len(readable), len(files))
    return readable, wide


def _shares(
    files: list[pathlib.Path], root: pathlib.Path, validation: float, test: float
) -> dict[str, list[pathlib.Path]]:
    """The files of each split: ranked by a hash of their names, so neither order nor disk decides."""

    def rank(file: pathlib.Path) -> bytes:
        return hashlib.sha256(file.relative_to(root).as_posix().encode()).digest()

    ranked = sorted(files, key=rank)
    counts = [max(1, round(share * len(files))) if share else 0 for share in (validation, test)]
    first, second = counts[0], sum(counts)
    parts = {"validation": ranked[:first], "test": ranked[first:second], "train": ranked[second:]}
    return {split: sorted(part) for split, part in parts.items()}

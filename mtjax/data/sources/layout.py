"""Whether a data set lies in its folder as it should, and one line that says what is expected where it does not."""

import hashlib
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np
from PIL import Image

from mtjax.data.sources.untrusted import FORMATS, decoding, refuse_bomb
from mtjax.metrics.segmentation import VOID
from mtjax.registry import ConfigError, one_line, printable

T = TypeVar("T")
MOST = 1 << 31  # bytes of an array in an archive, unpacked; NYUv2's images at 128×96 have forty times fewer
Paired = list[tuple[pathlib.Path, pathlib.Path]]


class Layout:
    """A data set's folder, and `tree`, which tells how files should lie in it.

    Raises ConfigError, in one line with the tree, if there is no such folder; its methods do so for what differs first.
    """

    def __init__(self, path: str, tree: str):
        self.root, self._tree = pathlib.Path(path).expanduser(), tree
        if not self.root.is_dir():
            raise self.refusal("is not a directory" if self.root.exists() else "is missing")

    def refusal(self, reason: str) -> ConfigError:
        """The error that says what is wrong, and what is expected."""
        return ConfigError(f"data.path: {str(self.root)!r} {printable(reason)}; expected there: {self._tree}")

    def name(self, file: pathlib.Path) -> str:
        """A file's path inside the folder."""
        return file.relative_to(self.root).as_posix()

    def files(self, pattern: str) -> list[pathlib.Path]:
        """The files that match, sorted, hidden ones left out; at least one."""
        found = sorted(file for file in self.root.glob(pattern) if not file.name.startswith("."))
        if not found:
            raise self.refusal(f"has no {pattern}")
        return found

    def file(self, name: str) -> pathlib.Path:
        """The file of that name."""
        if not (self.root / name).is_file():
            raise self.refusal(f"lacks {name}")
        return self.root / name

    def pairs(
        self, pictures: Sequence[pathlib.Path], labels: Sequence[pathlib.Path], stem: Callable[[pathlib.Path], str]
    ) -> Paired:
        """Each picture with the label map that has the same `stem`; none may be left over."""
        by_stem = {stem(file): file for file in labels}
        alone = next((file for file in pictures if stem(file) not in by_stem), None)
        if alone is None and len(labels) > len(pictures):
            known = {stem(file) for file in pictures}
            alone = next(file for file in labels if stem(file) not in known)
        if alone is not None:
            counts = f"{len(pictures)} pictures but {len(labels)} label maps"
            raise self.refusal(f"has {counts}: {self.name(alone)} is without the other")
        return [(file, by_stem[stem(file)]) for file in pictures]


def damaged(file: pathlib.Path, reason: str | BaseException) -> ConfigError:
    """The error that says what is wrong with the content of a file."""
    said = one_line(reason) if isinstance(reason, BaseException) else reason
    return ConfigError(f"data.path: {printable(str(file))}: {said}")


def picture_size(file: pathlib.Path) -> tuple[int, int]:
    """(height, width) of a picture by its header; ConfigError if it has none that mtjax would decode."""
    try:
        with decoding(file), Image.open(file, formats=FORMATS) as picture:
            refuse_bomb(*picture.size)
            return picture.height, picture.width
    except (OSError, ValueError) as error:
        raise damaged(file, error) from error


def read_labels(file: pathlib.Path, size: tuple[int, int]) -> np.ndarray:
    """A map of classes, uint8 [H, W], from a gray or palette PNG; ConfigError if it is none of `size` (H, W)."""
    if (found := picture_size(file)) != size:
        raise damaged(file, f"is {found[1]}×{found[0]} pixels, its picture {size[1]}×{size[0]}")
    try:
        with decoding(file), Image.open(file, formats=("PNG",)) as picture:
            if picture.mode not in ("L", "P"):
                raise ValueError(f"has Pillow's mode {picture.mode}; expected a gray or palette PNG of 8 bits")
            return np.asarray(picture)
    except (OSError, ValueError) as error:
        raise damaged(file, error) from error


def check_classes(labels: np.ndarray, count: int, file: pathlib.Path) -> np.ndarray:
    """The map, if all of it is 0 ... count - 1 or `VOID`; ConfigError if not."""
    wrong = labels[(labels >= count) & (labels != VOID)]
    if wrong.size:
        raise damaged(file, f"has a label {wrong.max()}, expected 0 to {count - 1}, or {VOID} where unknown")
    return labels


def read_array(file: pathlib.Path, name: str) -> np.ndarray:
    """An array of an archive; ConfigError if it is not there, cannot be read, or would take all memory."""
    try:
        with file.open("rb") as content, np.load(content, allow_pickle=False) as archive:
            if name not in archive.files:
                raise ValueError(f"has no array {name}; it has {', '.join(archive.files)}")
            if (size := archive.zip.getinfo(f"{name}.npy").file_size) > MOST:
                raise ValueError(f"{name} unpacks to {size:,} bytes, more than {MOST:,}")
            return archive[name]
    except Exception as error:  # what reads archives and arrays raises all sorts of things
        raise damaged(file, error) from error


def held_out(items: Iterable[T], name: Callable[[T], str], share: float) -> tuple[list[T], list[T]]:
    """(kept, held out): a share of the items, at least one, chosen by a hash of their names and nothing else."""
    whole = list(items)
    ranked = sorted(whole, key=lambda item: hashlib.sha256(name(item).encode()).digest())
    out = {name(item) for item in ranked[: max(1, round(share * len(whole)))]}
    return [item for item in whole if name(item) not in out], [item for item in whole if name(item) in out]

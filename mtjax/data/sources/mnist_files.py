"""Reads the files of MNIST and Fashion-MNIST, as npz or as distributed, and gives each split pictures of its own."""

import dataclasses
import gzip
import math
import pathlib
import struct

import numpy as np

from mtjax.registry import ConfigError, one_line

SIDE = 28  # pixels
MOST = 1 << 30  # bytes of a file, unpacked; a million pictures have fewer
CLASS_NAMES = {
    "mnist": tuple(str(d) for d in range(10)),
    "fashion": (
        "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
    ),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Digits:
    """Pictures uint8 [N, 28, 28] and their classes uint8 [N], in the order of the file."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, start: int, stop: int) -> "Digits":
        """Those from `start` to before `stop`, copied, so that the others need not stay in memory."""
        return Digits(self.images[start:stop].copy(), self.labels[start:stop].copy())


def read_split(root: pathlib.Path, name: str, split: str, alone: bool = True) -> Digits:
    """The pictures that `split` owns; no picture is in two splits.

    Validation is the last sixth of the training file. Testing is the test file; where the folder has none, it is the
    last sixth of the training file, and validation the sixth before it.

    Args:
        root: a folder with `NAME_train*.npz` (arrays `x` and `y`) and, if there is one, `NAME_test*.npz`; or with the
            IDX files as distributed, gzipped or not, which may also lie in a folder NAME inside it.
        name: "mnist" or "fashion".
        split: "train", "validation" or "test".
        alone: False when another set is read from `root` too. The IDX files of both have the same names, so that they
            are then looked for in the folder NAME only.

    Raises ConfigError, in one line with the files that are expected, for the first thing that differs.
    """
    train, test = _files(root, name, alone)
    if split == "test" and test:
        return _checked(test, _read(test))
    whole = _checked(train, _read(train))
    sixth = len(whole) // 6
    if sixth < 2:
        raise ConfigError(f"data.path: the {len(whole)} pictures of {train[0]} are too few; a split needs 12 or more")
    end = len(whole) if test else len(whole) - sixth
    bounds = {"train": (0, end - sixth), "validation": (end - sixth, end), "test": (end, len(whole))}
    return whole.part(*bounds[split])


def _files(root: pathlib.Path, name: str, alone: bool) -> tuple[list[pathlib.Path], list[pathlib.Path]]:
    """The files of the training and of the test pictures: an npz, or images and labels; none if there is no test."""
    place = root / name if not alone or (root / name).is_dir() else root

    def refuse(reason: str) -> ConfigError:
        idx = f"{place.relative_to(root) / 'train'}-{{images-idx3,labels-idx1}}-ubyte[.gz]"
        tree = f"{name}_train*.npz (x: uint8 [N, 28, 28], y: uint8 [N]) or {idx}"
        return ConfigError(f"data.path: {str(root)!r} {reason}; expected there: {tree}")

    if not root.is_dir():
        raise refuse("is not a directory" if root.exists() else "is missing")
    found = {}
    for part in ("train", "test"):
        archives = sorted(root.glob(f"{name}_{part}*.npz"))
        if len(archives) > 1:
            raise refuse(f"has both {archives[0].name} and {archives[1].name}")
        found[part] = archives
    if found["train"]:
        return found["train"], found["test"]
    for part, prefix in (("train", "train"), ("test", "t10k")):
        wanted = [f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"]
        both = [next((f for f in (place / w, place / f"{w}.gz") if f.is_file()), None) for w in wanted]
        missing = [w for w, file in zip(wanted, both, strict=True) if file is None]
        if len(missing) == 1:
            raise refuse(f"lacks {(place / missing[0]).relative_to(root)}")
        found[part] = [file for file in both if file]
    if not found["train"]:
        has = sorted(file.name for file in root.iterdir())
        raise refuse(f"has only {', '.join(has[:4])}{', ...' if len(has) > 4 else ''}" if has else "is empty")
    return found["train"], found["test"]


def _read(files: list[pathlib.Path]) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels as they are in an npz, or in a pair of IDX files."""
    file = files[0]
    try:
        if file.suffix == ".npz":
            with file.open("rb") as content, np.load(content, allow_pickle=False) as archive:
                if (size := sum(part.file_size for part in archive.zip.infolist())) > MOST:
                    raise ValueError(f"it unpacks to {size:,} bytes, more than {MOST:,}")
                return archive["x"], archive["y"]
        images = _read_idx(file, axes=3)
        file = files[1]
        return images, _read_idx(file, axes=1)
    except Exception as error:  # what reads archives and arrays raises all sorts of things
        raise ConfigError(f"data.path: cannot read {file}: {one_line(error)}") from error


def _read_idx(file: pathlib.Path, axes: int) -> np.ndarray:
    """An IDX file of bytes: a magic number that ends in the number of axes, their lengths (big-endian), the values."""
    with (gzip.open if file.suffix == ".gz" else open)(file, "rb") as stream:
        content = stream.read(MOST + 1)
    if len(content) > MOST:
        raise ValueError(f"it is longer than {MOST:,} bytes")
    start = 4 * (axes + 1)
    if len(content) < start:
        raise ValueError(f"{len(content)} bytes are fewer than a header has")
    magic, *shape = struct.unpack(f">{axes + 1}I", content[:start])
    if magic != 0x0800 + axes:
        raise ValueError(f"begins with {magic:#010x}, expected {0x0800 + axes:#010x}")
    if len(content) != start + math.prod(shape):
        raise ValueError(f"has {len(content) - start} values, its header says {math.prod(shape)}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _checked(files: list[pathlib.Path], arrays: tuple[np.ndarray, np.ndarray]) -> Digits:
    """The pictures, if they are as many as the labels and all as they should be."""
    images, labels = arrays
    for what, array, shape in (("images", images, (SIDE, SIDE)), ("labels", labels, ())):
        if array.dtype != np.uint8 or array.ndim != len(shape) + 1 or array.shape[1:] != shape:
            wanted = ", ".join(["N", *map(str, shape)])
            got = ", ".join(map(str, array.shape))
            raise ConfigError(f"data.path: {what} of {files[0]} are {array.dtype} [{got}], expected uint8 [{wanted}]")
    if len(images) != len(labels):
        raise ConfigError(f"data.path: {files[0]} has {len(images)} pictures, but {len(labels)} labels")
    if len(labels) and labels.max() > 9:
        raise ConfigError(f"data.path: {files[-1]} has a label {labels.max()}, expected 0 to 9")
    return Digits(images, labels)

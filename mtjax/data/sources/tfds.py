"""`tfds`: any data set of TensorFlow Datasets, read without TensorFlow."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from mtjax.data.fields import Example, Source, SourceInfo
from mtjax.data.sources.fitting import BOXES, covering, cut, padded
from mtjax.data.sources.prepared import open_split, quiet, refuse_harm
from mtjax.data.sources.reader import OnError, Reader
from mtjax.registry import ConfigError, imported, nearest, one_line

PLANES = ("segments", "instances", "boundary", "depth")  # fields with a value for each pixel
READABLE = ("image", "label", *BOXES, *PLANES)


def tfds(
    split: str,
    /,
    *,
    name: str,
    data_dir: str | None = None,
    splits: Mapping[str, str] | None = None,
    features: Mapping[str, str] | None = None,
    size: int = 64,
    channels: int = 3,
    max_boxes: int = 16,
    on_error: OnError = "raise",
    memory: int = 1024,
) -> Source:
    """A TFDS data set that is prepared in a format with random access (array_record), or can be prepared now.

    A picture that is not `size`×`size` is resized (antialiased) until its shorter side is `size`, and cropped: at a
    random place, a function of (seed, k), for training; in the middle for evaluation. Label maps move with it.

    Args:
        split: "train", "validation" or "test".
        name: the data set's name as in `tfds.builder`, "name/config:version", or "package.module:Builder".
        data_dir: where it is prepared; TFDS's own default, if None.
        splits: which of the data set's splits is which, such as {"validation": "train[90%:]"}; the same names if None.
        features: fields (see `READABLE`) -> the data set's features, a "/" leading into a nested feature, such as
            {"boxes": "objects/bbox"}. If None: image, and label where there is one.
        size: height and width in pixels.
        channels: 3, or 1 for gray.
        max_boxes: how many boxes of an example to keep.
        on_error: what to do with an example that cannot be read. "raise": stop, naming it. "skip": name it in the log
            and count it; training takes the next one in its place, evaluation counts it as not valid.
        memory: how many MiB of decoded examples to keep.

    Raises ConfigError (a ValueError) when there is no such data set, split, field or feature, and when it can neither
    be read nor prepared.
    """
    if size < 1 or channels not in (1, 3):
        raise ConfigError(f"size={size}, channels={channels}: expected a positive size, and 1 or 3 channels")
    wanted = {"train": "train", "validation": "validation", "test": "test", **(splits or {})}
    builder = _builder(name, data_dir)
    examples = _open(name, data_dir, wanted.get(split, split))
    table = _feature_table(builder.info.features, name, features)
    source = _Tfds(name, examples, table, _shapes(table, size, channels, max_boxes))
    source.reader = Reader(source.load, len(examples), f"{name} {split}", on_error, memory)
    return source


class _Tfds(Source):
    """Reads a prepared split and turns the chosen features into mtjax's fields."""

    reader: Reader

    def __init__(self, name: str, examples: Any, table: Mapping[str, Any], shapes: dict[str, Any]):
        self._examples = examples
        self._features = {field: path for field, (path, _) in table.items()}
        names = {field: tuple(feature.names) for field, (_, feature) in table.items() if hasattr(feature, "names")}
        self.info = SourceInfo(name, shapes, names, shapes["image"])

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> Example:
        whole = self.reader.get(index)
        return {} if whole is None else self._cut(whole, 0.5)

    def sample(self, index: int, rng: np.random.Generator) -> Example:
        """The example with a crop at a random place of the picture's longer side."""
        return self._cut(self.reader.get_or_next(index), rng.random())

    def load(self, index: int) -> Example:
        """The fields of example `index`, its picture resized but not cut."""
        raw = self._examples[index]
        found = {field: _follow(raw, path) for field, path in self._features.items()}
        return covering(_plain(found, self.info.image_shape[2]), self.info.image_shape[:2])

    def _cut(self, whole: Example, place: float) -> Example:
        """The square at `place` in [0, 1) of the longer side, with its labels."""
        example = cut(whole, self.info.image_shape[:2], place, place)
        if "boxes" in example:
            labels = example.get("box_labels", np.where(example["boxes"].any(-1), 0, -1))
            kept = padded(example["boxes"], labels, self.info.fields["boxes"][0])
            example |= {field: kept[field] for field in BOXES if field in example}
        return example


def _builder(name: str, data_dir: str | None) -> Any:
    """The TFDS builder of that name."""
    import tensorflow_datasets
    from tensorflow_datasets.core import constants

    where: dict[str, Any] = {} if data_dir is None else {"data_dir": str(pathlib.Path(data_dir).expanduser())}
    try:
        with quiet():
            if ":" in name and "." in name.partition(":")[0]:
                found = imported(name, "data.name")
                if not (isinstance(found, type) and issubclass(found, tensorflow_datasets.core.DatasetBuilder)):
                    raise ConfigError(f"{name} is no DatasetBuilder")
                return found(**where)
            folder = name.partition("/")[0].partition(":")[0]
            if not folder.isidentifier():
                raise ConfigError("expected NAME/CONFIG:VERSION")
            refuse_harm(pathlib.Path(where.get("data_dir", constants.DATA_DIR)) / folder)
            return tensorflow_datasets.builder(name, **where)
    except Exception as error:  # TFDS's DatasetNotFoundError, an import of TensorFlow, a config that is missing
        raise ConfigError(f"data.name={name!r}: cannot open the data set: {one_line(error)[:300]}") from error


def _open(name: str, data_dir: str | None, split: str) -> Any:
    """The examples of a split, with what can go wrong put in one line."""
    try:
        with quiet():
            return open_split(lambda: _builder(name, data_dir), split)
    except Exception as error:
        splits = _builder(name, data_dir).info.splits
        if splits and split.partition("[")[0] not in splits:
            known = ", ".join(splits)
            hint = f"it has {known}; say which is which with data.splits, for example 'train[90%:]'"
            raise ConfigError(f"data.splits: {name} has no split {split!r}; {hint}") from error
        hint = "it must be prepared with file_format='array_record'; preparing most data sets needs TensorFlow once"
        raise ConfigError(f"data.name={name!r}: cannot be read: {one_line(error)[:200]} ({hint})") from error


def _feature_table(known: Any, name: str, features: Mapping[str, str] | None) -> dict[str, tuple[str, Any]]:
    """Field -> (path of the feature, the feature), checked."""
    if features is None:
        features = {field: field for field in ("image", "label") if field in known}
    table = {}
    for field, path in features.items():
        if field not in READABLE:
            raise ConfigError(f"unknown key data.features.{field}; {nearest(field, READABLE)}")
        feature = known
        for part in path.split("/"):
            inside = getattr(feature, "feature", feature)  # what a Sequence is a sequence of
            if not hasattr(inside, "keys") or part not in inside:
                options = inside.keys() if hasattr(inside, "keys") else ()
                raise ConfigError(f"data.features.{field}: {name} has no feature {path!r}; {nearest(part, options)}")
            feature = inside[part]
        table[field] = (path, feature)
    if "image" not in table:
        raise ConfigError(f"data.features: {name} needs an image; it has {', '.join(known)}")
    return table


def _shapes(table: Mapping[str, Any], size: int, channels: int, max_boxes: int) -> dict[str, tuple[int, ...]]:
    """Field -> shape of one example."""
    known = {"image": (size, size, channels), "label": (), "boxes": (max_boxes, 4), "box_labels": (max_boxes,)}
    return {field: known.get(field, (size, size)) for field in table}


def _follow(example: Any, path: str) -> Any:
    for part in path.split("/"):
        example = example[part]
    return example


def _plain(found: dict[str, Any], channels: int) -> Example:
    """The fields, the image with `channels`, planes [H, W], boxes [N, 4].

    Raises:
        ValueError: the image is not uint8.
    """
    image = np.asarray(found["image"])
    image = image[..., 0] if image.shape[-1] == 1 else image[..., :3]
    if image.dtype != np.uint8:
        raise ValueError(f"images of type {image.dtype} are not supported, only uint8")
    pixels = np.asarray(Image.fromarray(image).convert("RGB" if channels == 3 else "L"))
    example = {"image": pixels[..., None] if pixels.ndim == 2 else pixels}
    for field, value in found.items():
        if field in PLANES:
            example[field] = np.asarray(value).reshape(pixels.shape[:2])
        elif field != "image":
            example[field] = (
                np.asarray(value).reshape(-1, 4).astype(np.float32) if field == "boxes" else np.asarray(value)
            )
    return example

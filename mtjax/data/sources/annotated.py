"""Sets of annotated pictures that lie in a folder of the user's: prepared once with TFDS, then read by number."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mtjax.data.fields import Example, Source, SourceInfo
from mtjax.data.sources.fitting import Size, covering, cut, padded
from mtjax.data.sources.prepared import default_data_dir, open_split, quiet
from mtjax.data.sources.reader import Reader
from mtjax.metrics.segmentation import VOID
from mtjax.registry import ConfigError

Boxes = list[tuple[tuple[float, float, float, float], int]]  # ymin, xmin, ymax, xmax as fractions, and the class
SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True)
class Annotated:
    """What a set is: its examples, and how one of them is read from the user's files.

    Args:
        name: of the set.
        splits: train, validation and test -> what `read` takes, one for each example; no example is in two splits.
        read: gives an example's "image", a file or uint8 [H, W, 3], and as far as the set has them "segments" uint8
            [H, W] (None where an example has none), the `maps`, and "objects", of type `Boxes`. Raises ConfigError for
            files that do not fit.
        classes: the names of the classes of "segments" and of "box_labels".
        maps: "depth" and "normals", as far as the set has them -> how many channels.
        files: all that is read; a set of which one has changed is prepared anew.
    """

    name: str
    splits: Mapping[str, Sequence[Any]]
    read: Callable[[Any], Mapping[str, Any]]
    classes: Mapping[str, tuple[str, ...]]
    files: Sequence[pathlib.Path]
    maps: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that change with classes and maps, and with any file's name, size or age."""
        digest = hashlib.sha256(repr((self.classes, self.maps)).encode())
        for file in sorted(self.files):
            state = file.stat()
            digest.update(f"{file.resolve()}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
        return digest.hexdigest()[:12]


def open_annotated(
    annotated: Annotated, split: str, size: int | Size, data_dir: str | None, max_boxes: int = 0
) -> Source:
    """A split of a set, prepared in `data_dir` (default `$MTJAX_DATA`, or `~/.cache/mtjax`) if it is not there yet.

    A picture is resized, with what is known of its pixels, until it just covers `size`, and cut: at a random place, a
    function of (seed, k), for training; in the middle for evaluation.

    Args:
        annotated: the set.
        split: "train", "validation" or "test".
        size: height and width in pixels; one number for squares.
        data_dir: where the prepared copy lies.
        max_boxes: how many boxes of an example to keep, the largest first.

    Raises ConfigError for a bad size, a split without examples, and the first file of the set that cannot be used.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1:
        raise ConfigError(f"size={size}: expected a number of pixels, or a pair (height, width)")
    if "box_labels" in annotated.classes and max_boxes < 1:
        raise ConfigError(f"max_boxes={max_boxes}: expected at least 1")
    if split not in SPLITS:
        raise ConfigError(f"split={split!r}: {annotated.name} has {', '.join(SPLITS)}")
    empty = next((name for name, records in annotated.splits.items() if not records), None)
    if empty:
        raise ConfigError(f"data.path: the pictures of {annotated.name} are too few; none is left for {empty}")
    from mtjax.data.sources.annotated_builder import AnnotatedConfig, AnnotatedPictures

    place = pathlib.Path(data_dir).expanduser() if data_dir else default_data_dir()
    config = AnnotatedConfig(annotated=annotated)
    with quiet():
        examples = open_split(lambda: AnnotatedPictures(data_dir=place, config=config), split, repair=True)
    return _Annotated(annotated, examples, split, (height, width), max_boxes)


class _Annotated(Source):
    """Reads a prepared split and turns TFDS's features into mtjax's fields."""

    def __init__(self, annotated: Annotated, examples: Sequence[Any], split: str, size: Size, max_boxes: int):
        self._examples, self._size, self._max_boxes = examples, size, max_boxes
        self._reader = Reader(self._load, len(examples), f"{annotated.name} {split}")
        self._maps = tuple(annotated.maps)
        fields: dict[str, tuple[int, ...]] = {"image": (*size, 3)}
        names = dict(annotated.classes)
        if "segments" in names:
            fields |= {"segments": size, "boundary": size}
        fields |= {field: (*size, channels)[: 2 + (channels > 1)] for field, channels in annotated.maps.items()}
        if "box_labels" in names:
            names["present"] = names["box_labels"]
            fields |= {"boxes": (max_boxes, 4), "box_labels": (max_boxes,), "present": (len(names["present"]),)}
        self.info = SourceInfo(annotated.name, fields, names, (*size, 3))

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> Example:
        return self._cut(self._reader.get_or_next(index), 0.5, 0.5)

    def sample(self, index: int, rng: np.random.Generator) -> Example:
        """The example with a cut at a random place."""
        return self._cut(self._reader.get_or_next(index), *rng.random(2))

    def _load(self, index: int) -> Example:
        """The fields of an example, its picture resized but not cut; every box."""
        stored = self._examples[index]
        example = {"image": stored["image"]}
        if "segments" in stored:
            example["segments"] = stored["segments"][..., 0]
        for field in self._maps:
            example[field] = stored[field][..., 0] if stored[field].shape[-1] == 1 else stored[field]
        if "objects" in stored:
            example["boxes"] = np.asarray(stored["objects"]["bbox"], np.float32).reshape(-1, 4)
            example["box_labels"] = np.asarray(stored["objects"]["label"], np.int32)
        return covering(example, self._size)

    def _cut(self, whole: Example, down: float, right: float) -> Example:
        example = cut(whole, self._size, down, right)
        if "segments" in example:
            segments = example.pop("segments")
            if (segments != VOID).any():  # what has no map at all is not trained or judged by one
                example |= {"segments": segments, "boundary": boundary_of(segments)}
        if "boxes" in example:
            labels = example["box_labels"]
            present = np.zeros(self.info.fields["present"], np.float32)
            present[labels[labels >= 0]] = 1
            example |= {"present": present, **padded(example["boxes"], labels, self._max_boxes)}
        return example


def boundary_of(segments: np.ndarray) -> np.ndarray:
    """1 where one of a pixel's four neighbors has another class, both being known, else 0; uint8 [H, W]."""
    edge = np.zeros(segments.shape, bool)
    for axis in (0, 1):
        one, other = (np.moveaxis(segments, axis, 0)[part] for part in (slice(1, None), slice(None, -1)))
        differs = (one != other) & (one != VOID) & (other != VOID)
        along = np.moveaxis(edge, axis, 0)
        along[1:] |= differs
        along[:-1] |= differs
    return edge.astype(np.uint8)

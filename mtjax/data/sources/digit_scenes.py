"""`digit_scenes`: handwritten digits on photographs, with every label and no download (see digit_scenes_builder.py)."""

import pathlib
from collections.abc import Sequence

import numpy as np

from mtjax.data.fields import Example, Source, SourceInfo
from mtjax.data.sources.prepared import default_data_dir, open_split, quiet
from mtjax.data.sources.reader import Reader
from mtjax.data.sources.scene_fields import DIGITS, EXTRAS, check_extras, make_extras
from mtjax.data.sources.scenes import LAYERS, MAX_DIGITS

SMALLEST, LARGEST = 16, 256  # pixels; the smallest photograph is 300 pixels high


def digit_scenes(
    split: str,
    /,
    *,
    size: int = 64,
    train: int = 3000,
    validation: int = 256,
    test: int = 256,
    extras: Sequence[str] = (),
    data_dir: str | None = None,
) -> Source:
    """Scenes of `size`×`size` pixels with image, label, boxes, segments, instances, boundary and depth.

    `train`, `validation` and `test` are the number of scenes in each split. The data set is made on first use in
    `data_dir` (default `$MTJAX_DATA`, or `~/.cache/mtjax`): about 5 ms per scene of 64×64.

    `extras` names fields that are made from these when an example is first read, some milliseconds in all: `present`,
    `parity`, `saliency`, `normals`, `previous` with `flow`, `clip`, `reference`; `FIELDS` says what they mean.

    Raises ValueError for an unknown split or field, and for sizes and counts out of range.
    """
    counts = {"train": train, "validation": validation, "test": test}
    if split not in counts:
        raise ValueError(f"split={split!r}: digit_scenes has {', '.join(counts)}")
    if not SMALLEST <= size <= LARGEST:
        raise ValueError(f"size={size}: digit_scenes makes pictures of {SMALLEST} to {LARGEST} pixels")
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name}={count}: expected the number of scenes in that split, at least 1")
    check_extras(extras)
    folder = pathlib.Path(data_dir).expanduser() if data_dir else default_data_dir()
    return _DigitScenes(split, size, counts, tuple(extras), folder)


class _DigitScenes(Source):
    """Reads the prepared data set and turns TFDS's features into mtjax's fields."""

    def __init__(self, split: str, size: int, counts: dict[str, int], extras: tuple[str, ...], data_dir: pathlib.Path):
        from mtjax.data.sources.digit_scenes_builder import DigitScenes, DigitScenesConfig

        config = DigitScenesConfig(
            size=size, train=counts["train"], validation=counts["validation"], test=counts["test"]
        )
        known = {known.name: known for known in DigitScenes.BUILDER_CONFIGS}
        with quiet():
            self._examples = open_split(
                lambda: DigitScenes(data_dir=data_dir, config=known.get(config.name, config)), split, repair=True
            )
        self._extras, self._split = extras, list(counts).index(split)
        self._reader = Reader(self._load, len(self._examples), f"digit_scenes {split}")
        plane = (size, size)
        self.info = SourceInfo(
            name="digit_scenes",
            fields={
                "image": (size, size, 3),
                "label": (),
                "boxes": (MAX_DIGITS, 4),
                "box_labels": (MAX_DIGITS,),
                "segments": plane,
                "instances": plane,
                "boundary": plane,
                "depth": plane,
                **{name: EXTRAS[name].shape(size) for name in extras},
            },
            class_names={
                "label": DIGITS,
                "box_labels": DIGITS,
                "segments": ("background", *DIGITS),
                **{name: EXTRAS[name].classes for name in extras if EXTRAS[name].classes},
            },
            image_shape=(size, size, 3),
        )

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> Example:
        compact = dict(self._reader.get_or_next(index))
        return {"depth": compact.pop("layers").astype(np.float32) / LAYERS, **compact}

    def _load(self, index: int) -> Example:
        example = self._examples[index]
        labels = np.asarray(example["objects"]["label"], np.int32)
        boxes = np.zeros((MAX_DIGITS, 4), np.float32)
        box_labels = np.full(MAX_DIGITS, -1, np.int32)
        boxes[: len(labels)], box_labels[: len(labels)] = np.asarray(example["objects"]["bbox"]), labels
        stored = {
            "image": example["image"],
            "label": np.asarray(example["label"], np.int32),
            "boxes": boxes,
            "box_labels": box_labels,
            "segments": example["segments"][..., 0],
            "instances": example["instances"][..., 0],
            "boundary": example["boundary"][..., 0] // 255,
            "layers": example["layers"][..., 0],
        }
        return {**stored, **make_extras(self._extras, stored, self._split, index)}

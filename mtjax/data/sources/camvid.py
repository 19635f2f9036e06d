"""`camvid`: street scenes filmed from a car, with a class for every pixel."""

import itertools
import pathlib

import numpy as np

from mtjax.data.fields import Source
from mtjax.data.sources.annotated import Annotated, open_annotated
from mtjax.data.sources.layout import Layout, Paired, check_classes, picture_size, read_labels
from mtjax.metrics.segmentation import VOID

TREE = "{train,val}/*.png and, in {train,val}annot, gray PNGs of the same names; test/*.png and testannot/*.png or none"
CLASSES = (
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist",
)  # fmt: skip


def camvid(
    split: str, /, *, path: str, size: int | tuple[int, int] = (120, 160), data_dir: str | None = None
) -> Source:
    """CamVid with the 11 classes of SegNet, in its tutorial's layout: image, segments, boundary.

    Class 11 of the files is void. Splits are the folders train, val and test. Where there is no test folder, val is
    the test split, and validation is the last tenth of each film in train.

    Args:
        split: "train", "validation" or "test".
        path: the folder with train, trainannot, val, valannot.
        size: height and width in pixels; one number for squares.
        data_dir: where the prepared copy lies (default `$MTJAX_DATA`, or `~/.cache/mtjax`).

    Raises ConfigError (a ValueError), in one line, for the first thing that differs from the layout.

    Source: Brostow et al., "Semantic object classes in video", PRL 30, 2009; Badrinarayanan et al., "SegNet", 2017.
    """
    layout = Layout(path, TREE)
    folders = ["train", "val", *(["test"] if (layout.root / "test").exists() else [])]
    pairs = {folder: _pairs(layout, folder) for folder in folders}
    if "test" in pairs:
        splits = {"train": pairs["train"], "validation": pairs["val"], "test": pairs["test"]}
    else:
        train, validation = _ends_of_films(pairs["train"])
        splits = {"train": train, "validation": validation, "test": pairs["val"]}
    files = [file for part in pairs.values() for pair in part for file in pair]
    annotated = Annotated("camvid", splits, _read, {"segments": CLASSES}, files)
    return open_annotated(annotated, split, size, data_dir)


def _pairs(layout: Layout, folder: str) -> Paired:
    pictures, labels = layout.files(f"{folder}/*.png"), layout.files(f"{folder}annot/*.png")
    return layout.pairs(pictures, labels, lambda file: file.name)


def _ends_of_films(pairs: Paired) -> tuple[Paired, Paired]:
    """The frames of each film (0001TP_006690.png is one of 0001TP) before its last tenth, and those in it."""
    early, late = [], []
    for _, frames in itertools.groupby(pairs, lambda pair: pair[0].name.partition("_")[0]):
        film = list(frames)
        kept = len(film) - max(1, len(film) // 10)
        early += film[:kept]
        late += film[kept:]
    return early, late


def _read(pair: tuple[pathlib.Path, pathlib.Path]) -> dict[str, object]:
    picture, file = pair
    labels = read_labels(file, picture_size(picture))
    labels = np.where(labels == len(CLASSES), np.uint8(VOID), labels)
    return {"image": picture, "segments": check_classes(labels, len(CLASSES), file)}

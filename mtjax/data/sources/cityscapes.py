"""`cityscapes`: streets of fifty cities, with one of the 19 classes of the benchmark for every pixel."""

import pathlib

import numpy as np

from mtjax.data.fields import Source
from mtjax.data.sources.annotated import Annotated, open_annotated
from mtjax.data.sources.layout import Layout, Paired, damaged, held_out, picture_size, read_labels
from mtjax.metrics.segmentation import VOID

TREE = "leftImg8bit/{train,val}/CITY/*_leftImg8bit.png and gtFine/{train,val}/CITY/*_gtFine_labelIds.png"
# Training class -> the number that it has in the files (helpers/labels.py of the cityscapesScripts).
CLASSES = {
    "road": 7, "sidewalk": 8, "building": 11, "wall": 12, "fence": 13, "pole": 17, "traffic light": 19,
    "traffic sign": 20, "vegetation": 21, "terrain": 22, "sky": 23, "person": 24, "rider": 25, "car": 26, "truck": 27,
    "bus": 28, "train": 31, "motorcycle": 32, "bicycle": 33,
}  # fmt: skip
MOST = 33  # the largest number of a class in the files; a license plate, -1, is written as 255
CITIES = 1 / 6  # of the cities in train, for validation


def cityscapes(
    split: str, /, *, path: str, size: int | tuple[int, int] = (128, 256), data_dir: str | None = None
) -> Source:
    """Cityscapes' fine annotations: image, segments with the 19 classes that are evaluated, boundary.

    Testing is the official validation split, as the labels of the test split are not published; validation is a sixth
    of the cities in train, chosen by their names.

    Args:
        split: "train", "validation" or "test".
        path: the folder with leftImg8bit and gtFine.
        size: height and width in pixels; one number for squares.
        data_dir: where the prepared copy lies (default `$MTJAX_DATA`, or `~/.cache/mtjax`); as large as the pictures.

    Raises ConfigError (a ValueError), in one line, for the first thing that differs from the layout.

    Source: Cordts et al., "The Cityscapes dataset for semantic urban scene understanding", CVPR 2016.
    """
    layout = Layout(path, TREE)
    whole, test = _pairs(layout, "train"), _pairs(layout, "val")
    cities = sorted({pair[0].parent.name for pair in whole})
    if len(cities) < 2:
        raise layout.refusal(f"has only {cities[0]} in leftImg8bit/train; training and validation need a city each")
    kept, _ = held_out(cities, str, CITIES)
    splits = {
        "train": [pair for pair in whole if pair[0].parent.name in kept],
        "validation": [pair for pair in whole if pair[0].parent.name not in kept],
        "test": test,
    }
    files = [file for pair in (*whole, *test) for file in pair]
    annotated = Annotated("cityscapes", splits, _read, {"segments": tuple(CLASSES)}, files)
    return open_annotated(annotated, split, size, data_dir)


def _pairs(layout: Layout, part: str) -> Paired:
    pictures = layout.files(f"leftImg8bit/{part}/*/*_leftImg8bit.png")
    labels = layout.files(f"gtFine/{part}/*/*_gtFine_labelIds.png")

    def stem(file: pathlib.Path) -> str:
        return f"{file.parent.name}/{file.name.removesuffix('_leftImg8bit.png').removesuffix('_gtFine_labelIds.png')}"

    return layout.pairs(pictures, labels, stem)


def _read(pair: tuple[pathlib.Path, pathlib.Path]) -> dict[str, object]:
    picture, file = pair
    labels = read_labels(file, picture_size(picture))
    wrong = labels[(labels > MOST) & (labels != VOID)]
    if wrong.size:
        raise damaged(file, f"has a label {wrong.max()}, expected 0 to {MOST}, or {VOID}")
    trained = np.full(256, VOID, np.uint8)
    trained[list(CLASSES.values())] = np.arange(len(CLASSES))
    return {"image": picture, "segments": trained[labels]}

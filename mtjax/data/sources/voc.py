"""`voc`: a folder in the layout of Pascal VOC, with boxes and, where there are any, maps of classes."""

import pathlib
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from mtjax.data.fields import Source
from mtjax.data.sources.annotated import Annotated, Boxes, open_annotated
from mtjax.data.sources.layout import Layout, check_classes, damaged, held_out, picture_size, read_labels
from mtjax.registry import ConfigError, nearest

TREE = (
    "JPEGImages/NAME.jpg, Annotations/NAME.xml, ImageSets/Main/{train,val}.txt with a NAME in each line, and as far as "
    "there are any SegmentationClass/NAME.png, ImageSets/Main/test.txt"
)
CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
VALIDATION = 0.1  # of the pictures in train, where val is the test split
LONGEST = 1 << 20  # bytes of an annotation
Record = tuple[pathlib.Path, pathlib.Path, pathlib.Path | None, tuple[str, ...]]


def voc(
    split: str,
    /,
    *,
    path: str,
    classes: Sequence[str] = CLASSES,
    size: int | tuple[int, int] = 128,
    max_boxes: int = 16,
    data_dir: str | None = None,
) -> Source:
    """Pictures with boxes, as Pascal VOC has them: image, boxes, box_labels, present, segments, boundary.

    Objects marked difficult are left out. A picture without a map of classes has neither segments nor boundary. Splits
    are train, val and test of ImageSets/Main. Where there is no test.txt, or no annotation of what it names, val is the
    test split, and validation is a tenth of train, chosen by the names.

    Args:
        split: "train", "validation" or "test".
        path: the folder, such as VOCdevkit/VOC2012.
        classes: the names that objects have; segments has them too, in this order, after the background.
        size: height and width in pixels; one number for squares.
        max_boxes: how many boxes of a picture to keep, the largest first.
        data_dir: where the prepared copy lies (default `$MTJAX_DATA`, or `~/.cache/mtjax`).

    Raises ConfigError (a ValueError), in one line, for the first thing that differs from the layout.

    Source: Everingham et al., "The Pascal visual object classes challenge", IJCV 88, 2010.
    """
    layout, names = Layout(path, TREE), tuple(classes)
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"classes={names}: expected names, no two alike")
    train, val = (_records(layout, _listed(layout, part), names) for part in ("train", "val"))
    tested = _listed(layout, "test") if (layout.root / "ImageSets/Main/test.txt").is_file() else []
    if any((layout.root / f"Annotations/{name}.xml").is_file() for name in tested):
        splits = {"train": train, "validation": val, "test": _records(layout, tested, names)}
    else:
        kept, validation = held_out(train, lambda record: record[0].name, VALIDATION)
        splits = {"train": kept, "validation": validation, "test": val}
    whole = [record for part in splits.values() for record in part]
    twice = len(whole) - len({record[0] for record in whole})
    if twice:
        raise layout.refusal(f"has {twice} pictures in two of the lists of ImageSets/Main")
    files = [file for record in whole for file in record[:3] if file]
    known: dict[str, tuple[str, ...]] = {"box_labels": names}
    if any(record[2] for record in whole):
        known["segments"] = ("background", *names)
    return open_annotated(Annotated("voc", splits, _read, known, files), split, size, data_dir, max_boxes)


def _listed(layout: Layout, part: str) -> list[str]:
    """The names in a list of pictures."""
    file = layout.file(f"ImageSets/Main/{part}.txt")
    names = [line.split()[0] for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    odd = next((name for name in names if pathlib.PurePath(name).name != name or name == ".."), None)
    if odd is not None:
        raise damaged(file, f"names {odd!r}, which is not a picture's name")
    if not names:
        raise damaged(file, "names no picture")
    return names


def _records(layout: Layout, names: list[str], classes: tuple[str, ...]) -> list[Record]:
    records = []
    for name in names:
        picture, annotation = layout.file(f"JPEGImages/{name}.jpg"), layout.file(f"Annotations/{name}.xml")
        labels = layout.root / f"SegmentationClass/{name}.png"
        records.append((picture, annotation, labels if labels.is_file() else None, classes))
    return records


def _read(record: Record) -> dict[str, Any]:
    picture, annotation, labels, classes = record
    size = picture_size(picture)
    segments = None if labels is None else check_classes(read_labels(labels, size), len(classes) + 1, labels)
    return {"image": picture, "segments": segments, "objects": _objects(annotation, size, classes)}


def _objects(file: pathlib.Path, size: tuple[int, int], classes: tuple[str, ...]) -> Boxes:
    """The objects that are not difficult; corners are pixels counted from 1, the last one included."""
    try:
        if file.stat().st_size > LONGEST:
            raise ValueError(f"is longer than {LONGEST:,} bytes")
        root = ElementTree.fromstring(file.read_bytes())
        written = tuple(int(root.findtext(f"size/{name}", "")) for name in ("height", "width"))
        if written != size:
            raise ValueError(f"says {written[1]}×{written[0]} pixels, the picture has {size[1]}×{size[0]}")
        boxes = []
        for item in root.iter("object"):
            name = item.findtext("name", "").strip()
            if name not in classes:
                raise ValueError(f"has an object {name!r}; {nearest(name, classes)}")
            left, top, right, bottom = (
                float(item.findtext(f"bndbox/{side}", "")) for side in ("xmin", "ymin", "xmax", "ymax")
            )
            if not (0 <= left <= right <= size[1] and 0 <= top <= bottom <= size[0]):
                raise ValueError(f"has a box {left:g}, {top:g}, {right:g}, {bottom:g} outside the picture")
            box = (max(top - 1, 0) / size[0], max(left - 1, 0) / size[1], bottom / size[0], right / size[1])
            if item.findtext("difficult", "0").strip() != "1":
                boxes.append((box, classes.index(name)))
        return boxes
    except (OSError, ValueError, ElementTree.ParseError) as error:
        raise damaged(file, error) from error

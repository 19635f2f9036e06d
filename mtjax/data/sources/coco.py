"""`coco`: pictures with boxes in the JSON format of COCO."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from mtjax.data.fields import Source
from mtjax.data.sources.annotated import Annotated, Boxes, open_annotated
from mtjax.data.sources.layout import Layout, damaged, held_out, picture_size
from mtjax.registry import ConfigError

TREE = (
    "annotations/instances_{trainX,valX}.json (and testX, if there is one) with the pictures in trainX and valX, "
    "X being anything, such as 2017"
)
VALIDATION = 0.05  # of the pictures in train, where val is the test split
Record = tuple[pathlib.Path, tuple[int, int], Boxes, pathlib.Path]  # picture, size, objects, annotations


def coco(
    split: str,
    /,
    *,
    path: str,
    size: int | tuple[int, int] = 128,
    max_boxes: int = 32,
    data_dir: str | None = None,
) -> Source:
    """Pictures with boxes, as COCO has them: image, boxes, box_labels, present.

    Crowds and boxes without an area are left out; classes are numbered from 0 in the order of their ids. Where there is
    no test file, val is the test split, and validation is a twentieth of train, chosen by the names.

    Args:
        split: "train", "validation" or "test".
        path: the folder with annotations and the pictures.
        size: height and width in pixels; one number for squares.
        max_boxes: how many boxes of a picture to keep, the largest first.
        data_dir: where the prepared copy lies (default `$MTJAX_DATA`, or `~/.cache/mtjax`); as large as the pictures.

    Raises ConfigError (a ValueError), in one line, for the first thing that differs from the layout.

    Source: Lin et al., "Microsoft COCO: common objects in context", ECCV 2014.
    """
    layout = Layout(path, TREE)
    found = {part: file for part in ("train", "val", "test") if (file := _annotations(layout, part))}
    missing = next((part for part in ("train", "val") if part not in found), None)
    if missing:
        raise layout.refusal(f"has no annotations/instances_{missing}*.json")
    parts, classes = {}, ()
    for part, file in found.items():
        parts[part], own = _records(layout, file)
        classes = classes or own
        if own != classes:
            raise damaged(file, f"has other categories than {layout.name(found['train'])}")
    if "test" in parts:
        splits = {"train": parts["train"], "validation": parts["val"], "test": parts["test"]}
    else:
        kept, validation = held_out(parts["train"], lambda record: record[0].name, VALIDATION)
        splits = {"train": kept, "validation": validation, "test": parts["val"]}
    files = [*found.values(), *(record[0] for part in parts.values() for record in part)]
    annotated = Annotated("coco", splits, _read, {"box_labels": classes}, files)
    return open_annotated(annotated, split, size, data_dir, max_boxes)


def _annotations(layout: Layout, part: str) -> pathlib.Path | None:
    """The file of a part, if there is one."""
    files = sorted(layout.root.glob(f"annotations/instances_{part}*.json"))
    if len(files) > 1:
        raise layout.refusal(f"has both {files[0].name} and {files[1].name}")
    return files[0] if files else None


def _records(layout: Layout, file: pathlib.Path) -> tuple[list[Record], tuple[str, ...]]:
    """The pictures that a file of annotations names, each with its objects; and the classes."""
    folder = file.stem.removeprefix("instances_")
    try:
        content = json.loads(file.read_bytes())
        classes = {one["id"]: str(one["name"]) for one in sorted(content["categories"], key=lambda one: one["id"])}
        numbers = {known: number for number, known in enumerate(classes)}
        images = {one["id"]: one for one in content["images"]}
        objects: dict[Any, Boxes] = {known: [] for known in images}
        for one in content["annotations"]:
            if (box := _box(one, images[one["image_id"]])) is not None:
                objects[one["image_id"]].append((box, numbers[one["category_id"]]))
    except ConfigError:
        raise
    except KeyError as error:
        raise damaged(file, f"lacks a key or an id: {error.args[0]!r}") from error
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise damaged(file, error) from error
    if not classes or not images:
        raise damaged(file, f"has {len(classes)} categories and {len(images)} images")
    records = []
    for known, one in images.items():
        if pathlib.PurePath(name := str(one["file_name"])).name != name:
            raise damaged(file, f"names a picture outside its folder: {name!r}")
        records.append((layout.file(f"{folder}/{name}"), (one["height"], one["width"]), objects[known], file))
    return records, tuple(classes.values())


def _box(annotation: Mapping[str, Any], image: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
    """Where an object is: [x, y, width, height] in pixels, as fractions; None for a crowd, or a box without an area."""
    left, top, width, height = map(float, annotation["bbox"])
    right, bottom = left + width, top + height
    if annotation.get("iscrowd", 0):
        return None
    if min(left, top, width, height) < -1 or right > image["width"] + 1 or bottom > image["height"] + 1:
        whole = f"{image['width']}×{image['height']}"
        raise ValueError(
            f"annotation {annotation.get('id')} has a box {annotation['bbox']} outside its {whole} picture"
        )
    box = (top / image["height"], left / image["width"], bottom / image["height"], right / image["width"])
    top, left, bottom, right = (min(max(edge, 0), 1) for edge in box)
    return (top, left, bottom, right) if left < right and top < bottom else None


def _read(record: Record) -> dict[str, Any]:
    picture, size, objects, file = record
    if (found := picture_size(picture)) != size:
        raise damaged(picture, f"is {found[1]}×{found[0]} pixels, in {file.name} {size[1]}×{size[0]}")
    return {"image": picture, "objects": objects}

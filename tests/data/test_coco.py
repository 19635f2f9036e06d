"""COCO's JSON: boxes, crowds, splits, and files that are not what they should be."""

import json

import numpy as np
import pytest
from shared_data import refusal, save

from mtjax import data

HEIGHT, WIDTH = 20, 40
CATEGORIES = [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}]


def content(first, count):
    """Pictures with a dog at the upper left and a small car in the middle; the first also with a crowd."""
    images = [
        {"id": first + i, "file_name": f"{first + i:06}.jpg", "height": HEIGHT, "width": WIDTH} for i in range(count)
    ]
    objects = [
        {"id": 3 * i, "image_id": first + i, "category_id": k, "bbox": box, "iscrowd": crowd}
        for i in range(count)
        for k, box, crowd in ((3, [20, 10, 2, 2], 0), (18, [0, 0, 10.0, 5.0], 0), (18, [0, 0, 40, 20], 1))
    ]
    return {"images": images, "annotations": objects, "categories": CATEGORIES}


def write(root, part, made):
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    (root / f"annotations/instances_{part}.json").write_text(json.dumps(made))
    for image in made["images"]:
        save(root / part / image["file_name"], np.full((HEIGHT, WIDTH, 3), image["id"]))


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "coco", "train2017", content(0, 20))
    write(tmp_path / "coco", "val2017", content(100, 3))
    return tmp_path / "coco"


def node(folder, **params):
    made = {"path": str(folder), "data_dir": str(folder.parent / "made"), "size": (HEIGHT, WIDTH), "max_boxes": 4}
    return {"source": "coco", **made, **params}


def test_boxes_without_crowds(folder):
    source = data.build(node(folder), "test")
    assert source.info.class_names["box_labels"] == ("car", "dog")  # in the order of their ids
    example = source[2]
    assert abs(int(example["image"][0, 0, 0]) - 102) < 3
    np.testing.assert_allclose(example["boxes"][:2], [[0, 0, 0.25, 0.25], [0.5, 0.5, 0.6, 0.55]], atol=1e-6)
    assert example["box_labels"].tolist() == [1, 0, -1, -1] and example["present"].tolist() == [1, 1]


def test_pictures_without_objects_and_in_gray(folder):
    made = content(100, 2)
    made["annotations"] = []
    write(folder, "val2017", made)
    save(folder / "val2017/000100.jpg", np.full((HEIGHT, WIDTH), 50))
    example = data.build(node(folder), "test")[0]
    assert (example["box_labels"] == -1).all() and example["present"].sum() == 0
    assert example["image"].shape == (HEIGHT, WIDTH, 3) and abs(int(example["image"][0, 0, 1]) - 50) < 3


def test_splits(folder):
    assert [len(data.build(node(folder), split)) for split in ("train", "validation", "test")] == [19, 1, 3]
    write(folder, "test2017", content(200, 5))
    assert [len(data.build(node(folder), split)) for split in ("train", "validation", "test")] == [20, 3, 5]


def test_folders_that_differ(folder):
    tree = "expected there: annotations/instances_{trainX,valX}.json"
    assert f"is missing; {tree}" in refusal(node(folder / "no"))
    (folder / "val2017/000101.jpg").unlink()
    assert f"lacks val2017/000101.jpg; {tree}" in refusal(node(folder))
    file = folder / "annotations/instances_val2017.json"
    file.rename(file.with_name("instances_train2014.json"))
    assert "has both instances_train2014.json and instances_train2017.json" in refusal(node(folder))
    (folder / "annotations/instances_train2014.json").unlink()
    assert f"has no annotations/instances_val*.json; {tree}" in refusal(node(folder))


def changed(where, key, value):
    """Replaces one entry of the third picture or of the second object."""

    def change(made):
        made[where][1 if where == "annotations" else 2][key] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed("annotations", "bbox", [30, 0, 20, 5]), "0 has a box [30, 0, 20, 5] outside its 40×20 picture"),
        (changed("annotations", "image_id", 77), "lacks a key or an id: 77"),
        (changed("annotations", "category_id", 4), "lacks a key or an id: 4"),
        (changed("annotations", "bbox", [1, 2]), "expected"),
        (changed("images", "file_name", "../x.jpg"), "names a picture outside its folder: '../x.jpg'"),
        (lambda made: made.pop("categories"), "lacks a key or an id: 'categories'"),
        (lambda made: made.update(categories=[{"id": 3, "name": "cat"}, CATEGORIES[0]]), "other categories"),
        (lambda made: made.update(images=[], annotations=[]), "has 2 categories and 0 images"),
    ],
)
def test_annotations_that_cannot_be_used_are_named(folder, change, message):
    made = content(100, 3)
    change(made)
    file = folder / "annotations/instances_val2017.json"
    file.write_text(json.dumps(made))
    said = refusal(node(folder))
    assert said.startswith(f"data.path: {file}: ") and message in said, said


def test_damaged_files(folder):
    file = folder / "annotations/instances_train2017.json"
    save(folder / "train2017/000007.jpg", np.zeros((HEIGHT, WIDTH - 4, 3)))
    assert "000007.jpg: is 36×20 pixels, in instances_train2017.json 40×20" in refusal(node(folder))
    file.write_text(file.read_text()[:-40])
    assert refusal(node(folder)).startswith(f"data.path: {file}: ")
    file.write_text("[" * 100_000)
    assert refusal(node(folder)).startswith(f"data.path: {file}: ")

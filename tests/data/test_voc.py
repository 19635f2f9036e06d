"""Folders as of Pascal VOC: boxes and maps, which pictures each split owns, and what is refused."""

import numpy as np
import pytest
from PIL import Image
from shared_data import refusal, save

from mtjax import data
from mtjax.data import pipeline

HEIGHT, WIDTH = 20, 30
OBJECT = """<object><name>{}</name><difficult>{}</difficult><bndbox>
<xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"""
DOG, CAT, HARD = ("dog", 0, 11, 1, 20, 10), ("cat", 0, 1, 1, 3, 2), ("cow", 1, 1, 1, 30, 20)


def write(root, name, objects, labels=None):
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
    save(root / "JPEGImages" / f"{name}.jpg", np.full((HEIGHT, WIDTH, 3), 100))
    file = root / "Annotations" / f"{name}.xml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"<annotation>{size}{''.join(OBJECT.format(*item) for item in objects)}</annotation>")
    if labels is not None:
        picture = Image.fromarray(labels.astype(np.uint8)).convert("P")
        picture.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
        (root / "SegmentationClass").mkdir(exist_ok=True)
        picture.save(root / "SegmentationClass" / f"{name}.png")


def listed(root, part, names):
    (root / "ImageSets/Main").mkdir(parents=True, exist_ok=True)
    (root / "ImageSets/Main" / f"{part}.txt").write_text("".join(f"{name}\n" for name in names))


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "VOC2012"
    for i in range(10):
        write(root, f"2007_{i:06}", [CAT])
    labels = np.zeros((HEIGHT, WIDTH))
    labels[:10, 10:20], labels[:, :2] = 12, 255
    write(root, "2008_000001", [CAT, HARD, DOG], labels)
    write(root, "2008_000002", [])
    listed(root, "train", [f"2007_{i:06}" for i in range(10)])
    listed(root, "val", ["2008_000001", "2008_000002"])
    return root


def node(folder, **params):
    made = {"path": str(folder), "data_dir": str(folder.parent / "made"), "size": (HEIGHT, WIDTH), "max_boxes": 3}
    return {"source": "voc", **made, **params}


def test_boxes_and_maps(folder):
    source = data.build(node(folder), "test")
    example, names = source[0], source.info.class_names["box_labels"]
    np.testing.assert_allclose(example["boxes"], [[0, 1 / 3, 0.5, 2 / 3], [0, 0, 0.1, 0.1], [0] * 4], atol=1e-6)
    assert [names[k] for k in example["box_labels"][:2]] == ["dog", "cat"] and example["box_labels"][2] == -1
    assert [names[k] for k in np.flatnonzero(example["present"])] == ["cat", "dog"]
    assert source.info.class_names["segments"][example["segments"][5, 15]] == "dog"
    assert example["segments"][0, 0] == 255 and example["segments"][19, 29] == 0
    batch = next(pipeline.eval_batches(source, 2))
    assert batch["valid"]["segments"].tolist() == batch["valid"]["boundary"].tolist() == [True, False]
    assert batch["valid"]["boxes"].all() and (batch["box_labels"][1] == -1).all()


def test_boxes_move_with_the_cut(folder):
    example = data.build(node(folder, size=HEIGHT), "test")[0]  # the middle: columns 5 to 24
    np.testing.assert_allclose(example["boxes"][0], [0, 0.25, 0.5, 0.75], atol=1e-6)
    assert (example["box_labels"][1:] == -1).all()  # the cat is cut off
    assert example["present"].sum() == 1


def test_the_largest_boxes_are_kept(folder):
    source = data.build(node(folder, max_boxes=1), "test")
    assert source.info.class_names["box_labels"][source[0]["box_labels"][0]] == "dog"


def test_splits(folder):
    assert [len(data.build(node(folder), split)) for split in ("train", "validation", "test")] == [9, 1, 2]
    listed(folder, "test", ["2009_000001"])  # the real one names pictures whose annotations are kept back
    assert len(data.build(node(folder), "test")) == 2
    write(folder, "2009_000001", [DOG])
    assert [len(data.build(node(folder), split)) for split in ("train", "validation", "test")] == [10, 2, 1]
    listed(folder, "test", ["2009_000001", "2007_000003"])
    assert "has 1 pictures in two of the lists" in refusal(node(folder))


def test_too_few_pictures_for_three_splits(folder):
    listed(folder, "train", ["2007_000003"])
    assert refusal(node(folder)) == "data.path: the pictures of voc are too few; none is left for train"


def test_classes_of_ones_own(folder):
    assert "has a label 12, expected 0 to 3, or 255" in refusal(node(folder, classes=("cat", "cow", "dog")))
    (folder / "SegmentationClass/2008_000001.png").unlink()
    source = data.build(node(folder, classes=("cat", "cow", "dog")), "test")
    assert source.info.class_names["box_labels"] == ("cat", "cow", "dog") and source[0]["box_labels"][0] == 2
    assert "classes=('cat', 'cat'): expected names, no two alike" in refusal(node(folder, classes=("cat", "cat")))


def test_without_any_map_there_is_no_such_field(folder):
    (folder / "SegmentationClass/2008_000001.png").unlink()
    assert set(data.build(node(folder), "test").info.fields) == {"image", "boxes", "box_labels", "present"}


def test_folders_that_differ(folder):
    tree = "expected there: JPEGImages/NAME.jpg, Annotations/NAME.xml, ImageSets/Main/{train,val}.txt"
    assert f"is missing; {tree}" in refusal(node(folder / "no"))
    (folder / "JPEGImages/2007_000003.jpg").unlink()
    assert f"lacks JPEGImages/2007_000003.jpg; {tree}" in refusal(node(folder))
    listed(folder, "train", ["../../etc/passwd"])
    assert "train.txt: names '../../etc/passwd', which is not a picture's name" in refusal(node(folder))
    (folder / "ImageSets/Main/train.txt").unlink()
    assert f"lacks ImageSets/Main/train.txt; {tree}" in refusal(node(folder))


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ([("dgo", 0, 1, 1, 2, 2)], "has an object 'dgo'; did you mean 'dog'?"),
        ([("dog", 0, 1, 1, 31, 2)], "has a box 1, 1, 31, 2 outside the picture"),
        ([("dog", 0, "x", 1, 3, 2)], "could not convert string to float: 'x'"),
        ([("<", 0, 1, 1, 3, 2)], "not well-formed"),
    ],
)
def test_annotations_that_cannot_be_used_are_named(folder, objects, message):
    write(folder, "2007_000003", objects)
    said = refusal(node(folder))
    assert said.startswith(f"data.path: {folder / 'Annotations/2007_000003.xml'}: ") and message in said


def test_sizes_that_differ(folder):
    save(folder / "JPEGImages/2007_000003.jpg", np.zeros((HEIGHT, WIDTH - 1, 3)))
    assert "2007_000003.xml: says 30×20 pixels, the picture has 29×20" in refusal(node(folder))


def test_an_annotation_that_would_take_all_memory_is_refused(folder):
    entities = "".join(f'<!ENTITY e{i + 1} "{f"&e{i};" * 10}">' for i in range(12))
    file = folder / "Annotations/2007_000003.xml"
    file.write_text(f'<!DOCTYPE a [<!ENTITY e0 "dog">{entities}]><annotation><object>&e12;</object></annotation>')
    said = refusal(node(folder))
    assert said.startswith(f"data.path: {file}: ") and "limit on input amplification factor" in said

"""CamVid's folders: what is read, what each split owns, and folders that are not what they should be."""

import shutil

import numpy as np
import pytest
from PIL import Image
from shared_data import SHARED, needs, refusal, save

from mtjax import data
from mtjax.data import pipeline

SPLITS = ("train", "validation", "test")
FRAMES = {"train": [f"{film}_{n:03}" for film in ("0001TP", "0006R0") for n in range(12)], "val": ["0016E5_000"] * 1}
HEIGHT, WIDTH = 12, 16


def frame(number):
    """A picture of one color, its number, and its map: sky above, car at the lower left, void at the lower right."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[6:, :8], labels[6:, 8:] = 8, 11
    return np.full((HEIGHT, WIDTH, 3), number), labels


@pytest.fixture
def folder(tmp_path):
    root, number = tmp_path / "camvid", 0
    for part, names in FRAMES.items():
        for name in names:
            picture, labels = frame(number)
            save(root / part / f"{name}.png", picture)
            save(root / f"{part}annot" / f"{name}.png", labels)
            number += 1
    return root


def node(folder, **params):
    size = params.pop("size", (HEIGHT, WIDTH))
    return {"source": "camvid", "path": str(folder), "data_dir": str(folder.parent / "made"), "size": size, **params}


def build(folder, split="train", **params):
    return data.build(node(folder, **params), split)


def numbers(folder, split):
    source = build(folder, split)
    return [int(source[i]["image"][0, 0, 0]) for i in range(len(source))]


def test_pictures_and_labels_are_those_of_the_files(folder):
    source = build(folder)
    assert source.info.class_names["segments"][8] == "car" and len(source.info.class_names["segments"]) == 11
    example = source[3]
    assert (example["image"] == 3).all()
    expected = np.zeros((HEIGHT, WIDTH))
    expected[6:, :8], expected[6:, 8:] = 8, 255
    np.testing.assert_array_equal(example["segments"], expected)
    edge = np.zeros((HEIGHT, WIDTH))
    edge[5:7, :8] = 1  # sky meets car; what void touches is no boundary
    np.testing.assert_array_equal(example["boundary"], edge)
    batch = pipeline.batch_at(source, 4, 0, 0)
    assert batch["segments"].dtype == np.int32 and batch["valid"]["boundary"].all()


def test_without_a_test_folder_val_is_for_testing_and_films_end_with_validation(folder):
    assert numbers(folder, "validation") == [11, 23] and numbers(folder, "test") == [24]
    assert numbers(folder, "train") == [*range(11), *range(12, 23)]


def test_with_a_test_folder_the_splits_are_the_folders(folder):
    for kind in ("", "annot"):
        shutil.copytree(folder / f"val{kind}", folder / f"test{kind}")
    save(folder / "test" / "0016E5_000.png", frame(99)[0])
    assert [numbers(folder, split) for split in SPLITS] == [list(range(24)), [24], [99]]


def test_a_changed_file_is_noticed(folder):
    assert numbers(folder, "test") == [24]
    save(folder / "val" / "0016E5_000.png", frame(77)[0])
    assert numbers(folder, "test") == [77]


def test_other_sizes_keep_the_proportions(folder):
    small = build(folder, size=(6, 8))[0]
    np.testing.assert_array_equal(small["segments"][2:4, [0, -1]], [[0, 0], [8, 255]])
    square = build(folder, size=6)[0]  # 6×8, of which the middle
    np.testing.assert_array_equal(square["segments"][5], [8, 8, 8, 255, 255, 255])


TREE = "expected there: {train,val}/*.png and, in {train,val}annot, gray PNGs of the same names; "


def test_folders_that_differ(folder):
    missing = folder / "no"
    assert refusal(node(missing)).startswith(f"data.path: {str(missing)!r} is missing; {TREE}")
    shutil.rmtree(folder / "val")
    assert f"has no val/*.png; {TREE}" in refusal(node(folder))
    (folder / "trainannot/0001TP_003.png").unlink()
    message = refusal(node(folder))
    assert "has 24 pictures but 23 label maps: train/0001TP_003.png is without the other; " + TREE in message
    (folder / "train/0001TP_003.png").unlink()
    (folder / "train/0001TP_004.png").unlink()
    assert "has 22 pictures but 23 label maps: trainannot/0001TP_004.png is without" in refusal(node(folder))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda file: save(file, frame(0)[1] + np.uint8(4)), "has a label 15, expected 0 to 10"),
        (lambda file: save(file, frame(0)[1][:, :-1]), "is 15×12 pixels, its picture 16×12"),
        (lambda file: save(file, frame(0)[0]), "has Pillow's mode RGB; expected a gray or palette PNG"),
        (lambda file: file.write_bytes(file.read_bytes()[:50]), "damaged|truncated|Truncated|cannot"),
        (lambda file: file.write_text("no picture"), "cannot identify image file"),
    ],
)
def test_labels_that_cannot_be_used_are_named(folder, write, message):
    file = folder / "trainannot/0001TP_002.png"
    write(file)
    said = refusal(node(folder))
    assert said.startswith(f"data.path: {file}: ") and any(part in said for part in message.split("|")), said
    assert not list((folder.parent / "made").rglob("dataset_info.json"))  # no half of a set is kept


def test_a_truncated_picture_is_named(folder):
    file = folder / "train/0001TP_002.png"
    save(file, np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)))
    file.write_bytes(file.read_bytes()[:300])
    source = build(folder)
    with pytest.raises(ValueError, match="camvid train: cannot read example 2: "):
        list(pipeline.eval_batches(source, 4))


def test_bad_sizes(folder):
    assert "size=0: expected a number of pixels" in refusal(node(folder, size=0))
    assert "size=(3, -1)" in refusal(node(folder, size=(3, -1)))


@needs("camvid/small_160x120")
def test_the_real_frames(tmp_path):
    root = SHARED / "camvid/small_160x120"
    parts = {s: data.build({"source": "camvid", "path": str(root), "data_dir": str(tmp_path)}, s) for s in SPLITS}
    assert [len(part) for part in parts.values()] == [331, 36, 101]
    example, files = parts["test"][7], sorted((root / "val").glob("*.png"))
    np.testing.assert_array_equal(example["image"], np.asarray(Image.open(files[7])))
    labels = np.asarray(Image.open(root / "valannot" / files[7].name))
    np.testing.assert_array_equal(example["segments"], np.where(labels == 11, 255, labels))

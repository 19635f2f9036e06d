"""NYUv2 in both of its layouts: units, unknown pixels, splits, and files that are not what they should be."""

import numpy as np
import pytest
from shared_data import SHARED, needs, refusal

from mtjax import data

SPLITS = ("train", "validation", "test")
HEIGHT, WIDTH = 6, 8


def arrays(count, first=0):
    """Frames whose image holds their number, in another order; depths of 2 m, unknown in the first row."""
    index = np.arange(first, first + count)[::-1]
    depth = np.full((count, HEIGHT, WIDTH), 51, np.uint8)
    labels = np.broadcast_to(np.arange(WIDTH, dtype=np.uint8), depth.shape).copy()
    normals = np.zeros((count, HEIGHT, WIDTH, 3), np.int8)
    normals[:, :, :4], normals[:, :, 4:6] = (0, -127, 0), (0, 0, -127)  # a floor, and a wall that faces the viewer
    depth[:, 0], labels[:, 0] = 0, 255
    image = np.broadcast_to(index[:, None, None, None], (count, HEIGHT, WIDTH, 3)).astype(np.uint8)
    return {
        "image": image, "depth_u8": depth, "label13": labels, "label40": labels + (labels < 255) * np.uint8(30),
        "normal_i8": normals, "index": index.astype(np.int16),
    }  # fmt: skip


def write_archives(folder, train=20, test=6, **changed):
    folder.mkdir(exist_ok=True)
    np.savez_compressed(folder / "nyuv2_train_8x6.npz", **{**arrays(train), **changed})
    if test:
        np.savez_compressed(folder / "nyuv2_test_8x6.npz", **arrays(test, 100))
    return folder


def write_arrays(folder, counts):
    for part, count in counts.items():
        frames = arrays(count)
        normals = frames["normal_i8"] * np.float32([1, 1, -1]) / 127
        labels = np.where(frames["label13"] == 255, -1.0, frames["label13"])
        written = {"image": frames["image"] / 255, "depth": frames["depth_u8"][..., None] / 25.5, "label": labels}
        for name, values in {**written, "normal": normals}.items():
            (folder / part / name).mkdir(parents=True)
            for i, number in enumerate(frames["index"]):
                np.save(folder / part / name / f"{number}.npy", values[i])
    return folder


def node(folder, **params):
    made = {"path": str(folder), "data_dir": str(folder.parent / "made"), "size": (HEIGHT, WIDTH)}
    return {"source": "nyuv2", **made, **params}


def numbers(folder, split):
    source = data.build(node(folder), split)
    return [int(source[i]["image"][0, 0, 0]) for i in range(len(source))]


def test_units_and_unknown_pixels(tmp_path):
    example = data.build(node(write_archives(tmp_path / "x")), "train")[4]
    assert (example["image"] == 4).all()
    np.testing.assert_allclose(example["depth"][1:], 2.0)
    assert (example["depth"][0] == 0).all() and (example["segments"][0] == 255).all()
    np.testing.assert_array_equal(example["segments"][3], np.arange(8))
    np.testing.assert_allclose(example["normals"][3, 2], (0, -1, 0))  # up
    np.testing.assert_allclose(example["normals"][3, 5], (0, 0, 1))  # toward the viewer
    assert (example["normals"][3, 7] == 0).all()


def test_both_layouts_are_the_same_data(tmp_path):
    one = data.build(node(write_archives(tmp_path / "x", 10, 0)), "train")
    other = data.build(node(write_arrays(tmp_path / "y", {"train": 10, "val": 3})), "train")
    for field, value in one[2].items():
        np.testing.assert_allclose(value, other[2][field], atol=1e-6)
    assert one.info.class_names["segments"] == other.info.class_names["segments"]


def test_forty_classes(tmp_path):
    source = data.build(node(write_archives(tmp_path / "x"), classes=40), "train")
    assert source.info.class_names["segments"][30] == "person" and len(source.info.class_names["segments"]) == 40
    np.testing.assert_array_equal(source[0]["segments"][3], np.arange(30, 38))
    assert "classes=40: the arrays" in refusal(node(write_arrays(tmp_path / "y", {"train": 4, "val": 1}), classes=40))


def test_splits(tmp_path):
    official, alone = write_archives(tmp_path / "x"), write_archives(tmp_path / "y", test=0)
    (alone / "nyuv2_train_8x6.npz").rename(alone / "nyuv2_dev20.npz")
    assert [numbers(official, s) for s in SPLITS] == [list(range(18)), [18, 19], list(range(100, 106))]
    assert [numbers(alone, s) for s in SPLITS] == [list(range(15)), [15], list(range(16, 20))]


def test_unknown_depths_do_not_become_numbers(tmp_path):
    folder = write_arrays(tmp_path / "y", {"train": 4, "val": 1})
    depth = np.full((HEIGHT, WIDTH, 1), np.nan)
    depth[3:] = 1.5
    np.save(folder / "val/depth/0.npy", depth)
    seen = data.build(node(folder), "test")[0]["depth"]
    assert (seen[:3] == 0).all() and (seen[3:] == 1.5).all()


def test_folders_that_differ(tmp_path):
    tree = "expected there: nyuv2_train*.npz and nyuv2_test*.npz (arrays image, depth_u8"
    assert f"is missing; {tree}" in refusal(node(tmp_path / "no"))
    (tmp_path / "x").mkdir()
    assert f"has no nyuv2_train*.npz; {tree}" in refusal(node(tmp_path / "x"))
    write_archives(tmp_path / "x", 2, 0)
    assert "has only 2 training frames; three splits need 3 or more" in refusal(node(tmp_path / "x"))
    np.savez(tmp_path / "x/nyuv2_dev.npz", **arrays(3))
    assert "has both nyuv2_train_8x6.npz and nyuv2_dev.npz" in refusal(node(tmp_path / "x"))
    folder = write_arrays(tmp_path / "y", {"train": 4, "val": 1})
    (folder / "train/label/2.npy").unlink()
    message = refusal(node(folder))
    assert "has 4 pictures but 3 label maps: train/image/2.npy is without the other" in message


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"depth_u8": np.zeros((19, 6, 8), np.uint8)}, "depth_u8 is uint8 [19, 6, 8], expected uint8 [20, 6, 8]"),
        ({"normal_i8": np.zeros((20, 6, 8, 3))}, "normal_i8 is float64 [20, 6, 8, 3], expected int8 [20, 6, 8, 3]"),
        ({"image": np.zeros((20, 48), np.uint8)}, "image is uint8 [20, 48], expected uint8"),
        ({"label13": np.full((20, 6, 8), 13, np.uint8)}, "has a label 13, expected 0 to 12, or 255 where unknown"),
    ],
)
def test_archives_with_other_arrays(tmp_path, changed, message):
    folder = write_archives(tmp_path / "x", **changed)
    said = refusal(node(folder))
    assert said.startswith(f"data.path: {folder / 'nyuv2_train_8x6.npz'}: ") and message in said


def test_damaged_archives(tmp_path):
    folder = write_archives(tmp_path / "x")
    file = folder / "nyuv2_train_8x6.npz"
    whole = arrays(20)
    np.savez(file, **{name: whole[name] for name in whole if name != "label13"})
    assert "has no array label13; it has image, depth_u8" in refusal(node(folder))
    file.write_bytes(file.read_bytes()[:-100])
    assert refusal(node(folder)).startswith(f"data.path: {file}: ")


@pytest.mark.parametrize(
    ("file", "array", "message"),
    [
        ("image/1", np.full((6, 8, 3), 200.0), "has values from 200 to 200, expected 0 to 1"),
        ("depth/1", np.zeros((6, 7)), "is float64 [6, 7], expected numbers [6, 8]"),
        ("label/1", np.full((6, 8), 13), "has a label 13, expected 0 to 12"),
        ("normal/1", np.array([None]), "Object arrays cannot be loaded"),
    ],
)
def test_arrays_that_cannot_be_used_are_named(tmp_path, file, array, message):
    folder = write_arrays(tmp_path / "y", {"train": 4, "val": 1})
    path = folder / "train" / f"{file}.npy"
    np.save(path, array)
    said = refusal(node(folder))
    assert said.startswith(f"data.path: {path}: ") and message in said


@needs("nyuv2")
def test_the_real_frames(tmp_path):
    source = data.build({"source": "nyuv2", "path": str(SHARED / "nyuv2"), "data_dir": str(tmp_path)}, "test")
    floors = []
    for i in range(0, len(source), 4):
        example = source[i]
        known = example["depth"] > 0
        assert known.mean() > 0.9 and example["depth"][known].min() > 0.5 and example["depth"].max() <= 10
        lengths = np.linalg.norm(example["normals"], axis=-1)
        assert (np.abs(lengths[lengths > 0] - 1) < 0.03).all()
        floors.append(example["normals"][(example["segments"] == 4) & (lengths > 0)])
        assert example["normals"][lengths > 0][:, 2].mean() > 0  # what is seen faces the viewer
    mean = np.concatenate(floors).mean(0)
    assert mean[1] < -0.7 and abs(mean[0]) < 0.2  # floors face up

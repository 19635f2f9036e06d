"""Two digits in one picture: where they lie, whose they are, and folders that are not what they should be."""

import gzip
import itertools
import pathlib
import struct

import numpy as np
import pytest
from PIL import Image

from mtjax import data
from mtjax.data import pipeline

REAL = pathlib.Path(__file__).resolve().parents[2].parent / "shared/data/mnist"
SPLITS = ("train", "validation", "test")


def digits(count, seed=0):
    """Random pictures whose corners hold their number: 0, high, low in the first and in the last row; and labels."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 28, 28), np.uint8)
    for row in (0, 27):
        images[:, row, 0], images[:, row, 27] = np.arange(count) // 16, np.arange(count) % 16
    return images, (np.arange(count) * 7 % 10).astype(np.uint8)


def write_npz(folder, name="mnist_train.npz", count=120, seed=0):
    images, labels = digits(count, seed)
    np.savez_compressed(folder / name, x=images, y=labels)
    return images, labels


def write_idx(folder, prefix="train", count=120, seed=0, zipped=False):
    arrays = digits(count, seed)
    for what, array in zip(("images-idx3", "labels-idx1"), arrays, strict=True):
        content = struct.pack(f">{array.ndim + 1}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()
        file = folder / f"{prefix}-{what}-ubyte{'.gz' if zipped else ''}"
        file.write_bytes(gzip.compress(content) if zipped else content)
    return arrays


def source(path, split="train", **params):
    return data.build({"source": "multi_mnist", "path": str(path), **params}, split)


def small(path, split="train", **params):
    return source(path, split, train=60, validation=30, test=30, **params)


def numbers(example):
    """Which two pictures an example of 36×36 is made of, read from their corners that the other does not cover."""
    image = example["image"][..., 0].astype(int)
    return 16 * image[0, 0] + image[0, 27], 16 * image[33, 6] + image[33, 33]


def test_digits_lie_where_their_labels_say(tmp_path):
    images, labels = write_npz(tmp_path)
    for split in SPLITS:
        for example in map(small(tmp_path, split).__getitem__, range(30)):
            left, right = numbers(example)
            canvas = np.zeros((2, 36, 36), np.uint8)
            canvas[0, :28, :28], canvas[1, 6:34, 6:34] = images[left], images[right]
            np.testing.assert_array_equal(example["image"][..., 0], canvas.max(0))
            assert left != right
            assert example["label_left"] == labels[left] and example["label_right"] == labels[right]


def test_no_picture_is_in_two_splits_and_all_are_used(tmp_path):
    write_npz(tmp_path)
    used = {}
    for split in SPLITS:
        examples = source(tmp_path, split, train=600, validation=200, test=200)
        used[split] = {number for i in range(len(examples)) for number in numbers(examples[i])}
    assert used == {"train": set(range(80)), "validation": set(range(80, 100)), "test": set(range(100, 120))}


def test_testing_uses_the_test_file_where_there_is_one(tmp_path):
    write_npz(tmp_path)
    other, _ = write_npz(tmp_path, "mnist_test.npz", count=20, seed=1)
    used = {split: [numbers(small(tmp_path, split)[i]) for i in range(30)] for split in SPLITS}
    assert np.max(used["train"]) < 100 <= np.min(used["validation"])
    left, _ = used["test"][0]
    np.testing.assert_array_equal(small(tmp_path, "test")[0]["image"][:6, :28, 0], other[left, :6])


def test_pairs_depend_on_split_index_and_seed_alone(tmp_path):
    write_npz(tmp_path)
    one, again = small(tmp_path), small(tmp_path)
    pairs = [numbers(one[i]) for i in range(60)]
    assert [numbers(again[i]) for i in reversed(range(60))] == pairs[::-1]
    assert [numbers(source(tmp_path, train=5)[i]) for i in range(5)] == pairs[:5]
    assert len(set(pairs)) > 50
    assert [numbers(small(tmp_path, seed=1)[i]) for i in range(60)] != pairs


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_files_are_the_same_data(tmp_path, zipped):
    (tmp_path / "npz").mkdir()
    (tmp_path / "idx").mkdir()
    write_npz(tmp_path / "npz")
    write_idx(tmp_path / "idx", zipped=zipped)
    write_npz(tmp_path / "npz", "mnist_test.npz", 24, seed=1)
    write_idx(tmp_path / "idx", "t10k", 24, seed=1, zipped=zipped)
    for split, i in itertools.product(SPLITS, range(5)):
        one, other = (small(tmp_path / kind, split)[i] for kind in ("npz", "idx"))
        assert one.keys() == other.keys()
        for field in one:
            np.testing.assert_array_equal(one[field], other[field])


def test_a_digit_and_a_piece_of_clothing(tmp_path):
    (tmp_path / "mnist").mkdir()
    left, _ = write_idx(tmp_path / "mnist")
    right, labels = write_npz(tmp_path, "fashion_train30k.npz", count=36, seed=1)
    mixed = small(tmp_path, right="fashion")
    assert mixed.info.class_names["label_left"][9] == "9"
    assert mixed.info.class_names["label_right"][9] == "ankle boot"
    for i in range(20):
        one, other = numbers(mixed[i])
        np.testing.assert_array_equal(mixed[i]["image"][:6, :28, 0], left[one, :6])
        np.testing.assert_array_equal(mixed[i]["image"][28:34, 6:34, 0], right[other, 22:])
        assert mixed[i]["label_right"] == labels[other]
    assert any(one == other for one, other in (numbers(mixed[i]) for i in range(60)))  # of different sets: allowed


def test_size_and_channels(tmp_path):
    write_npz(tmp_path)
    whole, resized = small(tmp_path)[3], small(tmp_path, size=28, channels=3)[3]
    assert resized["image"].shape == (28, 28, 3) and resized["image"].dtype == np.uint8
    assert (resized["image"] == resized["image"][..., :1]).all()
    expected = Image.fromarray(whole["image"][..., 0]).resize((28, 28), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(resized["image"][..., 0], np.asarray(expected))
    assert abs(resized["image"].mean() - whole["image"].mean()) < 2


def test_a_batch_has_classes_as_integers(tmp_path):
    write_npz(tmp_path)
    batch = pipeline.batch_at(small(tmp_path), 8, 0, 0)
    assert batch["label_left"].dtype == batch["label_right"].dtype == np.int32
    assert batch["image"].shape == (8, 36, 36, 1) and batch["valid"]["label_right"].all()


def refusal(path, split="train", **params):
    with pytest.raises(ValueError) as caught:
        source(path, split, **params)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_folders_without_the_files(tmp_path):
    tree = (
        "expected there: mnist_train*.npz (x: uint8 [N, 28, 28], y: uint8 [N]) "
        "or train-{images-idx3,labels-idx1}-ubyte[.gz]"
    )
    assert refusal(tmp_path / "no") == f"data.path: {str(tmp_path / 'no')!r} is missing; {tree}"
    assert refusal(tmp_path) == f"data.path: {str(tmp_path)!r} is empty; {tree}"
    (tmp_path / "notes.txt").write_text("")
    assert refusal(tmp_path) == f"data.path: {str(tmp_path)!r} has only notes.txt; {tree}"
    assert "is not a directory; expected" in refusal(tmp_path / "notes.txt")
    write_idx(tmp_path)
    assert "mnist/train-{images" in refusal(tmp_path, right="fashion")  # whose are the files beside each other?
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    assert refusal(tmp_path) == f"data.path: {str(tmp_path)!r} lacks train-labels-idx1-ubyte; {tree}"
    write_npz(tmp_path)
    write_npz(tmp_path, "mnist_train2.npz")
    assert "has both mnist_train.npz and mnist_train2.npz" in refusal(tmp_path)


def test_half_a_test_set_is_named(tmp_path):
    write_idx(tmp_path)
    write_idx(tmp_path, "t10k")
    (tmp_path / "t10k-images-idx3-ubyte").unlink()
    assert "lacks t10k-images-idx3-ubyte" in refusal(tmp_path)


@pytest.mark.parametrize("zipped", [False, True])
def test_damaged_idx_files(tmp_path, zipped):
    write_idx(tmp_path, zipped=zipped)
    file = next(tmp_path.glob("*images*"))
    file.write_bytes(file.read_bytes()[:-1000])
    start = f"data.path: cannot read {file}: "
    reason = "EOFError" if zipped else f"has {120 * 784 - 1000} values, its header says {120 * 784}"
    assert refusal(tmp_path).startswith(start + reason)
    file.write_bytes(b"not gzip" if zipped else bytes(400))
    assert refusal(tmp_path).startswith(start + ("Not a gzipped" if zipped else "begins with 0x00000000, expected"))
    file.write_bytes(gzip.compress(b"") if zipped else b"")
    assert refusal(tmp_path) == start + "0 bytes are fewer than a header has"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": digits(60)[0]}, "y is not a file in the archive"),
        ({"x": digits(60)[0].reshape(60, 784), "y": digits(60)[1]}, "are uint8 [60, 784], expected uint8 [N, 28, 28]"),
        ({"x": digits(60)[0] / 255, "y": digits(60)[1]}, "images of "),
        ({"x": digits(60)[0], "y": digits(60)[1].astype(int)}, "are int64 [60], expected uint8 [N]"),
        ({"x": digits(60)[0], "y": digits(61)[1]}, "has 60 pictures, but 61 labels"),
        ({"x": digits(60)[0], "y": digits(60)[1] + np.uint8(1)}, "has a label 10, expected 0 to 9"),
        ({"x": digits(60)[0], "y": np.array([None] * 60)}, "Object arrays cannot be loaded"),
        ({"x": digits(11)[0], "y": digits(11)[1]}, "are too few; a split needs 12 or more"),
    ],
)
def test_archives_with_other_arrays(tmp_path, arrays, message):
    np.savez(tmp_path / "mnist_train.npz", **arrays)
    assert message in refusal(tmp_path)
    assert str(tmp_path / "mnist_train.npz") in refusal(tmp_path)


def test_a_damaged_archive(tmp_path):
    write_npz(tmp_path)
    file = tmp_path / "mnist_train.npz"
    file.write_bytes(file.read_bytes()[:-500])
    assert refusal(tmp_path).startswith(f"data.path: cannot read {file}: ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 4}, "size=4"),
        ({"channels": 2}, "channels=2"),
        ({"test": 0}, "test=0"),
        ({"seed": -1}, "seed=-1"),
        ({"siz": 3}, "did you mean 'size'"),
    ],
)
def test_bad_values(tmp_path, change, message):
    write_npz(tmp_path)
    assert message in refusal(tmp_path, **change)


@pytest.mark.skipif(not REAL.is_dir(), reason="no ../shared/data/mnist beside the project")
def test_the_real_files():
    both = source(REAL, "test", right="fashion")
    with np.load(REAL / "mnist_train.npz", allow_pickle=False) as archive:
        images, labels = archive["x"][-10000:], archive["y"][-10000:]
    for i in range(3):
        corner = both[i]["image"][:6, :28, 0]
        alike = labels[(images[:, :6] == corner).all((1, 2))]
        assert both[i]["label_left"] in alike

"""Data sets of TFDS: features become fields, pictures of any size become squares, and errors are one line."""

import numpy as np
import pytest

from mtjax import data
from mtjax.data import pipeline

NAME = "digit_scenes/32px_30_8_8"
FEATURES = {
    "image": "image", "label": "label", "segments": "segments", "boxes": "objects/bbox", "box_labels": "objects/label",
}  # fmt: skip


def build(path, split="train", **params):
    return data.build({"source": "tfds", "name": NAME, "data_dir": str(path), **params}, split)


def test_image_and_label_as_they_are(scenes, scenes_dir):
    source, original = build(scenes_dir, size=32), scenes("train")
    assert source.info.fields == {"image": (32, 32, 3), "label": ()}
    assert source.info.class_names["label"] == original.info.class_names["label"]
    for i in range(len(original)):
        np.testing.assert_array_equal(source[i]["image"], original[i]["image"])
        assert source[i]["label"] == original[i]["label"]


def test_nested_features_move_with_the_image(scenes, scenes_dir):
    source, original = build(scenes_dir, size=32, features=FEATURES, max_boxes=5), scenes("train")
    for i in range(len(original)):
        np.testing.assert_array_equal(source[i]["segments"], original[i]["segments"])
        np.testing.assert_allclose(source[i]["boxes"][:3], original[i]["boxes"], atol=1e-6)
        np.testing.assert_array_equal(source[i]["box_labels"], [*original[i]["box_labels"], -1, -1])
    batch = pipeline.batch_at(build(scenes_dir, size=16, features=FEATURES), 4, 0, 0)
    assert batch["image"].shape == (4, 16, 16, 3) and batch["segments"].shape == (4, 16, 16)


def test_longer_pictures_are_cropped_at_random_in_training_and_centrally_in_evaluation(scenes_dir):
    source = build(scenes_dir, size=32, features=FEATURES)
    wide = {
        "image": np.tile(np.arange(64, dtype=np.uint8)[None, :, None], (32, 1, 3)),
        "segments": np.tile(np.arange(64, dtype=np.uint8), (32, 1)),
        "boxes": np.float32([[0.25, 0.375, 0.5, 0.625], [0, 0, 1, 0.125]]),
        "box_labels": np.int32([3, 7]),
    }
    source.reader.load = lambda index: wide
    center = source[0]
    assert center["image"][0, 0, 0] == center["segments"][0, 0] == 16
    np.testing.assert_allclose(center["boxes"][0], [0.25, 0.25, 0.5, 0.75])
    assert center["box_labels"].tolist() == [3] + [-1] * 15
    lefts = {int(source.sample(0, np.random.default_rng(k))["image"][0, 0, 0]) for k in range(50)}
    assert min(lefts) < 4 and max(lefts) > 28


def test_gray(scenes_dir):
    assert build(scenes_dir, channels=1)[0]["image"].shape == (64, 64, 1)


def test_other_splits(scenes_dir):
    splits = {"train": "train[:20]", "validation": "train[20:]"}
    assert [len(build(scenes_dir, split, splits=splits)) for split in ("train", "validation", "test")] == [20, 10, 8]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "digit_scenez"}, "data.name='digit_scenez': cannot open"),
        ({"splits": {"train": "trein"}}, "no split 'trein'; it has train, validation, test"),
        ({"features": {"image": "imag"}}, "no feature 'imag'; did you mean 'image'"),
        ({"features": {"boxes": "objects/box", "image": "image"}}, "no feature 'objects/box'; did you mean"),
        ({"features": {"picture": "image"}}, "unknown key data.features.picture"),
        ({"features": {"label": "label"}}, "needs an image"),
        ({"name": "tests.nowhere:Builder"}, "cannot open the data set"),
        ({"size": 0}, "size=0"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(scenes_dir, change, message):
    with pytest.raises(ValueError, match=message) as caught:
        build(scenes_dir, **change)
    assert "\n" not in str(caught.value)


def test_a_picture_that_cannot_be_read_is_named(scenes_dir):
    source = build(scenes_dir)

    class Broken:
        def __getitem__(self, index):
            raise OSError("image file is truncated")

    source._examples = Broken()
    with pytest.raises(ValueError, match=f"{NAME} train: cannot read example 3: image file is truncated"):
        source[3]


def test_a_picture_that_cannot_be_read_is_skipped_if_wanted(scenes_dir):
    source = build(scenes_dir, on_error="skip")
    load = source.reader.load

    def broken(index):
        if index == 3:
            raise OSError("image file is truncated")
        return load(index)

    source.reader.load = broken
    assert source[3] == {}
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(source.sample(3, rng)["image"], source[4]["image"])
    assert list(source.reader.skipped) == [3]

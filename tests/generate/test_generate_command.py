"""What is asked for and what is shown: labels, the picture, the classifier, and the words of the command line."""

import dataclasses
import functools

import numpy as np
import pytest

from mtjax.data.fields import Source, SourceInfo
from mtjax.generate.classifier import Classifier, train_classifier
from mtjax.generate.labels import class_counts, in_turn
from mtjax.generate.sheet import sheet, write
from mtjax.registry import ConfigError
from mtjax.samples import accuracy, chosen, measures, number, pictures

INFO = SourceInfo(
    name="stripes",
    fields={"image": (8, 8, 1), "label": ()},
    class_names={"label": ("rows", "columns")},
    image_shape=(8, 8, 1),
)


class Stripes(Source):
    """Noisy stripes of one of two directions; every fifth has no label."""

    info = INFO

    def __len__(self):
        return 48

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        label = int(rng.integers(2))
        image = np.zeros((8, 8, 1))
        image[rng.integers(2) :: 2] = 1
        image = image.transpose(1, 0, 2) if label else image
        noisy = np.clip(255 * (0.2 + 0.6 * image + 0.1 * rng.normal(size=image.shape)), 0, 255).astype(np.uint8)
        return {"image": noisy, **({} if index % 5 == 0 else {"label": np.int32(label)})}


@functools.cache
def judge() -> Classifier:
    return train_classifier(Stripes(), {}, steps=30)


def test_all_classes_come_about_as_often():
    labels = in_turn(64, {"left": 10, "right": 10})
    for values in labels.values():
        counts = np.bincount(np.asarray(values), minlength=10)
        assert counts.min() >= 5 and counts.max() <= 8
    assert (np.diff(labels["left"]) >= 0).all()
    assert len(set(zip(*map(np.asarray, labels.values()), strict=True))) > 40
    assert in_turn(3, {}) == {}


def test_a_given_field_without_classes_is_named():
    assert class_counts(INFO, ("label",)) == {"label": 2}
    with pytest.raises(ConfigError, match="unknown given 'labels'; did you mean 'label'"):
        class_counts(INFO, ("labels",))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_sheet_shows_every_image_in_order(channels, tmp_path):
    images = np.broadcast_to(np.linspace(0, 1, 5)[:, None, None, None], (5, 32, 48, channels))
    page = sheet(images)
    assert page.dtype == np.uint8 and page.shape == (2 * 33 + 1, 3 * 49 + 1, 3)
    found = [page[17 + 33 * (i // 3), 25 + 49 * (i % 3)] for i in range(5)]
    np.testing.assert_array_equal(found, np.round(np.linspace(0, 255, 5))[:, None].repeat(3, 1))
    write(tmp_path / "new" / "sheet.png", images)
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["sheet.png"]


def test_the_classifier_learns_and_its_measures_know_a_class():
    images, labels = pictures(Stripes(), 40, {}, {})
    assert labels == {} and images.shape == (40, 8, 8, 1)  # some of them have no label
    rows, truth = pictures(Stripes(), 100, {}, {"label": 0})
    columns, _ = pictures(Stripes(), 100, {}, {"label": 1})
    features, found = judge()(rows)
    assert features.shape == (len(rows), 64) and (truth["label"] == 0).all()
    assert accuracy(found, truth)["label"] > 0.9 and accuracy(judge()(columns)[1], {"label": 1})["label"] > 0.9
    same, other = (measures(judge(), rows, made, {"label": 0}) for made in (rows, columns))
    assert same["frechet_distance"] < 1e-3 < other["frechet_distance"]
    assert same["kernel_distance"] < other["kernel_distance"]
    assert (same["precision"], same["recall"], other["precision"]) == (1, 1, 0)
    assert same["accuracy of label"] > 0.9 > 0.1 > other["accuracy of label"]


def test_a_source_without_classes_trains_no_classifier():
    source = Stripes()
    source.info = dataclasses.replace(INFO, class_names={})
    with pytest.raises(ValueError, match="stripes has no field with a class"):
        train_classifier(source, {})


def test_labels_are_words_or_numbers():
    two = dataclasses.replace(INFO, class_names={"label": ("rows", "columns"), "digit": tuple("0123456789")})
    assert chosen("columns", ("label",), two) == chosen("1", ("label",), two) == {"label": 1}
    assert chosen("rows, 7", ("label", "digit"), two) == {"label": 0, "digit": 7}
    assert number("2", ("label",)) == 2


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: chosen("colums", ("label",), INFO), "unknown --label 'colums'; did you mean 'columns'"),
        (lambda: chosen("1,2", ("label",), INFO), "expected a class each of label"),
        (lambda: chosen("1", (), INFO), "told no classes"),
        (lambda: number("much", ("label",)), "--guidance=much is no number"),
        (lambda: number("2", ()), "told no classes"),
    ],
)
def test_what_cannot_be_asked_for_is_named_in_one_line(ask, message):
    with pytest.raises(ConfigError, match=message) as caught:
        ask()
    assert "\n" not in str(caught.value)

"""Several sources as one: whose turn it is, what an example lacks, and sources that do not fit together."""

import math
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mtjax import config, data
from mtjax.data import pipeline
from mtjax.data.fields import Source, SourceInfo

NAMES = {"label": ("no", "yes"), "kind": ("a", "b", "c")}


class Numbers(Source):
    """Pictures of value `start`, `start + 1`, ..., with the label fields that it is told to have."""

    def __init__(self, start, count, labels, side, wide, names, shape):
        self.start, self.count, self.labels, self.wide = start, count, labels, wide
        fields = {"image": (side, side, 1), **dict.fromkeys(labels, shape)}
        classes = {field: names[field] for field in labels if field in names}
        self.info = SourceInfo("numbers", fields, classes, (side, side, 1), wide=wide)

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        image = np.full(self.info.image_shape, self.start + index)
        image = (image / 255).astype(np.float32) if self.wide else image.astype(np.uint8)
        return {"image": image, **{field: np.full(self.info.fields[field], 1) for field in self.labels}}

    def sample(self, index, rng):
        return {**self[index], **{field: np.full((), rng.integers(2)) for field in self.labels}}


def numbers(split, /, *, start, counts, labels=(), side=2, wide=False, names=NAMES, shape=()):
    count = dict(zip(("train", "validation", "test"), counts, strict=True))[split]
    return Numbers(start, count, labels, side, wide, names, shape)


HERE = f"{__name__}:numbers"
A = {"source": HERE, "start": 0, "counts": (7, 3, 2), "labels": ("label",)}
B = {"source": HERE, "start": 100, "counts": (4, 2, 3), "labels": ("label", "kind")}
C = {"source": HERE, "start": 200, "counts": (2, 1, 1)}
SMALL = {"source": "digit_scenes", "size": 32, "train": 30, "validation": 8, "test": 8}


def mixture(split: str = "train", proportions: Any = None, rename: Any = {}, **parts: Any):
    return data.build({"source": "mixture", "parts": parts, "proportions": proportions, "rename": rename}, split)


def drawn(source, seed=0, count=200, size=1):
    """The first examples of training, by the value of their pictures."""
    batches = [pipeline.batch_at(source, size, seed, k) for k in range(count // size)]
    return np.concatenate([batch["image"][:, 0, 0, 0] for batch in batches]).astype(int)


@pytest.mark.parametrize(
    ("weights", "period"),
    [
        ({"a": 0.7, "b": 0.3}, 10),
        ({"a": 3, "b": 1}, 4),
        ({"a": 0.1, "b": 0.2, "c": 0.4}, 7),
        ({"a": 0.04, "b": 0.96}, 25),
        (None, 13),
    ],
)
def test_each_period_has_exactly_its_share_of_each_part(weights, period):
    parts: dict[str, Any] = {name: part for name, part in (("a", A), ("b", B), ("c", C)) if name in (weights or "abc")}
    source = mixture(proportions=weights, **parts)
    count = 6 * period
    part = drawn(source, count=count).reshape(-1, period) // 100
    shares = weights or {"a": 7, "b": 4, "c": 2}
    wanted = [round(share * period / sum(shares.values())) for share in shares.values()]
    for number, share in enumerate(wanted):
        np.testing.assert_array_equal((part == number).sum(1), share)
        taken = np.cumsum(part.ravel() == number)  # and within a period none waits long
        assert np.abs(taken - np.arange(1, count + 1) * share / period).max() < len(parts)


def test_each_part_is_visited_evenly_in_an_order_of_its_own():
    source = mixture(a=A, b=B, proportions={"a": 0.5, "b": 0.5})
    values = drawn(source, count=2 * 28)
    a, b = values[values < 100].reshape(4, 7), values[values >= 100].reshape(7, 4)
    np.testing.assert_array_equal(np.sort(a, 1), np.tile(np.arange(7), (4, 1)))
    np.testing.assert_array_equal(np.sort(b, 1), np.tile(np.arange(100, 104), (7, 1)))
    assert len({tuple(epoch) for epoch in a}) == 4
    twins = mixture(a=A, b={**A, "start": 100}, proportions={"a": 1, "b": 1})
    values = drawn(twins, count=28)
    assert (values[values < 100] != values[values >= 100] - 100).any()


def test_by_size_an_epoch_has_each_example_once():
    source = mixture(a=A, b=B, c=C)
    assert len(source) == 13
    epochs = np.sort(drawn(source, count=39).reshape(3, 13), 1)
    np.testing.assert_array_equal(epochs, [[*range(7), *range(100, 104), 200, 201]] * 3)


def test_example_k_is_a_function_of_seed_and_k():
    def make():
        return mixture(a=A, b=B, proportions={"a": 0.6, "b": 0.4})

    one = drawn(make(), seed=3, count=24)
    np.testing.assert_array_equal(drawn(make(), seed=3, count=24, size=4), one)
    np.testing.assert_array_equal(pipeline.batch_at(make(), 4, 3, 5)["image"][:, 0, 0, 0], one[20:24])
    assert (drawn(make(), seed=4, count=24) != one).any()


def test_training_resumes_in_the_middle_on_another_number_of_processes():
    source = mixture(a=A, b=B, proportions={"a": 0.6, "b": 0.4})
    whole = pipeline.TrainBatches(source, 4, seed=1)
    run = [next(whole) for _ in range(9)]
    whole.close()
    halves = [pipeline.TrainBatches(source, 4, 1, start_step=6, shard=(process, 2)) for process in range(2)]
    for step in (6, 7, 8):
        parts = [next(half) for half in halves]
        for field in ("image", "label", "kind", "index", "position"):
            np.testing.assert_array_equal(np.concatenate([part[field] for part in parts]), run[step][field])
    for half in halves:
        half.close()


def test_what_a_part_lacks_is_zero_and_not_valid():
    batch = pipeline.batch_at(mixture(c=C, a=A, b=B), 13, 0, 0)
    part = batch["image"][:, 0, 0, 0] // 100
    np.testing.assert_array_equal(batch["valid"]["image"], True)
    np.testing.assert_array_equal(batch["valid"]["label"], part < 2)
    np.testing.assert_array_equal(batch["valid"]["kind"], part == 1)
    for field in ("label", "kind"):
        assert batch[field].dtype == np.int32
        assert (batch[field][~batch["valid"][field]] == 0).all()
    source = mixture(c=C, a=A, b=B)
    assert source.info.class_names == NAMES and set(source.info.fields) == {"image", "label", "kind"}


@pytest.mark.parametrize(("split", "expected"), [("validation", [0, 1, 2, 100, 101]), ("test", [0, 1, 100, 101, 102])])
def test_evaluation_sees_each_example_once_whatever_the_proportions(split, expected):
    source = mixture(split, a=A, b=B, proportions={"a": 0.99, "b": 0.01})
    batches = list(pipeline.eval_batches(source, 2))
    valid = np.concatenate([batch["valid"]["image"] for batch in batches])
    values = np.concatenate([batch["image"][:, 0, 0, 0] for batch in batches])
    np.testing.assert_array_equal(values[valid], expected)
    label = np.concatenate([batch["valid"]["kind"] for batch in batches])
    np.testing.assert_array_equal(values[label], [value for value in expected if value >= 100])


def test_a_part_with_wide_images_makes_all_of_them_wide():
    source = mixture(a=A, b={**B, "wide": True})
    batch = pipeline.batch_at(source, 11, 0, 0)
    assert source.info.wide and batch["image"].dtype == np.float32
    values = np.sort(np.round(batch["image"][:, 0, 0, 0] * 255).astype(int))
    np.testing.assert_array_equal(values, [*range(7), *range(100, 104)])


def test_a_mixture_in_a_mixture_keeps_its_proportions():
    inner = {"source": "mixture", "parts": {"b": B, "c": C}, "proportions": {"b": 0.75, "c": 0.25}}
    for rename in ({}, {"rest": {"kind": "size"}}):
        source = mixture(a=A, rest=inner, proportions={"a": 0.2, "rest": 0.8}, rename=rename)
        np.testing.assert_array_equal(np.bincount(drawn(source, count=50) // 100), [10, 30, 10])
    by_size = mixture(a=A, rest=inner)
    assert (drawn(by_size, count=26) // 100 == 0).sum() == 14


OTHER = {"label": ("cat", "dog", "cow"), "kind": ()}


def test_classes_that_differ_are_told_apart_by_new_names():
    parts: dict[str, Any] = {"a": A, "b": {**B, "names": OTHER}}
    with pytest.raises(config.ConfigError, match="field 'label' must have the same classes"):
        mixture(**parts)
    source = mixture(**parts, rename={"b": {"label": "animal", "kind": "size"}})
    assert source.info.class_names["label"] == NAMES["label"] and source.info.class_names["animal"] == OTHER["label"]
    assert set(source.info.fields) == {"image", "label", "animal", "size"}
    seen = [pipeline.batch_at(source, 11, 0, 0), next(iter(pipeline.eval_batches(source, 11)))]
    for batch in seen:  # in training as in evaluation
        part = batch["image"][:, 0, 0, 0] // 100
        np.testing.assert_array_equal(batch["valid"]["label"], part == 0)
        np.testing.assert_array_equal(batch["valid"]["animal"], part == 1)
        assert batch["animal"].dtype == np.int32
    same = [pipeline.batch_at(mixture(a=A, b=B, rename=r), 11, 0, 0)["index"] for r in ({}, {"b": {"label": "animal"}})]
    np.testing.assert_array_equal(*same)  # the order of training does not depend on names


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        ({"bb": {"label": "animal"}}, "unknown key data.rename.bb; did you mean 'b'?"),
        ({"b": {"labels": "animal"}}, "unknown key data.rename.b.labels; did you mean 'label'?"),
        ({"b": {"label": 3}}, "data.rename.b.label must be a name of letters, digits and underscores, got 3"),
        ({"b": {"label": "kind"}}, "data.rename.b calls both 'label' and 'kind' 'kind'; expected a name for each"),
        ({"b": {"image": "photo"}}, "data.rename.b: 'image' cannot be called 'photo'; one of them is read by its own"),
        ({"b": {"label": "flow"}}, "data.rename.b: 'label' cannot be called 'flow'; one of them is read by its own"),
        ({"b": {"label": "depth"}}, "data.rename.b: 'label' cannot be called 'depth'; one of them is read by its own"),
    ],
)
def test_bad_names(rename, message):
    assert refusal(a=A, b=B, rename=rename).startswith(message)


def test_digits_on_photographs_with_pairs_of_digits(scenes_dir, tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "mnist_train.npz", x=rng.integers(0, 256, (36, 28, 28), np.uint8), y=np.zeros(36, np.uint8))
    pairs = {"source": "multi_mnist", "path": str(tmp_path), "size": 32, "channels": 3}
    scenes = {**SMALL, "data_dir": str(scenes_dir)}
    source = mixture(pairs=pairs, scenes=scenes, proportions={"pairs": 0.7, "scenes": 0.3})
    batch = pipeline.batch_at(source, 40, 0, 0)
    assert batch["valid"]["label_left"].sum() == 28 and batch["valid"]["depth"].sum() == 12
    np.testing.assert_array_equal(batch["valid"]["label_left"], ~batch["valid"]["segments"])


def refusal(**params):
    with pytest.raises(ValueError) as caught:
        mixture(**params)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_parts_that_do_not_fit_together():
    shape = "data.parts: field 'image' must have one shape, but is 2×2×1 in a, 3×3×1 in b"
    assert refusal(a=A, b={**B, "side": 3}) == shape
    odd = {"label": ("no", "perhaps"), "kind": ()}
    classes = "field 'label' must have the same classes, but has 2 (no, yes) in a, 2 (no, perhaps) in b"
    assert refusal(a=A, b={**B, "names": odd}) == f"data.parts: {classes}; data.rename can tell them apart"
    assert "2 (no, yes) in a, none in b" in refusal(a=A, b={**B, "names": {}})
    assert "field 'label' must have one shape, but is one number in a, 2 in b" in refusal(a=A, b={**B, "shape": (2,)})


@pytest.mark.parametrize(
    ("proportions", "message"),
    [
        ({"a": 0.7}, "data.proportions.b is missing; expected a number for each of a, b"),
        ({"a": 0.7, "b": 0.2, "bb": 0.1}, "unknown key data.proportions.bb; did you mean 'b'?"),
        ({"a": 1, "b": 0}, "data.proportions.b must be a number greater than 0, got 0"),
        ({"a": -1.0, "b": 1}, "data.proportions.a must be a number greater than 0, got -1.0"),
        ({"a": math.inf, "b": 1}, "data.proportions.a must be a number greater than 0, got inf"),
        ({"a": math.nan, "b": 1}, "data.proportions.a must be a number greater than 0, got nan"),
        ({"a": "half", "b": 1}, "data.proportions.a must be a number greater than 0, got 'half'"),
    ],
)
def test_bad_proportions(proportions, message):
    assert refusal(a=A, b=B, proportions=proportions) == message


def test_what_is_wrong_with_a_part_is_said_of_it(tmp_path):
    assert refusal().startswith("data.parts is empty; expected names and sources")
    assert refusal(a=A, b={**B, "counts": (0, 1, 1)}) == "data.parts.b: the train split is empty"
    assert refusal(a=A, b={"source": "folder", "path": "/nowhere"}) == "data.parts.b: data.path: '/nowhere' is missing"
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "only.png")
    assert refusal(a=A, b={"source": "folder", "path": str(tmp_path), "size": 2}).startswith("data.parts.b: data.path:")


def resolved(*arguments, **parts):
    raw = {
        "data": {"source": "mixture", "parts": parts, "proportions": {"scenes": 0.7, "photos": 0.3}},
        "tasks": {"digit": {"kind": "classification", "observation": "seen"}},
        "observations": {"seen": {"operator": {"kind": "identity"}, "noise": {"kind": "gaussian"}}},
    }
    return config.resolve(raw, arguments)[0].data


SCENES, PHOTOS = {"source": "digit_scenes", "size": 32}, {"source": "folder", "path": "photos"}


def test_a_config_completes_the_parts():
    whole = resolved(scenes=SCENES, photos=PHOTOS)
    assert whole.parts.scenes.train == 3000 and whole.parts.photos.crops == 1 and whole.parts.photos.size == 64
    changed = resolved(
        "--config.data.parts.photos.path=mine",
        "--config.data.parts.scenes.size=48",
        "--config.data.proportions.photos=1",
        scenes=SCENES,
        photos={"source": "folder"},
    )
    assert changed.parts.photos.path == "mine" and changed.parts.scenes.size == 48 and changed.proportions.photos == 1
    other = resolved("--config.data.parts.photos.source=digit_scenes", scenes=SCENES, photos=PHOTOS)
    assert other.parts.photos.to_dict() == {**other.parts.scenes.to_dict(), "size": 64}


@pytest.mark.parametrize(
    ("parts", "arguments", "message"),
    [
        ({"scenes": {**SCENES, "siz": 3}}, (), "unknown parameter of 'digit_scenes' 'siz' in data.parts.scenes; "),
        ({"scenes": {"size": 3}}, (), "data.parts.scenes.source is missing; there is camvid, "),
        ({"scenes": {"source": "folders"}}, (), "unknown data.parts.scenes.source 'folders'; did you mean 'folder'?"),
        ({"photos": {"source": "folder"}}, (), "data.parts.photos.path is missing; --config.data.parts.photos.path="),
        ({"scenes": {**SCENES, "size": "big"}}, (), "data.parts.scenes.size must be an integer, got 'big'"),
        ({"scenes": {**SCENES, "batch_size": 3}}, (), "unknown parameter of 'digit_scenes' 'batch_size'"),
        ({"a.b": SCENES}, (), "data.parts has the name 'a.b'"),
        ({"scenes": "digit_scenes"}, (), "data.parts.scenes must be a mapping"),
        ({"scenes": SCENES}, ("--config.data.parts.scene.size=3",), "unknown key 'scene' in data.parts "),
    ],
)
def test_a_misspelt_part_of_a_config_is_one_line(parts, arguments, message):
    with pytest.raises(config.ConfigError) as caught:
        resolved(*arguments, **parts)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)

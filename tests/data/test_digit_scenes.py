"""digit_scenes: what it says of a picture is true, it is always the same, and its splits share nothing."""

import subprocess
import sys

import numpy as np
import pytest

from mtjax import data
from mtjax.data.sources.digit_scenes_builder import SPLITS, load_material
from mtjax.data.sources.scenes import LAYERS, compose

SCENES = {"source": "digit_scenes", "size": 32, "train": 30, "validation": 8, "test": 8}  # as in conftest.py
SMALL = {"source": "digit_scenes", "size": 16, "train": 3, "validation": 2, "test": 2}
SPLIT_NAMES = ("train", "validation", "test")


def examples(source):
    return [source[i] for i in range(len(source))]


def test_splits_share_neither_photographs_nor_digits(scenes):
    photographs, digits = {}, {}
    for split in SPLIT_NAMES:
        raw = [scenes(split)._examples[i] for i in range(len(scenes(split)))]
        photographs[split] = {example["photograph"] for example in raw}
        digits[split] = {int(d) for example in raw for d in example["digit_ids"]}
        owned = {path.rsplit("/", 1)[-1] for _, path, _ in SPLITS[split][0]}
        assert photographs[split] <= {p.encode() for p in owned} | owned
        assert digits[split] <= set(SPLITS[split][1])
    for one, other in [("train", "validation"), ("train", "test"), ("validation", "test")]:
        assert not photographs[one] & photographs[other]
        assert not digits[one] & digits[other]
        assert not set(SPLITS[one][1]) & set(SPLITS[other][1])
        assert not {p for _, p, _ in SPLITS[one][0]} & {p for _, p, _ in SPLITS[other][0]}


def test_every_split_knows_every_digit_and_has_color():
    for split in SPLIT_NAMES:
        material = load_material(split)
        assert set(material.digit_classes) == set(range(10))
        colorful = [np.ptp(np.asarray(p), axis=-1).mean() > 10 for p, _ in material.photographs.values()]
        assert any(colorful)


def test_made_twice_in_two_places_it_is_the_same(scenes, tmp_path):
    again = data.build({**SCENES, "data_dir": str(tmp_path)}, "train")
    for one, other in zip(examples(scenes("train")), examples(again), strict=True):
        for field in one:
            np.testing.assert_array_equal(one[field], other[field])


def test_counts_shapes_and_types(scenes):
    for split, count in zip(SPLIT_NAMES, (30, 8, 8), strict=True):
        source = scenes(split)
        assert len(source) == count
        for field, shape in source.info.fields.items():
            assert source[0][field].shape == shape
        assert source[0]["image"].dtype == np.uint8


def test_labels_agree_with_each_other(scenes):
    for example in examples(scenes("train")):
        instances, segments = example["instances"].astype(int), example["segments"].astype(int)
        present = example["box_labels"] >= 0
        assert set(np.unique(instances)) == {0, *(np.flatnonzero(present) + 1)}
        areas = []
        for k in np.flatnonzero(present):
            rows, columns = np.nonzero(instances == k + 1)
            tight = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
            np.testing.assert_allclose(example["boxes"][k] * 32, tight, atol=1e-4)
            assert set(segments[rows, columns]) == {example["box_labels"][k] + 1}
            areas.append(len(rows))
        assert not example["boxes"][~present].any()
        assert np.argmax(areas) == 0  # the first is the largest ...
        assert example["label"] == example["box_labels"][0]
        assert (segments == 0)[instances == 0].all()
        layers = example["depth"] * LAYERS  # ... and the nearest
        assert (layers[instances > 0] == instances[instances > 0]).all()
        assert (layers[instances == 0] == LAYERS).all()


def test_boundary_is_where_instances_meet(scenes):
    for example in examples(scenes("train")):
        instances = np.pad(example["instances"].astype(int), 1, mode="edge")
        center = instances[1:-1, 1:-1]
        neighbors = [instances[:-2, 1:-1], instances[2:, 1:-1], instances[1:-1, :-2], instances[1:-1, 2:]]
        np.testing.assert_array_equal(example["boundary"] > 0, np.any([n != center for n in neighbors], 0))


def test_photographs_fill_most_of_a_picture(scenes):
    covered = np.mean([(example["instances"] > 0).mean() for example in examples(scenes("train"))])
    assert 0.02 < covered < 0.35


def test_main_digit_is_on_top_of_what_it_overlaps():
    material = load_material("test")
    for seed in range(20):
        scene = compose(np.random.default_rng(seed), 48, material)
        assert [scene.layers[scene.instances == k].min() for k in range(1, len(scene.classes) + 1)] == list(
            range(1, len(scene.classes) + 1)
        )


@pytest.mark.parametrize(
    "damage", ["truncate", "no_info", "leftover"], ids=["truncated file", "no dataset_info", "killed while preparing"]
)
def test_damaged_or_unfinished_data_is_made_again(tmp_path, damage, capfd):
    config = {**SMALL, "data_dir": str(tmp_path)}
    before = examples(data.build(config, "train"))
    root = next(tmp_path.glob("digit_scenes/*/1.*"))
    if damage == "truncate":
        file = next(root.glob("*train*"))
        file.write_bytes(file.read_bytes()[:100])
    elif damage == "no_info":
        (root / "dataset_info.json").unlink()
    else:
        leftover = root.rename(root.parent / f"incomplete.ABCDEF_{root.name}")
    capfd.readouterr()
    for one, other in zip(before, examples(data.build(config, "train")), strict=True):
        np.testing.assert_array_equal(one["image"], other["image"])
    assert "Preparing digit_scenes" in capfd.readouterr().err
    if damage == "leftover":
        assert not leftover.exists()


def test_two_processes_prepare_it_once_and_without_tensorflow(tmp_path):
    code = (
        "import sys; from mtjax import data; from mtjax.data import pipeline;"
        f"source = data.build({ {**SMALL, 'data_dir': str(tmp_path)} }, 'test');"
        "next(pipeline.TrainBatches(source, 2, 0)); print(source[0]['label']);"
        "assert not any(m.partition('.')[0] in ('tensorflow', 'torch') for m in sys.modules)"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=100) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0]
    assert "".join(errors for _, errors in outputs).count("Preparing") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 8}, "size=8"),
        ({"size": 1000}, "size=1000"),
        ({"train": 0}, "train=0"),
        ({"sizes": 3}, "did you mean 'size'"),
        ({"source": "digit_scene"}, "did you mean 'digit_scenes'"),
    ],
)
def test_bad_config_is_one_line(change, message, tmp_path):
    with pytest.raises(ValueError, match=message) as caught:
        data.build({"source": "digit_scenes", "data_dir": str(tmp_path), **change}, "train")
    assert "\n" not in str(caught.value)


def test_unknown_split(tmp_path):
    with pytest.raises(ValueError, match="did you mean 'validation'"):
        data.build({"source": "digit_scenes"}, "valdation")

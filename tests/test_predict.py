"""`mtjax predict`: any photograph, read as it is, by every task that can read one; and the files that come of it."""

import dataclasses
import functools
import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from PIL import Image

from mtjax import cli, physics
from mtjax import predict as predicting
from mtjax.facts import facts
from mtjax.models.heads.boxes import Proposals
from mtjax.photograph import Unfit, view, with_channels
from mtjax.predict import predict, reduced
from mtjax.train import Trained

RNG = np.random.default_rng(0)
TASKS = ("inpaint", "enlarge", "digit", "segment")


@functools.cache
def trained() -> Trained:
    """A network with random weights, so that every head has something to say."""
    experiment = tiny.experiment(TASKS)
    observed = physics.Observed(jnp.zeros((1, 16, 16, 3)), physics.Identity(), jnp.zeros((1, 1, 1, 1)))
    small = physics.Observed(jnp.zeros((1, 8, 8, 3)), physics.Downsample(2), jnp.zeros((1, 1, 1, 1)))
    seen = {"blurred": observed, "masked": observed, "small": small}
    shapes = jax.eval_shape(experiment.model.init, jax.random.key(0), seen)
    params = jax.tree.map(lambda leaf: jnp.asarray(0.2 * RNG.normal(size=leaf.shape), jnp.float32), shapes)
    nodes = {name: tiny.NODES[name][1] for name in TASKS}
    nodes["digit"] = {**nodes["digit"], "label": "label"}
    nodes["segment"] = {**nodes["segment"], "label": "segments"}
    return Trained(types.SimpleNamespace(tasks=nodes), experiment, params, tiny.INFO, 0)


def photo(height: int = 16, width: int = 16, channels: int = 3) -> np.ndarray:
    return RNG.random((height, width, channels)).astype(np.float32)


def test_one_call_says_what_the_network_says_of_the_photograph_as_the_observation():
    image = photo()
    result = predict(trained(), image)
    assert list(result.said) == list(TASKS) and not result.skipped
    level = {"blurred": 0.02, "masked": 0.01, "small": 0.01}
    assert result.levels == pytest.approx(level)
    operators = {
        "blurred": physics.Blur(physics.kernels.gaussian(1.0)),
        "masked": physics.Mask(jnp.ones((1, 16, 16, 1))),
        "small": physics.Downsample(2),
    }
    seen = {
        name: physics.Observed(jnp.asarray(image)[None], operator, jnp.full((1, 1, 1, 1), level[name]))
        for name, operator in operators.items()
    }
    expected = jax.jit(trained().model.apply)(trained().params, seen)
    probability = np.asarray(jax.nn.softmax(expected["digit"][0]))
    assert list(result.said["digit"].facts["probabilities"].values()) == pytest.approx(probability.tolist(), rel=1e-3)
    assert result.said["digit"].facts["class"] == ("a", "b", "c")[int(probability.argmax())]
    restored = np.round(255 * np.clip(np.asarray(expected["inpaint"][0]), 0, 1))
    assert np.abs(result.said["inpaint"].picture - restored).max() <= 1
    assert result.said["enlarge"].picture.shape == (32, 32, 3)
    assert sum(result.said["segment"].facts["shares"].values()) == pytest.approx(1, abs=1e-4)


def test_a_large_photograph_is_seen_in_tiles_for_maps_and_reduced_for_the_rest():
    image = photo(37, 50, 1)
    result = predict(trained(), image, tile=16)
    assert {name: said.how for name, said in result.said.items()} == {
        "inpaint": "in tiles of 16x16",
        "enlarge": "in tiles of 16x16",
        "digit": "whole, reduced to 22x16",
        "segment": "in tiles of 16x16",
    }
    assert result.said["inpaint"].picture.shape == result.said["segment"].picture.shape == (37, 50, 3)
    assert result.said["enlarge"].picture.shape == (74, 100, 3)
    assert np.isfinite(list(result.said["digit"].facts["probabilities"].values())).all()


SPEC = {"operator": {"kind": "blur", "std": 1.0}, "noise": {"kind": "gaussian", "sigma": 0.02}}


def test_a_clean_photograph_has_no_operator_but_one_that_changes_its_size():
    image = photo()
    assert isinstance(view(SPEC, tiny.INFO, image, "clean").operator(image.shape), physics.Identity)
    downsampled = {**SPEC, "operator": {"kind": "downsample", "factor": 2}}
    assert isinstance(view(downsampled, tiny.INFO, image, "clean").operator(image.shape), physics.Downsample)
    flat = np.full((32, 32, 3), 0.5, np.float32)
    assert view(SPEC, tiny.INFO, flat, "clean").level < 1e-6
    noisy = flat + 0.1 * RNG.normal(size=flat.shape).astype(np.float32)
    assert view(SPEC, tiny.INFO, noisy, "clean").level == pytest.approx(0.1, rel=0.2)
    assert view(SPEC, tiny.INFO, noisy).level == pytest.approx(0.02)
    drawn = {**SPEC, "noise": {"kind": "gaussian", "sigma": (0.0, 0.2)}}
    assert view(drawn, tiny.INFO, noisy).level == pytest.approx(0.1, rel=0.2)


@pytest.mark.parametrize(
    ("operator", "reason"),
    [
        ({"kind": "radon", "angles": 8}, "a radon operator does not give pictures of"),
        ({"kind": "fourier"}, "a fourier operator does not give pictures of"),
        ({"kind": "burst", "frames": 2}, "it reads a burst: give a folder of frames"),
        ({"kind": "mosaic"}, "a mosaic operator does not give pictures of"),
        ({"kind": "shift"}, "the shift operator is another for each picture"),
        ({"kind": "blur", "kernel": "random_motion", "size": 5}, "the blur operator is another for each picture"),
    ],
)
def test_what_no_photograph_can_be_is_named(operator, reason):
    with pytest.raises(Unfit, match=reason):
        view({**SPEC, "operator": operator}, tiny.INFO, photo())


def test_other_fields_are_missing_unless_the_network_learned_to_do_without():
    told = {**SPEC, "fused": ("boundary",), "given": ("label", "segments")}
    with pytest.raises(Unfit, match="it needs boundary, label, segments beside the photograph"):
        view(told, tiny.INFO, photo())
    seen = view({**told, "withheld": 0.3}, tiny.INFO, photo(20, 24)).observed(jnp.asarray(photo(20, 24)))
    assert seen.fused["boundary"].shape == (1, 20, 24, 2) and not seen.fused["boundary"].any()
    assert seen.given["segments"][0].shape == (1, 20, 24)
    assert seen.given["label"][0].shape == (1,) and not seen.given["label"][1].any()


def test_tasks_that_cannot_be_done_are_skipped_with_the_reason(monkeypatch):
    def refusing(spec, *rest):
        if spec["operator"]["kind"] == "mask":
            raise Unfit("it needs depth beside the photograph")
        return view(spec, *rest)

    monkeypatch.setattr(predicting, "view", refusing)
    result = predict(trained(), photo())
    assert result.skipped == {"inpaint": "it needs depth beside the photograph"}
    assert list(result.said) == ["enlarge", "digit", "segment"]
    monkeypatch.setattr(predicting, "view", lambda *_: (_ for _ in ()).throw(Unfit("it needs depth")))
    with pytest.raises(ValueError, match="no task can read this photograph: it needs depth"):
        predict(trained(), photo())


def test_facts_of_each_kind():
    logits = np.asarray([2.0, -1.0, 0.5], np.float32)
    names = {"present": ("cat", "dog", "owl")}
    info = dataclasses.replace(tiny.INFO, class_names=names)
    told = facts("multilabel", {"label": "present"}, info, logits)
    assert told["classes"] == ["cat", "owl"]
    np.testing.assert_allclose(list(told["probabilities"].values()), 1 / (1 + np.exp(-logits)), rtol=1e-5)
    assert facts("boundary", {}, info, np.asarray([[[1.0], [-1.0]]]))["share"] == 0.5
    assert facts("depth", {}, info, np.asarray([[[0.0], [3.0]]]))["nearest"] == pytest.approx(np.log(2), rel=1e-5)
    assert facts("new", {}, info, {"bits": np.float32(3.5), "map": np.zeros((20, 20))}) == {"bits": 3.5}
    assert facts("new", {}, info, np.asarray([1.0, np.nan])) == {"value": [1.0, None]}


def test_objects_have_a_class_a_score_and_a_box():
    batch = Proposals(
        logits=jnp.asarray([[[-9.0, 6.0], [-9.0, -9.0], [-9.0, 5.0]]]),
        centerness=jnp.full((1, 3), 9.0),
        boxes=jnp.asarray([[[2.0, 4, 10, 12], [0, 0, 1, 1], [2, 4, 10, 13]]]),
        points=jnp.zeros((1, 3, 2)),
        reach=jnp.zeros((1, 3, 2)),
        size=jnp.asarray([[16.0, 16.0]]),
    )
    proposals = jax.tree.map(lambda leaf: leaf[0], batch)
    info = dataclasses.replace(tiny.INFO, class_names={"box_labels": ("cat", "dog")})
    (only,) = facts("detection", {"label": "box_labels"}, info, proposals)["objects"]
    assert only["class"] == "dog" and only["score"] > 0.9
    assert only["box"] == pytest.approx([2 / 16, 4 / 16, 10 / 16, 12 / 16])


def test_channels_are_those_that_the_network_reads():
    gray, color = photo(4, 5, 1), photo(4, 5, 3)
    np.testing.assert_array_equal(with_channels(gray, 3), gray.repeat(3, -1))
    np.testing.assert_allclose(with_channels(color, 1)[..., 0], color @ [0.299, 0.587, 0.114], rtol=1e-5)
    with pytest.raises(ValueError, match="has 2 channels, the network reads 3"):
        with_channels(photo(4, 5, 2), 3)


def test_reducing_keeps_the_shape_of_the_photograph_and_never_enlarges():
    assert reduced(photo(40, 60), 16).shape == (16, 24, 3)
    small = photo(12, 60)
    assert reduced(small, 16) is small


def test_the_command_writes_a_picture_per_task_and_one_file_of_facts(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cli, "prepare", lambda debug: None)
    monkeypatch.setattr(predicting, "restore", lambda workdir: trained())
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.round(255 * photo()).astype(np.uint8)).save("cat.png")
    assert cli.main(["predict", "cat.png", "--workdir=anywhere"]) == 0
    out, err = capsys.readouterr()
    assert not err
    folder = tmp_path / "cat-predicted"
    assert {file.name for file in folder.iterdir()} == {*(f"{name}.png" for name in TASKS), "predictions.json"}
    for name in TASKS:
        assert f"{name}: cat-predicted/{name}.png (whole)" in out
        with Image.open(folder / f"{name}.png") as picture:
            assert picture.mode == "RGB"
    written = json.loads((folder / "predictions.json").read_text())
    assert written["height"] == written["width"] == 16 and written["observation"] == "as-trained"
    assert set(written["tasks"]["digit"]["probabilities"]) == {"a", "b", "c"}
    assert cli.main(["predict", "dog.png", "--workdir=anywhere"]) == 2
    assert "dog.png' is not a file" in capsys.readouterr().err

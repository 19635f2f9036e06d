"""Observations that the data brings along: `y` is what the field says, in training, evaluation and comparison."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from shared_data import SHARED, needs, save

from mtjax import config, data, solvers
from mtjax.compare.run import observe_cases
from mtjax.data import pipeline
from mtjax.data.augment import augment
from mtjax.train.build import build
from mtjax.train.evaluation import initial_state
from mtjax.train.step import example_keys, make_eval_step, make_train_step, observe_all

SMALL = {"operator": {"kind": "bicubic", "factor": 2}, "noise": {"kind": "gaussian", "sigma": 0.05}}
GIVEN = {**SMALL, "observed": "observed"}


def halved(image):
    """What the camera of these tests makes of an image: means of 2×2 pixels, in negative, as no operator has it."""
    height, width = image.shape[-3:-1]
    means = image.reshape(*image.shape[:-3], height // 2, 2, width // 2, 2, image.shape[-1]).mean((-4, -2))
    return 255 - np.round(means)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("pairs")
    for number, image in enumerate(np.random.default_rng(0).integers(0, 256, (5, 24, 32, 3))):
        save(root / f"{number}_HR.png", image)
        save(root / f"{number}_LR.png", halved(image))
    return root


def resolved(folder, *arguments, **changes):
    raw = {
        "data": {"source": "pairs", "path": str(folder), "factor": 2, "size": 16, "batch_size": 3},
        "observations": {"small": {**GIVEN, **changes}},
        "tasks": {"enlarge": {"kind": "super_resolution", "observation": "small", "head": {"kind": "upscale"}}},
        "model": {"encoder": {"kind": "edsr", "width": 4, "depth": 1}},
    }
    return config.resolve(raw, arguments)[0]


def built(whole):
    source = data.build(whole.data, "train")
    return source, build(whole, source.info, len(source))


def test_y_is_the_field_and_where_there_is_none_it_is_drawn(folder):
    batch = pipeline.batch_at(data.build(resolved(folder).data, "train"), 3, 0, 0)
    batch["valid"]["observed"] = np.array([True, False, True])
    batch, keys = data.to_device_batch(batch), example_keys(jax.random.key(0), jnp.arange(3))
    given, drawn = (observe_all({"small": spec}, keys, batch)["small"] for spec in (GIVEN, SMALL))
    np.testing.assert_array_equal(given.y[::2], batch["observed"][::2])
    np.testing.assert_array_equal(given.y[1], drawn.y[1])
    assert np.abs(given.y[0] - drawn.y[0]).mean() > 0.1
    np.testing.assert_array_equal(given.noise_level, drawn.noise_level)
    assert type(given.operator) is type(drawn.operator)


def test_heads_read_the_field_in_training_and_in_evaluation(folder):
    whole = resolved(folder)
    source, experiment = built(whole)
    state, batch = initial_state(experiment, whole, source), pipeline.batch_at(source, 3, 0, 0)
    train, evaluate = jax.jit(make_train_step(experiment)), jax.jit(make_eval_step(experiment))
    other = {**batch, "observed": 255 - batch["observed"]}
    first, second = (train(state, each)[1]["losses"] for each in (batch, other))
    assert np.abs(first - second).max() > 0.05  # a bicubic picture of what was given is where the head starts
    scores = [evaluate(state.params, each)[0]["enlarge/psnr"][0] for each in (batch, other)]
    assert scores[1] > scores[0] + 3


def test_solvers_are_compared_on_the_field(folder):
    source = data.build(resolved(folder).data, "test")
    case = observe_cases(source, np.arange(len(source)), "small", GIVEN, len(source))[0]
    examples = [source[i] for i in range(len(source))]
    np.testing.assert_allclose(case.observed.y, [e["observed"] / 255 for e in examples], atol=1e-6)
    enlarged = solvers.bicubic(case.observed.y, case.observed.operator).image
    truth = np.stack([e["image"] / 255 for e in examples])
    assert np.corrcoef(np.ravel(enlarged), np.ravel(truth))[0, 1] < -0.3  # a negative, which no draw would be


def test_what_was_observed_is_mirrored_with_its_image():
    image = np.random.default_rng(1).integers(0, 256, (16, 8, 12, 3)).astype(np.float32)
    batch = {"image": image, "observed": halved(image)}
    moved = augment(example_keys(jax.random.key(0), jnp.arange(16)), batch, {"flip": True})
    np.testing.assert_array_equal(halved(np.asarray(moved["image"])), moved["observed"])
    turned = [bool((a != b).any()) for a, b in zip(moved["image"], image, strict=True)]
    assert 0 < sum(turned) < 16


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        (
            {"observed": "observd"},
            (),
            "observations.small.observed: pairs has no field 'observd'; did you mean 'observed'?",
        ),
        (
            {"operator": {"kind": "identity"}},
            (),
            "observations.small.observed: 'observed' is of shape (8, 8, 3), and the operator 'identity' gives (16,",
        ),
        (
            {"operator": {"kind": "fourier"}, "noise": {"kind": "none"}},
            (),
            "observations.small.observed: 'observed' is of shape (8, 8, 3), and the operator 'fourier' gives",
        ),
        ({"clip": "clip"}, (), "observations.small.clip: pairs has no field 'clip'"),
        (
            {},
            ("--config.data.augment.crop=2",),
            "data.augment.crop=2 changes the image, not 'observed'; observations.small.observed wants 0",
        ),
        ({}, ("--config.data.augment.normalize",), "data.augment.normalize=True changes the image, not 'observed'"),
    ],
)
def test_what_cannot_be_observed_is_one_line(folder, changes, arguments, message):
    with pytest.raises(config.ConfigError) as caught:
        built(resolved(folder, *arguments, **changes))
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_mirroring_is_allowed(folder):
    assert built(resolved(folder, "--config.data.augment.flip"))[1].augmentation["flip"]


@needs("sr_bench/Set5")
def test_the_pairs_of_set5_are_enlarged_from_what_was_given():
    source = data.build({"source": "pairs", "path": str(SHARED / "sr_bench/Set5"), "factor": 2, "size": 192}, "test")
    scores = []
    for field in ("observed", None):
        spec = {"operator": SMALL["operator"], "noise": {"kind": "none"}, "observed": field}
        case = observe_cases(source, np.arange(len(source)), "small", spec, 1)[0]
        enlarged = solvers.bicubic(case.observed.y, case.observed.operator).image
        scores.append(float(-10 * jnp.log10(jnp.mean((enlarged - case.clean) ** 2))))
        if field:
            np.testing.assert_allclose(case.observed.y[0], source[0]["observed"] / 255, atol=1e-6)
    assert 0 < abs(scores[0] - scores[1]) < 0.1  # rounded to 8 bits or not

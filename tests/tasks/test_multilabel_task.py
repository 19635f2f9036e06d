"""Labels that do not exclude each other, and top-5 of those that do, against scikit-learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from mtjax import metrics
from mtjax.data.fields import SourceInfo
from mtjax.tasks import TASKS, losses

NAMES = ("a", "b", "c", "d", "e", "f")
INFO = SourceInfo(
    name="tiny",
    fields={"image": (8, 8, 3), "label": (), "present": (6,)},
    class_names={"label": NAMES, "present": NAMES},
    image_shape=(8, 8, 3),
)
RNG = np.random.default_rng(0)
TARGET = (RNG.random((50, 6)) < 0.3).astype(np.float32)
TARGET[:, 4:] = 0  # two classes never appear
LOGITS = (RNG.normal(size=(50, 6)) + 2 * TARGET - 1).astype(np.float32)
LOGITS[:, 5] = -3  # and one of them is never given
LOGITS[::5] = np.round(LOGITS[::5])  # equal scores
TASK = TASKS["multilabel"]("shown", INFO, observation="blurred")
SCORES = jax.jit(TASK.metrics)


def finished(pairs):
    return {name: float(metrics.finish(total.sum(0), count.sum(0))) for name, (total, count) in pairs.items()}


def test_scores_agree_with_sklearn():
    given = LOGITS > 0
    values = finished(SCORES(LOGITS, TARGET))
    macro = {"average": "macro", "zero_division": np.nan}
    assert values["micro_f1"] == pytest.approx(sklearn.metrics.f1_score(TARGET, given, average="micro"), rel=1e-5)
    assert values["macro_f1"] == pytest.approx(sklearn.metrics.f1_score(TARGET, given, **macro), rel=1e-5)
    assert values["exact_match"] == pytest.approx(sklearn.metrics.accuracy_score(TARGET, given), rel=1e-5)
    assert TASK.headline == "micro_f1"


def test_average_precision_agrees_with_sklearn():
    kept = jax.device_get(jax.jit(TASK.whole.keep)(LOGITS, TARGET))
    expected = np.mean([sklearn.metrics.average_precision_score(TARGET[:, k], kept["score"][:, k]) for k in range(4)])
    assert TASK.whole.score(kept) == {"map": pytest.approx(expected, abs=1e-6)}
    assert np.isnan(TASK.whole.score({"score": kept["score"], "target": 0 * TARGET})["map"])
    assert TASK.directions["map"] == "higher"


def test_nothing_there_and_nothing_said_has_no_f1():
    values = finished(SCORES(np.full_like(LOGITS, -1), 0 * TARGET))
    assert np.isnan(values["micro_f1"]) and np.isnan(values["macro_f1"]) and values["exact_match"] == 1


def test_binary_losses_by_their_formulas():
    p = 1 / (1 + np.exp(-LOGITS.astype(np.float64)))
    of_true = np.where(TARGET > 0, p, 1 - p)
    on_device = jnp.asarray(LOGITS), jnp.asarray(TARGET)
    np.testing.assert_allclose(losses.bce(*on_device), -np.log(of_true).mean(1), rtol=1e-5)
    focal = losses.build({"kind": "binary_focal", "gamma": 1.5, "alpha": 0.4})(*on_device)
    side = np.where(TARGET > 0, 0.4, 0.6)
    np.testing.assert_allclose(focal, -(side * (1 - of_true) ** 1.5 * np.log(of_true)).mean(1), rtol=1e-5)
    common = (p * TARGET).sum(1)
    expected = 1 - (common + 1) / (p.sum(1) + TARGET.sum(1) - common + 1)
    np.testing.assert_allclose(losses.soft_iou(*on_device), expected, rtol=1e-5)
    assert losses.soft_iou(jnp.full((1, 6), -50.0), jnp.zeros((1, 6)))[0] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", ["bce", {"kind": "binary_focal", "gamma": 0.5}, "soft_iou"])
def test_binary_losses_have_finite_slopes(name):
    loss = jax.jit(jax.value_and_grad(lambda logits, target: losses.build(name)(logits, target).sum()))
    for logits in (0 * LOGITS, 1e4 * LOGITS):
        for target in (TARGET, 0 * TARGET, 1 + 0 * TARGET):
            value, slope = loss(logits, target)
            assert jnp.isfinite(value) and jnp.isfinite(slope).all()


def test_wrong_focal_parameters_are_named():
    with pytest.raises(ValueError, match=r"alpha in \[0, 1\], got 2.0 and 3.0"):
        losses.build({"kind": "binary_focal", "alpha": 3.0})(jnp.zeros((1, 2)), jnp.zeros((1, 2)))


def test_a_picture_names_what_is_shown():
    both, none = (TASK.picture(np.where(np.arange(6) < n, 1.0, -1.0)) for n in (2, 0))
    assert both.shape == none.shape == (64, 64, 3) and none.min() == 255 and both.min() < 50
    assert TASK.picture(np.ones(6)).shape[0] > 64


def test_top_5_where_there_are_more_than_5_classes():
    task = TASKS["classification"]("digit", INFO, observation="blurred")
    labels = RNG.integers(0, 6, 50).astype(np.int32)
    values = finished(jax.jit(task.metrics)(LOGITS, labels))
    expected = sklearn.metrics.top_k_accuracy_score(labels, LOGITS + 1e-5 * np.arange(6)[::-1], k=5, labels=range(6))
    assert values["top5_accuracy"] == pytest.approx(expected)
    few = SourceInfo("few", INFO.fields, {"label": NAMES[:5]}, INFO.image_shape)
    assert "top5_accuracy" not in TASKS["classification"]("digit", few, observation="blurred").scores


def test_a_field_without_classes_is_named():
    with pytest.raises(ValueError, match=r"tasks\.shown: tiny has no classes in a field 'wrong'"):
        TASKS["multilabel"]("shown", INFO, observation="blurred", label="wrong")

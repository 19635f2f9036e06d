"""Metrics as (sum, count) against scikit-learn, SciPy and NumPy; padding, absent classes, empty masks; Δm."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics
from scipy import ndimage
from skimage.morphology import disk

from mtjax import metrics
from mtjax.metrics.multitask import delta_m_flat, delta_m_task


@jax.jit
def add(pair):
    return metrics.finish(pair[0].sum(0), pair[1].sum(0))


def total(pair):
    """The metric of all examples."""
    return float(add(pair))


@pytest.fixture(scope="module")
def scores():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 4, 60).astype(np.int32)  # of six classes: 4 and 5 never appear
    logits = rng.normal(size=(60, 6)).astype(np.float32) + 1.5 * np.eye(6, dtype=np.float32)[labels]
    logits[:, 5] = -9.0  # and 5 is never given
    return logits, labels


def test_classification_agrees_with_sklearn(scores):
    logits, labels = scores
    given = logits.argmax(1)
    on_device = [jnp.asarray(s) for s in scores]
    options = {"average": "macro", "labels": range(6), "zero_division": np.nan}
    for name in ("precision", "recall", "f1"):
        expected = getattr(sklearn.metrics, f"{name}_score")(labels, given, **options)
        assert total(jax.jit(getattr(metrics, name))(*on_device)) == pytest.approx(expected, abs=1e-6), name
    assert total(metrics.accuracy(*on_device)) == pytest.approx((given == labels).mean())
    expected = sklearn.metrics.top_k_accuracy_score(labels, logits, k=3, labels=range(6))
    assert total(metrics.top_k_accuracy(*on_device, k=3)) == pytest.approx(expected)


def test_examples_without_a_label_count_nothing(scores):
    logits, labels = scores
    padded = (
        jnp.asarray(np.concatenate([logits, logits[:7]])),
        jnp.asarray(np.concatenate([labels, np.full(7, -1, np.int32)])),
    )
    for metric in (metrics.accuracy, metrics.precision, metrics.recall, metrics.f1):
        assert total(metric(*padded)) == pytest.approx(total(metric(jnp.asarray(logits), jnp.asarray(labels))))


def test_one_example():
    assert total(metrics.f1(jnp.asarray([[0.0, 1.0]]), jnp.asarray([1]))) == 1.0
    assert total(metrics.f1(jnp.asarray([[0.0, 1.0]]), jnp.asarray([0]))) == 0.0


def test_k_out_of_range():
    with pytest.raises(ValueError, match="number of classes, 2; got 3"):
        metrics.top_k_accuracy(jnp.zeros((1, 2)), jnp.zeros(1, jnp.int32), k=3)


def test_segmentation_agrees_with_the_confusion_matrix():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 4, (5, 9, 8)).astype(np.int32)
    logits = rng.normal(size=(5, 9, 8, 6)).astype(np.float32) + np.eye(6, dtype=np.float32)[labels]
    logits[..., 5] = -9.0
    marked = labels.copy()
    marked[0, :3], marked[1, 2:5], marked[4] = 255, -1, 255
    keep = (marked >= 0) & (marked < 255)
    confusion = sklearn.metrics.confusion_matrix(labels[keep], logits.argmax(-1)[keep], labels=range(6))
    union = confusion.sum(0) + confusion.sum(1) - np.diag(confusion)
    expected = np.mean(np.diag(confusion)[union > 0] / union[union > 0])
    on_device = jnp.asarray(logits), jnp.asarray(marked)
    assert total(jax.jit(metrics.mean_iou)(*on_device)) == pytest.approx(expected, abs=1e-6)
    assert total(metrics.pixel_accuracy(*on_device)) == pytest.approx(np.trace(confusion) / confusion.sum(), abs=1e-6)


def test_a_wholly_void_image_has_no_value_and_does_no_harm():
    logits, void = jnp.zeros((2, 4, 4, 3)), jnp.full((2, 4, 4), -1)
    assert np.isnan(total(metrics.mean_iou(logits, void)))
    half = void.at[1].set(0)
    assert total(metrics.mean_iou(logits, half)) == 1.0


def test_too_many_classes_for_the_void_label():
    with pytest.raises(ValueError, match="at most 255 classes; got 256"):
        metrics.mean_iou(jnp.zeros((1, 1, 1, 256)), jnp.zeros((1, 1, 1), jnp.int32))


@pytest.mark.parametrize("radius", [0, 1, 2, 3])
def test_dilation_is_by_a_disc(radius):
    mask = np.random.default_rng(3).random((2, 17, 14)) > 0.95
    expected = np.stack([ndimage.binary_dilation(m, disk(radius)) for m in mask])
    np.testing.assert_array_equal(metrics.dilate(jnp.asarray(mask), radius), expected)


def test_boundary_f_forgives_up_to_the_tolerance():
    line = jnp.zeros((1, 16, 16)).at[:, 8].set(1.0)
    shifted = jnp.roll(line, 2, axis=1)
    assert total(metrics.boundary_f(shifted, line, tolerance=2)) == 1.0
    assert total(metrics.boundary_f(shifted, line, tolerance=1)) == 0.0
    half = line.at[:, :, 8:].set(0.0)  # all of it right, half of it missing but one pixel within reach
    assert total(metrics.boundary_precision(half, line)) == 1.0
    assert total(metrics.boundary_recall(half, line)) == pytest.approx(9 / 16)
    assert total(metrics.boundary_f(half, line)) == pytest.approx(2 * (9 / 16) / (1 + 9 / 16))


def test_boundary_f_without_boundaries():
    line, none = jnp.zeros((1, 8, 8)).at[:, 4].set(1.0), jnp.zeros((1, 8, 8))
    assert np.isnan(total(metrics.boundary_f(none, none)))
    assert total(metrics.boundary_f(line, none)) == total(metrics.boundary_f(none, line)) == 0.0
    both = metrics.boundary_f(jnp.concatenate([none, line]), jnp.concatenate([none, line]))
    assert total(both) == 1.0


def test_sums_add_over_batches_and_padding():
    rng = np.random.default_rng(4)
    values = jnp.asarray(rng.random(7), jnp.float32)
    first = metrics.counted(values[:4])
    second = metrics.counted(
        jnp.concatenate([values[4:], jnp.asarray([jnp.nan])]), jnp.asarray([True, True, True, False])
    )
    result = metrics.finish(first[0].sum() + second[0].sum(), first[1].sum() + second[1].sum())
    assert float(result) == pytest.approx(float(values.mean()))


NYU = {  # Navon et al. 2022, table 2, and the sign of each column
    "segmentation/miou": (38.30, 39.29, True), "segmentation/pixel_accuracy": (63.76, 65.33, True),
    "depth/absolute": (0.6754, 0.5493, False), "depth/relative": (0.2780, 0.2263, False),
    "normals/mean": (25.01, 28.15, False), "normals/median": (19.21, 23.96, False),
    "normals/11.25": (30.14, 22.09, True), "normals/22.5": (57.20, 47.50, True), "normals/30": (69.15, 61.08, True),
}  # fmt: skip
ALONE, TOGETHER, HIGHER = ({name: row[i] for name, row in NYU.items()} for i in range(3))


def test_the_two_delta_m_of_nyuv2_disagree_in_sign_as_published():
    assert delta_m_flat(TOGETHER, ALONE, HIGHER) == pytest.approx(5.59, abs=0.02)
    assert delta_m_task(TOGETHER, ALONE, HIGHER) == pytest.approx(0.88, abs=0.02)


def test_delta_m_of_the_reference_is_zero_and_directions_matter():
    assert delta_m_flat(ALONE, ALONE, HIGHER) == delta_m_task(ALONE, ALONE, HIGHER) == 0
    assert delta_m_flat({"a/m": 2.0}, {"a/m": 1.0}, {"a/m": False}) == 100
    assert delta_m_task({"a/m": 2.0}, {"a/m": 1.0}, {"a/m": True}) == 100


@pytest.mark.parametrize(
    ("alone", "message"),
    [({}, "'a/m' has no single-task value"), ({"a/m": 0.0}, "nonzero reference"), ({"a/m": float("nan")}, "finite")],
)
def test_delta_m_names_what_it_lacks(alone, message):
    with pytest.raises(ValueError, match=message):
        delta_m_flat({"a/m": 1.0}, alone, {"a/m": True})

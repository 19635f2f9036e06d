"""Maps of what stands out: error and F-beta against scikit-learn, empty maps, pictures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from mtjax.data.fields import SourceInfo
from mtjax.tasks import TASKS

INFO = SourceInfo(name="tiny", fields={"image": (9, 8, 3), "saliency": (9, 8)}, class_names={}, image_shape=(9, 8, 3))
TASK = TASKS["saliency"]("stands_out", INFO, observation="blurred")
RNG = np.random.default_rng(0)
TARGET = (RNG.random((5, 9, 8)) < 0.3).astype(np.float32)
TARGET[1] = 0
LOGITS = (2 * RNG.normal(size=(5, 9, 8, 1)) + 2 * TARGET[..., None] - 1).astype(np.float32)
KEEP = jax.jit(TASK.whole.keep)


def test_absolute_error():
    total, count = TASK.metrics(jnp.asarray(LOGITS), jnp.asarray(TARGET))["mae"]
    expected = np.abs(1 / (1 + np.exp(-LOGITS[..., 0])) - TARGET).mean((1, 2))
    np.testing.assert_allclose(total / count, expected, rtol=1e-5)
    assert TASK.directions == {"mae": "lower", "max_f": "higher"}


def test_max_f_agrees_with_sklearn_on_the_pooled_pixels():
    level = np.asarray(jnp.floor(255 * jax.nn.sigmoid(LOGITS[..., 0]))).astype(int)
    precision, recall, threshold = sklearn.metrics.precision_recall_curve(TARGET.ravel(), level.ravel())
    precision, recall = (x[:-1][threshold >= 1] for x in (precision, recall))
    f = 1.3 * precision * recall / np.maximum(0.3 * precision + recall, 1e-9)
    # What is kept of batches is added: two of them give what one gives.
    batches = [jax.device_get(KEEP(LOGITS[rows], TARGET[rows])) for rows in (np.s_[:3], np.s_[2:])]
    kept = [np.concatenate([batches[0][i], batches[1][i][1:]]) for i in range(2)]
    assert TASK.whole.score(kept) == {"max_f": pytest.approx(f.max(), rel=1e-6)}


def test_a_perfect_map_and_maps_of_nothing():
    perfect = jax.device_get(KEEP(40 * (2 * TARGET[:3, ..., None] - 1), TARGET[:3]))
    assert TASK.whole.score(perfect) == {"max_f": 1}
    black = jax.device_get(KEEP(np.full_like(LOGITS[:3], -40), TARGET[:3]))
    assert TASK.whole.score(black) == {"max_f": 0}
    nothing = jax.device_get(KEEP(LOGITS[:3], 0 * TARGET[:3]))
    assert np.isnan(TASK.whole.score(nothing)["max_f"])


def test_the_loss_is_finite_where_nothing_or_everything_stands_out():
    loss = jax.jit(jax.value_and_grad(lambda logits, target: TASK.loss(logits, target).sum()))
    for target in (TARGET, 0 * TARGET, 1 + 0 * TARGET):
        for logits in (LOGITS, 0 * LOGITS, 1e4 * LOGITS):
            value, slope = loss(logits, target)
            assert jnp.isfinite(value) and jnp.isfinite(slope).all()
    assert loss(40 * (2 * TARGET[..., None] - 1), TARGET)[0] < 1e-5


def test_a_picture_is_as_bright_as_what_stands_out():
    picture = TASK.picture(40 * (2 * TARGET[0, ..., None] - 1))
    np.testing.assert_array_equal(picture, np.repeat(255 * TARGET[0, ..., None], 3, -1))
    assert picture.dtype == np.uint8


def test_a_field_that_the_data_lack_is_named():
    with pytest.raises(ValueError, match=r"tasks\.mine: tiny has no field 'wrong'; it has image, saliency"):
        TASKS["saliency"]("mine", INFO, observation="blurred", label="wrong")

import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from mtjax.tasks import TASKS, masked


@pytest.mark.parametrize("name", list(tiny.NODES))
def test_a_perfect_prediction_scores_best_and_makes_a_picture(name):
    kind, node = tiny.NODES[name]
    task = TASKS[kind](name, tiny.INFO, **node)
    batch = tiny.batch(3)
    batch["image"] = batch["image"].astype(np.float32) / 255
    target = jnp.asarray(task.target(batch))
    if task.restores:
        prediction = target
    elif kind == "boundary":
        prediction = 20 * (2 * target[..., None] - 1)
    else:
        prediction = 20.0 * (target[..., None] == jnp.arange(task.outputs)).astype(float)
    pairs = task.metrics(prediction, target)
    scores = {metric: float((total / jnp.maximum(count, 1)).max()) for metric, (total, count) in pairs.items()}
    best = scores.pop("psnr", None)
    assert best is None or best > 60
    np.testing.assert_allclose(list(scores.values()), 1, atol=1e-4)
    assert list(task.better) == list(task.scores) and task.headline == next(iter(task.scores))
    picture = task.picture(np.asarray(prediction[0]))
    assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3


@pytest.mark.parametrize("kind", ["classification", "segmentation", "boundary"])
def test_a_field_that_the_data_lack_is_named(kind):
    with pytest.raises(ValueError, match=r"tasks\.mine: tiny has no .*'wrong'") as caught:
        TASKS[kind]("mine", tiny.INFO, observation="blurred", label="wrong")
    assert "\n" not in str(caught.value)


def test_masked_sums_do_not_look_at_what_is_not_valid():
    values = jnp.asarray([1.0, jnp.nan, 3.0])
    per_class = jnp.asarray([[1.0, 2.0], [jnp.inf, jnp.nan], [5.0, 6.0]])
    valid = jnp.asarray([True, False, True])
    assert float(masked((values, values), valid)[0]) == 4
    np.testing.assert_array_equal(masked((per_class, per_class), valid)[1], [6, 8])


def test_restoring_tasks_know_that_they_are():
    restoring = {name for name, (kind, node) in tiny.NODES.items() if TASKS[kind](name, tiny.INFO, **node).restores}
    assert restoring == {"deblur", "inpaint", "enlarge"}

"""Depth, normals and flow: their losses against NumPy, unknown pixels, degenerate input, and perfect predictions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtjax import metrics
from mtjax.data.fields import SourceInfo
from mtjax.tasks import TASKS, losses

SIZE = 12
INFO = SourceInfo(
    name="planes",
    fields={"image": (SIZE, SIZE, 3), "depth": (SIZE, SIZE), "normals": (SIZE, SIZE, 3), "flow": (SIZE, SIZE, 2)},
    class_names={},
    image_shape=(SIZE, SIZE, 3),
)
NODES = {
    "depth": ["l1", "silog", {"silog": 1.0, "depth_edges": 0.5}],
    "normals": ["cosine"],
    "flow": ["end_point", {"kind": "end_point", "epsilon": 0.1}],
}
CASES = [(kind, loss) for kind, specs in NODES.items() for loss in specs]
UNKNOWN = {"depth": 0.0, "normals": 0.0, "flow": np.nan}


def build(kind, loss=None):
    return TASKS[kind]("mine", INFO, observation="clean", **({} if loss is None else {"loss": loss}))


@functools.cache
def truth():
    rng = np.random.default_rng(0)
    normals = rng.normal([0, 0, 2], 1, (3, SIZE, SIZE, 3))
    return {
        "depth": rng.uniform(0.3, 3, (3, SIZE, SIZE)).astype(np.float32),
        "normals": (normals / np.linalg.norm(normals, axis=-1, keepdims=True)).astype(np.float32),
        "flow": rng.normal(0, 2, (3, SIZE, SIZE, 2)).astype(np.float32),
    }


def perfect(kind):
    """What a head says if it knows the truth."""
    true = truth()[kind]
    if kind == "depth":
        return np.log(np.expm1(true))[..., None]
    return true - np.float32([0, 0, 1]) if kind == "normals" else true


def value(spec, prediction, target):
    """A loss by itself."""
    return np.asarray(jax.jit(losses.build(spec))(jnp.asarray(prediction), jnp.asarray(target)))


def value_and_slope(task):
    return jax.jit(lambda p, t: (task.loss(p, t), jax.grad(lambda q: task.loss(q, t).sum())(p)))


@pytest.mark.parametrize("kind", NODES)
def test_a_perfect_prediction_scores_best_and_makes_a_picture(kind):
    task = build(kind)
    prediction, target = jnp.asarray(perfect(kind)), jnp.asarray(task.target(truth()))
    pairs = jax.jit(task.metrics)(prediction, target)
    for name, (total, count) in pairs.items():
        best = 1 if task.better[name] == "higher" else 0
        assert float(metrics.finish(total.sum(0), count.sum(0))) == pytest.approx(best, abs=1e-2)
    assert list(task.better) == list(task.scores) and task.headline == next(iter(task.scores))
    picture = task.picture(np.asarray(prediction[0]))
    assert picture.dtype == np.uint8 and picture.shape == (SIZE, SIZE, 3)
    assert task.picture(np.zeros_like(prediction[0])).shape == (SIZE, SIZE, 3)


@pytest.mark.parametrize(("kind", "loss"), CASES)
def test_what_is_unknown_teaches_nothing_and_gradients_are_finite(kind, loss):
    task = build(kind, loss)
    run = value_and_slope(task)
    target = truth()[kind].copy()
    target[0, : SIZE // 2], target[1] = UNKNOWN[kind], UNKNOWN[kind]
    target = jnp.asarray(task.target({kind: jnp.asarray(target)}))
    for prediction in (0 * perfect(kind), perfect(kind), -1e3 * np.sign(perfect(kind))):
        loss_of_each, slope = run(jnp.asarray(prediction), target)
        assert loss_of_each.shape == (3,) and np.isfinite(loss_of_each).all() and np.isfinite(slope).all()
        assert loss_of_each[1] == 0 and not slope[1].any() and not slope[0, : SIZE // 2].any()
    prediction = jnp.asarray(0.5 * perfect(kind))
    other = prediction.at[0, : SIZE // 2].set(5.0).at[1].set(-3.0)
    np.testing.assert_array_equal(run(prediction, target)[0], run(other, target)[0])
    for total, count in jax.jit(task.metrics)(prediction, target).values():
        assert np.isfinite(total).all() and count[1] == 0


def test_silog_is_eigen_s_and_knows_scale_as_far_as_it_should():
    depth, target = truth()["depth"], truth()["depth"][:, ::-1].copy()
    target[0, 0] = 0
    ratio = [np.log(d[t > 0].astype(float)) - np.log(t[t > 0]) for d, t in zip(depth, target, strict=True)]
    for focus in (0.0, 0.5, 1.0):
        expected = [np.mean(r**2) - focus * np.mean(r) ** 2 for r in ratio]
        np.testing.assert_allclose(value({"kind": "silog", "focus": focus}, depth, target), expected, rtol=1e-5)
    blind = {"kind": "silog", "focus": 1.0}
    np.testing.assert_allclose(value(blind, 7 * depth, target), value(blind, depth, target), rtol=1e-4)
    with pytest.raises(ValueError, match="focus must be in"):
        value({"kind": "silog", "focus": 2.0}, depth, target)


def test_depth_edges_are_differences_of_log_depth_at_every_scale():
    depth, target = truth()["depth"], np.roll(truth()["depth"], 1, 0)
    ratio = np.log(depth.astype(float)) - np.log(target)
    expected = 0.0
    for step in (1, 2, 4, 8):
        part = ratio[:, ::step, ::step]
        expected += sum(np.abs(np.diff(part, axis=axis)).mean((1, 2)) for axis in (1, 2))
    np.testing.assert_allclose(value("depth_edges", depth, target), expected, rtol=1e-5)
    np.testing.assert_allclose(value("depth_edges", 3 * target, target), 0, atol=1e-5)


def test_vectors():
    one, other = truth()["normals"], truth()["normals"][::-1]
    expected = 1 - (one.astype(float) * other).sum(-1)
    np.testing.assert_allclose(value("cosine", 5 * one, other), expected.mean((1, 2)), atol=1e-5)
    one, other = truth()["flow"], truth()["flow"][::-1]
    squares = ((one.astype(float) - other) ** 2).sum(-1)
    smooth = {"kind": "end_point", "epsilon": 0.5}
    np.testing.assert_allclose(value(smooth, one, other), np.sqrt(squares + 0.25).mean((1, 2)), rtol=1e-5)


def test_every_surface_faces_the_viewer_at_first():
    task = build("normals")
    up = jnp.broadcast_to(jnp.asarray([0.0, 0.0, 1.0]), (1, SIZE, SIZE, 3))
    assert float(jax.jit(task.loss)(jnp.zeros_like(up), up)[0]) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "label", "message"),
    [
        ("depth", "dept", r"tasks\.mine: planes has no field 'dept'"),
        ("depth", "normals", r"'normals' of planes has shape \(12, 12, 3\); expected \[H, W\]"),
        ("normals", "depth", r"'depth' of planes has shape \(12, 12\); expected \[H, W, 3\]"),
        ("flow", "normals", r"expected \[H, W, 2\]"),
    ],
)
def test_a_field_that_is_no_such_map_is_named(kind, label, message):
    with pytest.raises(ValueError, match=message) as caught:
        TASKS[kind]("mine", INFO, observation="clean", label=label)
    assert "\n" not in str(caught.value)

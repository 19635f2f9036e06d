"""Metrics of geometry against plain NumPy, also where little or nothing is known."""

import jax
import jax.numpy as jnp
import numpy as np

from mtjax import metrics

RNG = np.random.default_rng(0)


def finished(metric, prediction, target, **parameters):
    """The metric over a whole data set."""
    total, count = jax.jit(lambda p, t: metric(p, t, **parameters))(jnp.asarray(prediction), jnp.asarray(target))
    assert total.shape == count.shape == (len(target),)
    assert np.isfinite(total).all() and np.isfinite(count).all()
    return float(metrics.finish(total.sum(0), count.sum(0)))


def depths():
    depth, target = RNG.uniform(0.5, 4, (2, 3, 6, 5)).astype(np.float32)
    target[0, 0] = [0, -1, np.nan, np.inf, 2]
    target[1] = np.nan  # an image without any depth
    depth[0, 0, 0] = np.nan  # which is not looked at
    depth[2, 0] = 0
    return depth, target


def test_depth():
    depth, target = depths()
    rel, root, near = [], [], []
    for d, t in zip(depth, target, strict=True):
        known = np.isfinite(t) & (np.nan_to_num(t) > 0)
        if not known.any():
            continue
        d, t = d[known].astype(float), t[known].astype(float)
        rel.append(np.mean(np.abs(d - t) / t))
        root.append(np.sqrt(np.mean((d - t) ** 2)))
        with np.errstate(divide="ignore"):
            near.append(np.mean(np.maximum(d / t, t / d) < 1.25))
    assert len(rel) == 2
    np.testing.assert_allclose(finished(metrics.abs_rel, depth, target), np.mean(rel), rtol=1e-5)
    np.testing.assert_allclose(finished(metrics.depth_rmse, depth, target), np.mean(root), rtol=1e-5)
    np.testing.assert_allclose(finished(metrics.depth_delta, depth, target), np.mean(near), rtol=1e-5)


def test_normals():
    normals, target = RNG.normal(size=(2, 3, 6, 5, 3)).astype(np.float32)
    target /= np.linalg.norm(target, axis=-1, keepdims=True)
    normals = target + 0.3 * normals
    target[0, 0], target[1] = 0, 0
    known = (target != 0).any(-1)
    n, t = normals[known].astype(float), target[known].astype(float)
    angle = np.degrees(np.arccos((n * t).sum(-1) / np.linalg.norm(n, axis=-1) / np.linalg.norm(t, axis=-1)))
    np.testing.assert_allclose(finished(metrics.mean_angle, normals, target), angle.mean(), rtol=1e-4)
    share = finished(metrics.within_angle, normals, target, degrees=22.5)
    np.testing.assert_allclose(share, np.mean(angle < 22.5), rtol=1e-5)
    assert 0 < share < 1
    np.testing.assert_allclose(finished(metrics.mean_angle, target, target), 0, atol=1e-3)
    np.testing.assert_allclose(finished(metrics.mean_angle, -target, target), 180, atol=1e-3)
    np.testing.assert_allclose(finished(metrics.mean_angle, 7 * normals, target), angle.mean(), rtol=1e-4)


def test_a_small_angle_is_not_lost_to_rounding():
    tilt = np.radians(0.01)
    target = np.float32([[[[0, 0, 1]]]])
    leaning = np.float32([[[[np.sin(tilt), 0, np.cos(tilt)]]]])
    np.testing.assert_allclose(finished(metrics.mean_angle, leaning, target), 0.01, rtol=1e-3)


def test_flow():
    flow, target = RNG.normal(size=(2, 3, 6, 5, 2)).astype(np.float32)
    target[0, 0], target[1], target[2, 0, 0, 0] = np.nan, np.inf, np.nan
    known = np.isfinite(target).all(-1)
    error = np.linalg.norm(flow[known].astype(float) - target[known], axis=-1)
    np.testing.assert_allclose(finished(metrics.end_point_error, flow, target), error.mean(), rtol=1e-5)
    np.testing.assert_allclose(finished(metrics.outliers, flow, target), np.mean(error > 1), rtol=1e-5)
    np.testing.assert_allclose(finished(metrics.outliers, flow, target, distance=2.0), np.mean(error > 2), rtol=1e-5)


def test_a_data_set_of_which_nothing_is_known_has_no_value():
    nothing = np.zeros((2, 4, 4), np.float32)
    for metric in (metrics.abs_rel, metrics.depth_rmse, metrics.depth_delta):
        assert np.isnan(finished(metric, nothing, nothing))
    assert np.isnan(finished(metrics.mean_angle, np.ones((2, 4, 4, 3), np.float32), np.zeros((2, 4, 4, 3), np.float32)))
    assert np.isnan(finished(metrics.end_point_error, np.zeros((2, 4, 4, 2)), np.full((2, 4, 4, 2), np.nan)))

"""Weights chosen from the observation: degrees of freedom, GCV, SURE, discrepancy; and by gradients of a loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data

from mtjax import physics
from mtjax.solvers.admm import admm
from mtjax.solvers.linear import tikhonov
from mtjax.solvers.priors import Gradient, TotalVariation
from mtjax.solvers.proximal import shrink
from mtjax.solvers.selection import best_weight, degrees_of_freedom, discrepancy, gcv, sure
from mtjax.solvers.solution import Status, finish

RANDOM = np.random.default_rng(0)
KERNEL = RANDOM.uniform(size=(3, 4))
KERNEL /= KERNEL.sum()
SIGMA = 0.05
IMAGE = skimage.data.camera()[:192, 160:352].reshape(48, 4, 48, 4, 1).mean((1, 3)) / 255.0


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def noisy(operator, sigma=SIGMA):
    clean = operator(jnp.asarray(IMAGE, float))
    return clean + sigma * jnp.asarray(RANDOM.standard_normal(clean.shape))


@pytest.mark.parametrize(
    ("operator", "analysis"),
    [
        (physics.Blur(KERNEL), Gradient()),
        (physics.Blur(KERNEL[:, :3]), None),
        (physics.Mask(RANDOM.uniform(size=(8, 6)) < 0.6), None),
        (physics.Downsample(2, KERNEL), None),
    ],
    ids=["gradient", "blur", "mask", "downsample"],
)
def test_degrees_of_freedom_and_gcv_by_dense_matrices(operator, analysis):
    x = jnp.zeros((8, 6, 1))
    y = jnp.asarray(RANDOM.uniform(size=operator(x).shape))
    matrix = np.asarray(jax.jacobian(operator)(x)).reshape(-1, 48)
    parts = [np.eye(48)] if analysis is None else [np.reshape(p, (-1, 48)) for p in jax.jacobian(analysis)(x)]
    inverse = np.linalg.inv(matrix.T @ matrix + 0.03 * sum(p.T @ p for p in parts))
    hat = matrix @ inverse @ matrix.T
    np.testing.assert_allclose(degrees_of_freedom(y, operator, 0.03, analysis), np.trace(hat), rtol=1e-9)
    rest = np.eye(len(hat)) - hat
    expected = len(hat) * np.sum((rest @ np.ravel(y)) ** 2) / np.trace(rest) ** 2
    solve = lambda y, A: tikhonov(y, A, 0.03, analysis)  # noqa: E731
    found = gcv(y, operator, solve, divergence=degrees_of_freedom(y, operator, 0.03, analysis))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def soft(y, threshold):
    """Soft thresholding as a solver."""
    return finish(shrink(y, jnp.asarray(threshold)), False, Status.CONVERGED, 1, jnp.zeros(()))


def test_sure_of_soft_thresholding():
    x = np.where(RANDOM.uniform(size=(300, 300, 1)) < 0.1, 3.0, 0.0)
    y = jnp.asarray(x + RANDOM.standard_normal(x.shape))
    t = 1.2
    found = sure(y, physics.Identity(), 1.0, lambda y, A: soft(y, t), jax.random.key(0))
    size = np.abs(np.asarray(y))
    closed = -1 + np.mean(np.minimum(size, t) ** 2) + 2 * np.mean(size > t)
    np.testing.assert_allclose(found, closed, atol=1e-12)  # a diagonal Jacobian: any signs give its exact trace
    assert abs(float(found) - np.mean((np.asarray(soft(y, t).image) - x) ** 2)) < 0.02


def test_sure_estimates_the_error_of_each_example():
    operator = physics.Blur(KERNEL)
    y = jnp.stack([noisy(operator), noisy(operator, 0.1)])
    sigma, weight = jnp.array([0.05, 0.1]), jnp.array([0.05, 0.3])
    clean = operator(jnp.asarray(IMAGE, float))

    def solve(y, operator):
        return tikhonov(y, operator, weight, Gradient())

    freedom = degrees_of_freedom(y, operator, weight, Gradient())
    exact = sure(y, operator, sigma, solve, divergence=freedom)
    probed = jax.jit(lambda y, key: sure(y, operator, sigma, solve, key))(y, jax.random.key(1))
    np.testing.assert_allclose(probed, exact, rtol=0.2)
    error = jnp.mean((operator(solve(y, operator).image) - clean) ** 2, (-3, -2, -1))
    assert (jnp.abs(exact - error) < 0.15 * sigma**2).all()


def test_sure_and_gcv_choose_nearly_the_best_weight():
    operator, sigma = physics.Identity(), jnp.array([0.05, 0.2])
    truth = physics.Blur(physics.kernels.gaussian(1.5))(jnp.asarray(IMAGE, float))
    y = truth + sigma[:, None, None, None] * jnp.asarray(RANDOM.standard_normal((2, *truth.shape)))

    def denoise(w):
        return lambda y, A: tikhonov(y, A, w, Gradient())

    def error(w):
        return jnp.mean((denoise(w)(y, operator).image - truth) ** 2, (-3, -2, -1))

    least = error(jax.jit(lambda: best_weight(error))())
    trace = lambda w: degrees_of_freedom(y, operator, w, Gradient())  # noqa: E731
    for score, factor in (
        (lambda w: gcv(y, operator, denoise(w), divergence=trace(w)), 1.7),  # does not know sigma
        (lambda w: gcv(y, operator, denoise(w), jax.random.key(0)), 1.7),
        (lambda w: sure(y, operator, sigma, denoise(w), divergence=trace(w)), 1.1),
        (lambda w: sure(y, operator, sigma, denoise(w), jax.random.key(0)), 1.1),
    ):
        chosen = jax.jit(lambda score=score: best_weight(score))()
        assert chosen.shape == (2,) and chosen[1] > chosen[0]
        assert (error(chosen) < factor * least).all()


def test_best_weight_finds_minima_and_ends():
    goal = jnp.log(jnp.array([3e-3, 0.7, 1e-9, 1e5]))
    found = best_weight(lambda w: jnp.where(w > 50, jnp.nan, (jnp.log(w) - goal) ** 2))
    np.testing.assert_allclose(found[:2], [3e-3, 0.7], rtol=2e-3)
    np.testing.assert_allclose(found[2], 1e-6, rtol=0.01)
    assert 20 < found[3] < 50


def test_discrepancy_meets_the_noise():
    operator = physics.Blur(KERNEL)
    y, sigma = jnp.stack([noisy(operator), noisy(operator, 0.1)]), jnp.array([0.05, 0.1])
    smooth = lambda y, A, w: tikhonov(y, A, w, Gradient())  # noqa: E731
    weight = jax.jit(lambda y: discrepancy(y, operator, sigma, smooth))(y)
    fitted = operator(tikhonov(y, operator, weight, Gradient()).image)
    np.testing.assert_allclose(jnp.mean((fitted - y) ** 2, (-3, -2, -1)), sigma**2, rtol=1e-5)
    np.testing.assert_allclose(discrepancy(y[1], operator, 0.1, smooth), weight[1], rtol=1e-5)
    np.testing.assert_allclose(discrepancy(y, operator, 1e3, smooth), 1e2, rtol=1e-6)
    np.testing.assert_allclose(discrepancy(y, operator, 1e-6, smooth), 1e-6, rtol=1e-6)


def test_discrepancy_of_an_iterative_solver():
    y = noisy(physics.Identity())[..., 0]
    solve = lambda y, A, w: admm(y, A, TotalVariation(w), rho=0.3, iterations=60)  # noqa: E731
    weight = jax.jit(lambda y: discrepancy(y, physics.Identity(), SIGMA, solve, high=1.0, steps=10))(y)
    found = solve(y, physics.Identity(), weight).image
    np.testing.assert_allclose(jnp.mean((found - y) ** 2), SIGMA**2, rtol=1e-3)


@pytest.mark.parametrize("name", ["reflect", "admm"])
def test_gradient_of_a_validation_loss_through_the_solver(name):
    blur, truth = physics.Blur(KERNEL, "reflect"), jnp.asarray(IMAGE[:12, :11], float)
    operator = blur if name == "reflect" else physics.Identity()
    y = operator(truth) + 0.05 * jnp.asarray(RANDOM.standard_normal(truth.shape))

    def image(weight):
        if name == "reflect":
            return tikhonov(y, operator, weight, Gradient("reflect")).image
        return admm(y, operator, TotalVariation(weight), rho=0.3, tolerance=1e-11, max_iterations=20000).image

    loss = jax.jit(lambda log_weight: jnp.sum((image(jnp.exp(log_weight)) - truth) ** 2))
    at, step = jnp.log(0.03), 1e-4
    expected = (loss(at + step) - loss(at - step)) / (2 * step)
    assert abs(expected) > 1e-3
    np.testing.assert_allclose(jax.jit(jax.grad(loss))(at), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda y, A: sure(y, A, 0.1, lambda y, A: soft(y, 0.1)), "key=None, divergence=None"),
        (lambda y, A: discrepancy(y, A, 0.1, low=1.0, high=0.1), "low=1.0, high=0.1"),
        (lambda y, A: best_weight(lambda w: w, points=2), "points=2"),
        (lambda y, A: degrees_of_freedom(y, physics.Blur(KERNEL, "reflect"), 0.1), "operator=Blur, analysis=Identity"),
    ],
)
def test_bad_arguments_get_one_line(wrong, message):
    with pytest.raises(ValueError, match=message) as caught:
        wrong(jnp.ones((8, 6)), physics.Identity())
    assert "\n" not in str(caught.value)

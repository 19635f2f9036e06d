"""Nash-MTL and FairGrad: their equation, their invariances, SciPy's root, and where there is no solution."""

import jax
import numpy as np
import pytest
from jacobian_steps import CONFLICT, apply, direction, random_jacobian
from scipy.optimize import least_squares


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("spread", [0.0, 2.0])
def test_nash_solves_its_equation(spread):
    for seed in range(20):
        jacobian = random_jacobian(seed, spread=spread)
        weights, state = apply("nash_mtl", jacobian)
        d = np.asarray(weights) @ jacobian
        assert state["converged"] and (weights > 0).all()
        np.testing.assert_allclose(jacobian @ d * weights, 1, rtol=1e-9)
        np.testing.assert_allclose(d @ d, 4, rtol=1e-9)


def test_nash_does_not_see_the_lengths():
    jacobian = random_jacobian(0)
    scaled = jacobian * np.asarray([[1e-8], [1], [1e3], [1e9]])
    np.testing.assert_allclose(direction("nash_mtl", scaled), direction("nash_mtl", jacobian), rtol=1e-9)


def test_nash_of_two_has_a_closed_form():
    for seed in range(10):
        jacobian = random_jacobian(seed, 2, 3, spread=1)
        lengths = np.linalg.norm(jacobian, axis=1)
        cosine = jacobian[0] @ jacobian[1] / lengths.prod()
        np.testing.assert_allclose(apply("nash_mtl", jacobian)[0], 1 / lengths / np.sqrt(1 + cosine), rtol=1e-9)


@pytest.mark.parametrize("alpha", [0.1, 0.5, 1.0, 2.0, 5.0, 50.0])
def test_fairgrad_solves_its_equation(alpha):
    for seed in range(20):
        jacobian = random_jacobian(seed, spread=1)
        weights, state = apply("fairgrad", jacobian, alpha=alpha)
        assert state["converged"] and (weights > 0).all()
        gain = jacobian @ (np.asarray(weights) @ jacobian)
        np.testing.assert_allclose(gain, np.asarray(weights) ** (-1 / alpha), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 5.0])
def test_fairgrad_agrees_with_scipy(alpha):
    jacobian = random_jacobian(1)
    gram = jacobian @ jacobian.T
    equation = lambda log: np.log(np.maximum(gram @ np.exp(log), 1e-12)) + log / alpha  # noqa: E731
    root = least_squares(equation, np.zeros(4), xtol=1e-15, ftol=1e-15, gtol=1e-15)
    assert root.cost < 1e-20
    np.testing.assert_allclose(apply("fairgrad", jacobian, alpha=alpha)[0], np.exp(root.x), rtol=1e-8)


def test_fairgrad_of_one_is_nash():
    jacobian = random_jacobian(2, spread=1)
    got, wanted = apply("fairgrad", jacobian, alpha=1.0)[0], apply("nash_mtl", jacobian)[0]
    np.testing.assert_allclose(got, wanted, rtol=1e-12)


@pytest.mark.parametrize("alpha", [0.5, 2.0, 50.0])
def test_orthonormal_gradients_are_added(alpha):
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    np.testing.assert_allclose(apply("fairgrad", turn, alpha=alpha)[0], 1, rtol=1e-9)


def test_the_limits_of_alpha():
    jacobian = random_jacobian(3)
    one, other = direction("fairgrad", jacobian, alpha=1000.0), direction("mgda", jacobian)
    assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) > 1 - 1e-5
    np.testing.assert_allclose(apply("fairgrad", np.abs(jacobian), alpha=0.001)[0], 1, rtol=0.05)


@pytest.mark.parametrize("kind", ["nash_mtl", "fairgrad"])
@pytest.mark.parametrize(
    "jacobian",
    [
        np.stack([CONFLICT[0], -CONFLICT[0]]),
        np.concatenate([np.eye(3), -np.ones((1, 3))]),
        np.concatenate([CONFLICT, np.zeros((1, 3))]),
    ],
)
def test_where_there_is_no_solution_it_is_said(kind, jacobian):
    weights, state = apply(kind, jacobian)
    assert not state["converged"] and np.isfinite(weights).all()


def test_a_vanished_task_leaves_the_bargain_to_the_others():
    weights, _ = apply("nash_mtl", np.concatenate([CONFLICT, np.zeros((1, 3))]))
    np.testing.assert_allclose(weights, [*apply("nash_mtl", CONFLICT)[0], 0], rtol=1e-12)

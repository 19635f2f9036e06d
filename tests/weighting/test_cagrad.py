"""CAGrad: its constraint, the certificate of duality, and the closed form for two tasks."""

import jax
import numpy as np
import pytest
from jacobian_steps import CONFLICT, apply, direction, random_jacobian


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def closed_form(jacobian, c):
    """Two tasks: the dual is smooth in one variable, and its minimum solves a quadratic equation."""
    (g11, g12), (_, g22) = jacobian @ jacobian.T
    mean = jacobian.mean(0)
    a, b = g11 + g22 - 2 * g12, g12 - g22
    excess, slope, radius = a * g22 - b * b, (g11 - g22) / 2, c * np.linalg.norm(mean)
    x = float(slope < 0)
    if a * radius**2 > slope**2:
        x = np.clip((-slope * np.sqrt(excess / (a * radius**2 - slope**2)) - b) / a, 0, 1)
    inside = np.asarray([x, 1 - x]) @ jacobian
    return mean + radius * inside / np.linalg.norm(inside)


@pytest.mark.parametrize("c", [0.1, 0.4, 2.0])
def test_two_tasks_have_a_closed_form(c):
    for seed in range(20):
        jacobian = random_jacobian(seed, 2, 3, spread=1)
        np.testing.assert_allclose(direction("cagrad", jacobian, c=c), closed_form(jacobian, c), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("c", [0.1, 0.4, 0.9])
@pytest.mark.parametrize("parameters", [3, 6])
def test_the_worst_gain_is_the_value_of_the_dual_problem(c, parameters):
    """`minᵢ gᵢ·d` is at most `f(w) = w·(J g₀) + c ‖g₀‖ ‖Jᵀw‖` for any w in the simplex; equality proves optimality."""
    for seed in range(20):
        jacobian = random_jacobian(seed, 4, parameters, spread=1)
        weights, state = apply("cagrad", jacobian, c=c)
        # Where zero is in the hull there may be no solution.
        if not state["converged"]:
            assert np.linalg.norm(direction("mgda", jacobian)) < 1e-9
            continue
        mean = jacobian.mean(0)
        d, radius = np.asarray(weights) @ jacobian, c * np.linalg.norm(mean)
        np.testing.assert_allclose(np.linalg.norm(d - mean), radius, rtol=1e-9)
        w = np.asarray(weights) - 1 / 4
        assert (w >= -1e-12).all()
        w /= w.sum()
        bound = w @ jacobian @ mean + radius * np.linalg.norm(w @ jacobian)
        np.testing.assert_allclose((jacobian @ d).min(), bound, rtol=1e-8, atol=1e-9)


def test_no_radius_is_the_mean():
    np.testing.assert_allclose(direction("cagrad", CONFLICT, c=0.0), CONFLICT.mean(0), atol=1e-15)


def test_a_radius_of_the_mean_harms_no_task():
    for seed in range(20):
        jacobian = random_jacobian(seed, spread=1)
        assert (jacobian @ direction("cagrad", jacobian, c=1.0) >= -1e-9).all()


def test_a_large_radius_gives_the_direction_of_mgda():
    for seed in range(5):
        jacobian = random_jacobian(seed)
        one, other = direction("cagrad", jacobian, c=1e4), direction("mgda", jacobian)
        assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) > 1 - 1e-7


def test_where_no_direction_serves_all_nothing_is_harmed_and_it_is_said():
    jacobian = np.asarray([[1.0, 0, 0, 1], [-1, 1, 0, 0], [0, -1, 0, -1], [3, 1, 0, 0]])
    weights, state = apply("cagrad", jacobian, c=3.0)
    assert not state["converged"] and np.isfinite(weights).all()
    assert (jacobian @ (np.asarray(weights) @ jacobian) >= -1e-9).all()
    assert apply("cagrad", jacobian, c=0.1)[1]["converged"]


def test_ties_and_dependent_gradients():
    """The direction does not depend on how often a gradient is listed, if the mean does not."""
    once = direction("cagrad", CONFLICT[:2])
    twice, state = apply("cagrad", CONFLICT[[0, 1, 1, 0]])
    assert state["converged"]
    np.testing.assert_allclose(np.asarray(twice) @ CONFLICT[[0, 1, 1, 0]], once, atol=1e-9)
    np.testing.assert_allclose(direction("cagrad", np.ones((3, 2))), 1.4, atol=1e-12)

"""MGDA against the closed form for two tasks and against all supports."""

import itertools

import jax
import numpy as np
import pytest
from jacobian_steps import apply, direction, random_jacobian


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def shortest(jacobian):
    """Of the nearest points to the origin on the affine hull of every support, the best that is inside."""
    lengths, best = np.linalg.norm(jacobian, axis=1), np.inf
    unit = jacobian / lengths[:, None]
    for size in range(1, len(jacobian) + 1):
        for support in map(list, itertools.combinations(range(len(jacobian)), size)):
            total = 1 / lengths[support][:, None]
            block = np.block([[unit[support] @ unit[support].T, total], [total.T, np.zeros((1, 1))]])
            weights = np.linalg.lstsq(block, np.append(np.zeros(size), 1), rcond=None)[0][:size] / lengths[support]
            if weights.min() >= -1e-12 and abs(weights.sum() - 1) < 1e-9:
                best = min(best, np.linalg.norm(weights @ jacobian[support]))
    return best


@pytest.mark.parametrize("seed", range(20))
def test_two_tasks_have_a_closed_form(seed):
    first, second = jacobian = random_jacobian(seed, 2, 3, spread=1.5)
    share = np.clip((second - first) @ second / np.sum((first - second) ** 2), 0, 1)
    np.testing.assert_allclose(apply("mgda", jacobian)[0], [share, 1 - share], atol=1e-12)


@pytest.mark.parametrize("parameters", [2, 3, 6])
@pytest.mark.parametrize("spread", [0.0, 3.0])
def test_no_support_gives_a_shorter_vector(parameters, spread):
    for seed in range(10):
        jacobian = random_jacobian(seed, 4, parameters, spread)
        weights, state = apply("mgda", jacobian)
        assert state["converged"] and (weights >= 0).all()
        np.testing.assert_allclose(weights.sum(), 1, rtol=1e-12)
        got = np.linalg.norm(np.asarray(weights) @ jacobian)
        np.testing.assert_allclose(got, shortest(jacobian), rtol=1e-9, atol=1e-9)


def test_no_task_gains_less_than_the_squared_length():
    for seed in range(20):
        jacobian = random_jacobian(seed, spread=1)
        weights, _ = apply("mgda", jacobian)
        d = np.asarray(weights) @ jacobian
        gain = jacobian @ d
        assert (gain >= d @ d * (1 - 1e-9)).all()
        np.testing.assert_allclose(gain[np.asarray(weights) > 0], d @ d, rtol=1e-9)


def test_lengths_of_very_different_size_do_not_hide_the_short_ones():
    jacobian = np.asarray([[1e-6, 0, 0], [0, 1e-6, 0], [1.0, 1.0, 1.0]])
    np.testing.assert_allclose(direction("mgda", jacobian), [5e-7, 5e-7, 0], rtol=1e-6, atol=1e-14)


@pytest.mark.parametrize(
    "jacobian",
    [[[1.0, 2], [-1, -2]], [[1.0, 0], [-1, 1], [0, -1]], [[1.0, 0], [0, 0], [0, 1]], [[1.0, 0], [-3, 0], [2, 5]]],
)
def test_where_no_direction_serves_all_it_is_zero(jacobian):
    weights, state = apply("mgda", np.asarray(jacobian))
    assert state["converged"]
    np.testing.assert_allclose(np.asarray(weights) @ np.asarray(jacobian), 0, atol=1e-12)

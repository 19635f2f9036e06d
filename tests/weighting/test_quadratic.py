"""The solvers inside the methods, against SciPy and against their optimality conditions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import nnls

from mtjax.weighting.quadratic import nonnegative_quadratic, project_simplex

PROJECT = jax.jit(project_simplex)


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("rows", [3, 6, 12])
def test_nonnegative_least_squares_agrees_with_scipy(rows):
    """With fewer rows than the six columns the matrix is singular, and only the residual is unique."""
    for seed in range(30):
        random = np.random.default_rng(seed)
        a = random.normal(size=(rows, 6)) * np.exp(2 * random.normal(size=6))
        b = random.normal(size=rows)
        x, solved = nonnegative_quadratic(jnp.asarray(a.T @ a), jnp.asarray(a.T @ b), jnp.ones(6, bool))
        wanted, residual = nnls(a, b)
        assert solved and (x >= 0).all()
        np.testing.assert_allclose(np.linalg.norm(a @ np.asarray(x) - b), residual, rtol=1e-8, atol=1e-8)
        if rows >= 6:
            np.testing.assert_allclose(x, wanted, rtol=1e-6, atol=1e-9)


def test_forbidden_variables_stay_zero():
    random = np.random.default_rng(0)
    a, b = random.normal(size=(8, 6)), random.normal(size=8)
    allowed = np.asarray([True, False, True, True, False, True])
    x, solved = nonnegative_quadratic(jnp.asarray(a.T @ a), jnp.asarray(a.T @ b), jnp.asarray(allowed))
    assert solved
    np.testing.assert_allclose(np.asarray(x)[allowed], nnls(a[:, allowed], b)[0], atol=1e-10)
    np.testing.assert_array_equal(np.asarray(x)[~allowed], 0)


def test_thirty_variables():
    random = np.random.default_rng(1)
    a, b = random.normal(size=(40, 30)), random.normal(size=40)
    x, solved = nonnegative_quadratic(jnp.asarray(a.T @ a), jnp.asarray(a.T @ b), jnp.ones(30, bool))
    assert solved
    np.testing.assert_allclose(x, nnls(a, b)[0], atol=1e-9)


def test_a_problem_without_a_minimum_is_not_called_solved():
    x, solved = nonnegative_quadratic(jnp.asarray([[1.0, -1.0], [-1.0, 1.0]]), jnp.ones(2), jnp.ones(2, bool))
    assert not solved and np.isfinite(x).all()


def test_the_projection_on_the_simplex_is_the_nearest_point():
    """The conditions: what is kept is the point minus one number, what is cut is below that number."""
    for seed in range(30):
        random = np.random.default_rng(seed)
        point, present = random.normal(size=5) * 10.0 ** random.integers(-3, 4), np.arange(5) != seed % 5
        got = np.asarray(PROJECT(jnp.asarray(point), jnp.asarray(present)))
        np.testing.assert_allclose(got.sum(), 1, rtol=1e-12)
        assert (got >= 0).all() and not got[~present].any()
        threshold = (point - got)[got > 0]
        np.testing.assert_allclose(threshold, threshold[0], rtol=1e-9)
        assert (point[present & (got == 0)] <= threshold[0] + 1e-12).all()


def test_the_projection_of_large_numbers_is_a_vertex():
    with jax.enable_x64(False):
        got = PROJECT(jnp.asarray([3e17, 1e20, -1e20, 0, 5], jnp.float32), jnp.ones(5, bool))
        np.testing.assert_array_equal(got, [0, 1, 0, 0, 0])

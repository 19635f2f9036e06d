"""UPGrad and DualProj: projections on the cone of directions that harm no task, against SciPy's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jacobian_steps import CONFLICT, NAMES, apply, direction, random_jacobian
from scipy.optimize import nnls

from mtjax import weighting

KINDS = pytest.mark.parametrize("kind", ["upgrad", "dualproj"])
PREFERENCE = (1.0, 2.0, 0.5, 4.0)


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def projected(jacobian, vector):
    """By Moreau: what is taken away is the nearest combination `-Σ xᵢ gᵢ`, `x ≥ 0`, of the gradients."""
    return vector + nnls(jacobian.T, -vector)[0] @ jacobian


@pytest.mark.parametrize("preference", [(), PREFERENCE])
@pytest.mark.parametrize("parameters", [3, 6])
def test_both_project_as_scipy_does(parameters, preference):
    share = np.asarray(preference or (1.0,) * 4) / sum(preference or (1.0,) * 4)
    for seed in range(20):
        jacobian = random_jacobian(seed, 4, parameters, spread=1)
        each = share @ np.stack([projected(jacobian, row) for row in jacobian])
        np.testing.assert_allclose(direction("upgrad", jacobian, preference=preference), each, atol=1e-9)
        mean = projected(jacobian, share @ jacobian)
        np.testing.assert_allclose(direction("dualproj", jacobian, preference=preference), mean, atol=1e-9)


@KINDS
def test_no_task_is_harmed(kind):
    for seed in range(20):
        jacobian = random_jacobian(seed, spread=2)
        weights, state = apply(kind, jacobian)
        assert state["converged"]
        d = np.asarray(weights) @ jacobian
        assert (jacobian @ d >= -1e-12 * np.linalg.norm(jacobian, axis=1) * np.linalg.norm(jacobian)).all()


@KINDS
def test_without_conflict_it_is_the_mean(kind):
    np.testing.assert_array_equal(apply(kind, np.abs(random_jacobian(0)))[0], 0.25)


@KINDS
@pytest.mark.parametrize(
    "jacobian", [np.stack([CONFLICT[0], -CONFLICT[0], CONFLICT[0]]), np.asarray([[1.0, 0], [-1, 1], [0, -1]])]
)
def test_where_every_direction_harms_it_is_zero(kind, jacobian):
    weights, state = apply(kind, jacobian)
    assert state["converged"]
    np.testing.assert_allclose(np.asarray(weights) @ jacobian, 0, atol=1e-12)


def test_upgrad_is_linear_in_the_lengths_of_the_gradients():
    jacobian, random = random_jacobian(1), np.random.default_rng(0)
    one, other = np.exp(2 * random.normal(size=(2, 4, 1)))
    total = direction("upgrad", (3 * one + 0.5 * other) * jacobian)
    parts = 3 * direction("upgrad", one * jacobian) + 0.5 * direction("upgrad", other * jacobian)
    np.testing.assert_allclose(total, parts, rtol=1e-9, atol=1e-11)


@KINDS
def test_a_preference_by_name(kind):
    jacobian = jnp.asarray(random_jacobian(2))
    method = weighting.make(kind, names=NAMES, preference={"b": 3.0})
    signals = weighting.Signals(jnp.ones(4), jnp.ones(4, bool), gram=jacobian @ jacobian.T)
    got, _ = jax.jit(method.update)(signals, method.init())
    np.testing.assert_allclose(got, apply(kind, jacobian, preference=(1.0, 3.0, 1.0, 1.0))[0], rtol=1e-12)

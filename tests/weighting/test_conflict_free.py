"""ConFIG and IMTL-G: equal angles, against the pseudo-inverse of the unit gradients, and where there are none."""

import jax
import numpy as np
import pytest
from jacobian_steps import CONFLICT, apply, direction, random_jacobian


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@pytest.mark.parametrize("preference", [(), (1.0, 2.0, 3.0, 4.0)])
@pytest.mark.parametrize("parameters", [2, 6])
def test_conflict_free_is_its_formula(parameters, preference):
    for seed in range(10):
        jacobian = random_jacobian(seed, 4, parameters, spread=1)
        u = unit(np.linalg.pinv(unit(jacobian)) @ np.asarray(preference or np.ones(4)))
        got = direction("conflict_free", jacobian, preference=preference)
        np.testing.assert_allclose(got, (jacobian @ u).sum() * u, rtol=1e-8, atol=1e-10)


def test_conflict_free_has_the_cosines_that_are_preferred():
    jacobian = random_jacobian(0, spread=1)
    d = direction("conflict_free", jacobian, preference=(1.0, 2.0, 3.0, 4.0))
    cosines = unit(jacobian) @ unit(d)
    np.testing.assert_allclose(cosines / cosines[0], [1, 2, 3, 4], rtol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(d), (jacobian @ unit(d)).sum(), rtol=1e-9)


def test_imtl_g_projects_equally_on_all_gradients():
    for seed in range(10):
        jacobian = random_jacobian(seed, spread=1)
        weights, state = apply("imtl_g", jacobian)
        assert state["converged"]
        np.testing.assert_allclose(weights.sum(), 1, rtol=1e-12)
        projections = unit(jacobian) @ (np.asarray(weights) @ jacobian)
        np.testing.assert_allclose(projections, projections[0], rtol=1e-8)


def test_imtl_g_agrees_with_its_linear_system():
    """Equation 5: `d · (u₁ − uᵢ) = 0` for i > 1, with weights that sum to 1."""
    jacobian = random_jacobian(3, spread=1)
    differences = unit(jacobian)[0] - unit(jacobian)[1:]
    system = np.concatenate([differences @ jacobian.T, np.ones((1, 4))])
    np.testing.assert_allclose(apply("imtl_g", jacobian)[0], np.linalg.solve(system, [0, 0, 0, 1]), rtol=1e-8)


def test_three_methods_have_one_direction_for_two_tasks():
    for seed in range(10):
        jacobian = random_jacobian(seed, 2, 3, spread=1)
        bisector = unit(unit(jacobian).sum(0))
        for kind in ("conflict_free", "nash_mtl", "imtl_g"):
            d = direction(kind, jacobian)
            np.testing.assert_allclose(unit(d) * np.sign(d @ bisector), bisector, atol=1e-9)


def test_two_methods_have_one_direction_for_independent_gradients():
    for seed in range(10):
        jacobian = random_jacobian(seed)
        one, other = unit(direction("conflict_free", jacobian)), unit(direction("imtl_g", jacobian))
        np.testing.assert_allclose(abs(one @ other), 1, rtol=1e-10)


@pytest.mark.parametrize("kind", ["conflict_free", "imtl_g"])
@pytest.mark.parametrize(
    "jacobian", [np.stack([CONFLICT[0], -CONFLICT[0]]), np.asarray([[1.0, 0], [-1, 1], [0, -1]]), np.zeros((3, 2))]
)
def test_where_no_angles_are_equal_it_is_said(kind, jacobian):
    weights, state = apply(kind, jacobian)
    assert not state["converged"] and np.isfinite(weights).all()
    if kind == "conflict_free":
        np.testing.assert_allclose(np.asarray(weights) @ jacobian, 0, atol=1e-9)


@pytest.mark.parametrize("kind", ["conflict_free", "imtl_g"])
def test_a_gradient_listed_twice_changes_no_angle(kind):
    once, twice = CONFLICT[:2], CONFLICT[[0, 1, 0]]
    weights, state = apply(kind, twice)
    assert state["converged"]
    np.testing.assert_allclose(unit(np.asarray(weights) @ twice), unit(direction(kind, once)), atol=1e-9)


def test_imtl_g_does_not_grow_without_bound_where_its_weights_cancel():
    """`Σ (C⁻¹ 1)ᵢ / nᵢ = 0`: the second row is so short that its negative weight balances the others."""
    jacobian = unit(np.asarray([[1.0, 0], [1, 0.5]]))
    cosine = jacobian[0] @ jacobian[1]
    third = np.asarray([[1.0, 0, 0], [0.9, 0.1, 0], [0.5, 1.0, 0.3]])
    onto = np.linalg.solve(unit(third) @ unit(third).T, np.ones(3))
    assert cosine > 0 and (onto < 0).sum() == 1
    lengths = np.where(onto < 0, -onto, 1) / np.where(onto < 0, onto[onto > 0].sum(), 1)
    weights, state = apply("imtl_g", unit(third) * lengths[:, None])
    assert not state["converged"]
    np.testing.assert_allclose(np.abs(weights).sum(), 1, rtol=1e-9)

"""PCGrad and GradVac, element by element in NumPy, in the same random order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jacobian_steps import CONFLICT, NAMES, apply, direction, random_jacobian

from mtjax.weighting.surgery import random_order

ORDER = jax.jit(random_order, static_argnums=1)


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def meet(jacobian, order, targets=None, beta=0.5):
    """The changed gradients and the pairs' averages; without targets PCGrad's, with them GradVac's."""
    changed, averages = jacobian.copy(), None if targets is None else targets.copy()
    for i, others in enumerate(order):
        for j in others[others != i]:
            length = np.linalg.norm(changed[i])
            cosine = changed[i] @ jacobian[j] / length / np.linalg.norm(jacobian[j])
            if targets is None:
                changed[i] -= min(changed[i] @ jacobian[j], 0) / (jacobian[j] @ jacobian[j]) * jacobian[j]
                continue
            target = targets[i, j]
            if cosine < target:
                side, target_side = np.sqrt(1 - cosine**2), np.sqrt(1 - target**2)
                amount = length * (target * side - cosine * target_side) / np.linalg.norm(jacobian[j]) / target_side
                changed[i] += amount * jacobian[j]
            averages[i, j] = (1 - beta) * target + beta * cosine
    return changed, averages


@pytest.mark.parametrize("seed", range(8))
def test_pcgrad_is_algorithm_1(seed):
    jacobian = random_jacobian(seed, 4, 3, spread=1)
    order = np.asarray(ORDER(jax.random.key(seed), NAMES))
    got = direction("pcgrad", jacobian, seed=seed)
    np.testing.assert_allclose(got, meet(jacobian, order)[0].sum(0), atol=1e-12)


def test_gradvac_is_its_formula_over_several_steps():
    state, averages = None, np.zeros((4, 4))
    for seed in range(6):
        jacobian = random_jacobian(seed, 4, 3, spread=1)
        order = np.asarray(ORDER(jax.random.key(seed), NAMES))
        weights, state = apply("gradvac", jacobian, seed=seed, state=state, beta=0.3)
        changed, averages = meet(jacobian, order, averages, beta=0.3)
        np.testing.assert_allclose(np.asarray(weights) @ jacobian, changed.sum(0), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(state["similarity"], averages, atol=1e-12)


def test_pcgrad_without_conflict_is_the_sum():
    weights, _ = apply("pcgrad", np.abs(random_jacobian(0)))
    np.testing.assert_array_equal(weights, 1)


def test_pcgrad_of_two_has_a_closed_form_and_is_twice_upgrad():
    first, second = jacobian = CONFLICT[:2]
    inner = first @ second
    assert inner < 0
    wanted = first + second - inner / (second @ second) * second - inner / (first @ first) * first
    for seed in range(4):
        np.testing.assert_allclose(direction("pcgrad", jacobian, seed=seed), wanted, atol=1e-12)
    np.testing.assert_allclose(2 * direction("upgrad", jacobian), wanted, atol=1e-12)


def test_pcgrad_of_opposite_gradients_is_zero():
    np.testing.assert_allclose(direction("pcgrad", np.stack([CONFLICT[0], -CONFLICT[0]])), 0, atol=1e-14)


def test_gradvac_begins_as_pcgrad():
    jacobian = random_jacobian(3, 4, 3)
    for seed in range(4):
        got = direction("gradvac", jacobian, seed=seed)
        np.testing.assert_allclose(got, direction("pcgrad", jacobian, seed=seed), atol=1e-12)


def test_gradvac_brings_two_gradients_to_their_average_cosine():
    """Each changed gradient is `gᵢ + aᵢ gⱼ`, so that the weights tell both amounts."""
    jacobian = CONFLICT[:2]
    state = {"similarity": jnp.asarray([[0, 0.4], [0.4, 0]])}
    weights, _ = apply("gradvac", jacobian, state=state)
    for i, j in ((0, 1), (1, 0)):
        changed = jacobian[i] + (weights[j] - 1) * jacobian[j]
        cosine = changed @ jacobian[j] / np.linalg.norm(changed) / np.linalg.norm(jacobian[j])
        np.testing.assert_allclose(cosine, 0.4, atol=1e-12)


def test_gradvac_averages_of_identical_gradients_stay_finite():
    state = None
    for _ in range(60):
        weights, state = apply("gradvac", CONFLICT[[0, 0, 1]], state=state)
        assert np.isfinite(weights).all() and np.isfinite(state["similarity"]).all()
    np.testing.assert_allclose(state["similarity"][0, 1], 1, atol=1e-6)


def test_orders_are_permutations_and_every_one_comes():
    keys = jax.random.split(jax.random.key(0), 600)
    orders = np.asarray(jax.vmap(lambda key: random_order(key, ("a", "b", "c")))(keys))
    np.testing.assert_array_equal(np.sort(orders, -1), np.broadcast_to([0, 1, 2], orders.shape))
    for row in range(3):
        counts = np.unique(orders[:, row], axis=0, return_counts=True)[1]
        assert len(counts) == 6 and counts.min() > 60
    # The rows of one step are not the same permutation.
    assert (orders[:, 0] != orders[:, 1]).any(-1).mean() > 0.6

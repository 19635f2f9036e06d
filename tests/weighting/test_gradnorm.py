"""GradNorm: where it rests, that it follows its objective, and what it settles at."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jacobian_steps import CONFLICT, apply, compiled, random_jacobian

from mtjax.weighting import Signals
from mtjax.weighting.gradnorm import pace_gradient


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def test_the_first_weights_are_one():
    np.testing.assert_array_equal(apply("gradnorm", CONFLICT)[0], 1)


def test_equal_lengths_and_equal_paces_rest():
    state = None
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    for loss in (4.0, 2.0, 1.0):
        _, state = apply("gradnorm", turn, losses=loss * np.arange(1.0, 5), state=state)
        np.testing.assert_allclose(state["weights"], 1, rtol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_the_slope_is_that_of_the_objective(seed):
    """With the target held constant; lengths in units of their mean only scale it."""
    random = np.random.default_rng(seed)
    weights, lengths, losses, first = jnp.asarray(random.uniform(0.2, 2, size=(4, 4)))
    pace = losses / first / jnp.mean(losses / first)
    target = jnp.mean(weights * lengths) * pace**1.5
    wanted = jax.grad(lambda w: jnp.abs(w * lengths - target).sum())(weights) / lengths.mean()
    got = pace_gradient(weights, lengths, losses, first, jnp.ones(4, bool), 1.5)
    np.testing.assert_allclose(got, wanted, rtol=1e-12)


def test_it_settles_where_lengths_go_with_paces():
    """At fixed gradients and losses: `wᵢ ‖gᵢ‖ ∝ rᵢ^α`, the weights summing to their number."""
    method, _ = compiled("gradnorm", lr=1e-3)
    lengths, first, losses = jnp.asarray([1.0, 2, 0.5, 1]), jnp.ones(4), jnp.asarray([0.9, 1.0, 1.1, 0.8])
    present, gram = jnp.ones(4, bool), jnp.diag(lengths**2)
    _, state = method.update(Signals(first, present, gram=gram), method.init())

    @jax.jit
    def settle(state):
        return jax.lax.scan(
            lambda s, _: (method.update(Signals(losses, present, gram=gram), s)[1], None), state, length=4000
        )

    weights = np.asarray(settle(state)[0]["weights"])
    wanted = np.asarray(losses**1.5 / lengths)
    np.testing.assert_allclose(weights, 4 * wanted / wanted.sum(), rtol=0.02)
    np.testing.assert_allclose(weights.sum(), 4, rtol=1e-9)


def test_the_first_loss_is_the_first_that_was_seen():
    jacobian, some = random_jacobian(0), np.asarray([True, True, True, False])
    _, state = apply("gradnorm", jacobian, losses=[1.0, 2, 3, 0], present=some)
    _, state = apply("gradnorm", jacobian, losses=[9.0, 9, 9, 7], state=state)
    np.testing.assert_array_equal(state["first"], [1, 2, 3, 7])
    np.testing.assert_array_equal(state["seen"], True)


def test_losses_that_are_not_positive_do_no_harm():
    state = None
    for losses in ([0.0, -1, 1, 2], [1.0, 1, 0, -3], [0.0, 0, 0, 0]):
        weights, state = apply("gradnorm", random_jacobian(1), losses=losses, state=state)
        assert np.isfinite(weights).all() and np.isfinite(state["weights"]).all() and (state["weights"] >= 0).all()

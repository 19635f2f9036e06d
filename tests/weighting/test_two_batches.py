"""MoDo and SDMGrad reach MGDA's weights where both halves agree; Auto-λ follows the loss on the second half."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jacobian_steps import CONFLICT, NAMES, apply, compiled, random_jacobian

from mtjax.weighting import Signals


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


@functools.partial(jax.jit, static_argnums=(0, 2))
def repeated(update, start, count, gram, cross):
    signals = Signals(jnp.ones(len(gram)), jnp.ones(len(gram), bool), gram=gram, cross=cross)
    return jax.lax.scan(lambda state, _: (update(signals, state)[1], None), start, length=count)[0]


@pytest.mark.parametrize(
    ("kind", "params"),
    [("modo", {"lr": 0.01, "rho": 0.0}), ("sdmgrad", {"lr": 0.05, "momentum": 0.0, "regularization": 0.0})],
)
def test_both_reach_the_weights_of_mgda(kind, params):
    jacobian = CONFLICT + 1
    method, _ = compiled(kind, NAMES[:3], **params)
    gram = jnp.asarray(jacobian @ jacobian.T)
    got = repeated(method.update, method.init(), 3000, gram, gram)["weights"]
    np.testing.assert_allclose(got, apply("mgda", jacobian)[0], atol=1e-4)


def test_modo_is_one_projected_step():
    first, second = random_jacobian(0), random_jacobian(1)
    weights, _ = apply("modo", first, second=second, lr=1e-3, rho=0.5)
    even = np.full(4, 0.25)
    moved = even - 1e-3 * (first @ second.T @ even + 0.5 * even)
    np.testing.assert_allclose(weights, moved + (1 - moved.sum()) / 4, atol=1e-12)


def test_strong_pulls_give_equal_and_preferred_weights():
    method, _ = compiled("modo", lr=1e-4, rho=1e3)
    gram = jnp.asarray(random_jacobian(0) @ random_jacobian(0).T)
    np.testing.assert_allclose(repeated(method.update, method.init(), 2000, gram, gram)["weights"], 0.25, atol=2e-2)
    weights, _ = apply("sdmgrad", random_jacobian(0), regularization=1e3, preference=(1.0, 2.0, 3.0, 4.0))
    np.testing.assert_allclose(weights, [0.1, 0.2, 0.3, 0.4], atol=1e-3)


def test_sdmgrad_shortens_its_direction():
    """`½ ‖Σ (wᵢ + λ pᵢ) gᵢ‖²` over the simplex, against a fine grid."""
    jacobian = CONFLICT + 1
    weights, state = None, None
    for _ in range(5):
        weights, state = apply("sdmgrad", jacobian, state=state, lr=0.2, steps=200)
    np.testing.assert_allclose(weights.sum(), 1, rtol=1e-12)
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 101)] * 2), -1).reshape(-1, 2)
    grid = np.concatenate([grid, 1 - grid.sum(1, keepdims=True)], 1)
    grid = (grid[grid[:, 2] >= -1e-12] + 0.1) / 1.3
    best = np.linalg.norm(grid @ jacobian, axis=1).min()
    got = np.linalg.norm(np.asarray(weights) @ jacobian)
    assert best - 1e-2 * best < got < best + 1e-9


def test_auto_lambda_follows_the_loss_on_the_second_half():
    """Quadratic losses whose minima differ between the halves: the sign of each change is that of the derivative."""
    random = np.random.default_rng(0)
    minima, others = jnp.asarray(random.normal(size=(2, 4, 5)))
    primary = jnp.asarray([1.0, 0, 1, 0])

    def after(weights):
        theta = -1e-3 * jnp.einsum("t,tp->p", weights, -minima)
        return 0.5 * primary @ jnp.sum((theta - others) ** 2, -1)

    weights, state = apply("auto_lambda", -minima, second=-others, primary=("a", "c"), lr=1e-3)
    np.testing.assert_array_equal(np.sign(weights - 0.1), -np.sign(jax.grad(after)(jnp.full(4, 0.1))))
    exact = jax.grad(after)(jnp.zeros(4)) / 1e-3
    np.testing.assert_allclose(state["optimizer"][0].mu / 0.1 / 1e-4, exact, rtol=1e-9)


def test_auto_lambda_stands_still_without_a_primary_task_and_stays_positive():
    absent = np.asarray([False, True, True, True])
    weights, state = apply("auto_lambda", random_jacobian(0), primary=("a",), present=absent)
    np.testing.assert_allclose(weights, [0, 0.1, 0.1, 0.1])
    assert not state["optimizer"][0].mu.any()
    harmful = np.asarray([[1.0, 0], [-1, 0], [-2, 0], [0, 1]])
    for _ in range(4):
        weights, state = apply("auto_lambda", harmful, primary=("a",), lr=0.05, state=state)
    np.testing.assert_array_equal(weights[1:3], 0)
    assert weights[0] > 0.1

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from weighting_steps import compiled, data

from mtjax import weighting
from mtjax.weighting import Signals

ALL = jnp.ones(4, bool)


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def dwa_in_numpy(history, window, temperature):
    """The weights of the next step, from the losses that each task has shown so far."""
    rates = []
    for losses in history:
        full = len(losses) // window
        means = [np.mean(losses[i * window : (i + 1) * window]) for i in range(full)]
        rates.append(means[-1] / means[-2] if full >= 2 else 1.0)
    powers = np.exp(np.asarray(rates) / temperature)
    return len(rates) * powers / powers.sum()


@pytest.mark.parametrize("absent", [(), (1, 4, 5)])
def test_dwa_agrees_with_numpy(absent):
    method, step = compiled("dwa", window=3, temperature=1.5)
    state, history = method.init(), [[] for _ in range(4)]
    for number in range(20):
        losses, gradients, later = data(number)
        present = np.asarray([True, True, number not in absent, True])
        weights, _, state = step(state, losses, jnp.asarray(present), gradients, jax.random.key(0), later)
        expected = np.zeros(4)
        expected[present] = dwa_in_numpy([h for h, p in zip(history, present, strict=True) if p], 3, 1.5)
        np.testing.assert_allclose(weights, expected, rtol=1e-12)
        np.testing.assert_allclose(weights.sum(), present.sum())
        for task in np.flatnonzero(present):
            history[task].append(float(losses[task]))
    assert np.ptp(weights) > 0.05


def test_dwa_of_constant_losses_is_one():
    method, step = compiled("dwa", window=3, temperature=1.5)
    state = method.init()
    for number in range(10):
        losses, gradients, later = jnp.asarray([0.1, 7.0, 1e-30, 0.0]), *data(number)[1:]
        weights, _, state = step(state, losses, ALL, gradients, jax.random.key(0), later)
        np.testing.assert_allclose(weights, 1)


def test_dwa_gives_more_to_the_task_that_learns_slower_and_only_then():
    method, step = compiled("dwa", window=3, temperature=1.5)
    state = method.init()
    _, gradients, later = data(0)
    for number in range(7):
        losses = jnp.asarray([1.0, 1.0, 1.0, 1.0]) * jnp.asarray([0.5, 0.9, 1.0, 1.1]) ** number
        weights, _, state = step(state, losses, ALL, gradients, jax.random.key(0), later)
        if number < 6:
            np.testing.assert_allclose(weights, 1)
    assert np.all(np.diff(weights) > 0)


def draws(distribution, number=4000):
    """Many independent draws."""
    method = weighting.make("rlw", 4, distribution=distribution)
    losses = data(0)[0]

    @jax.jit
    def draw(keys):
        return jax.vmap(lambda key: method.update(Signals(losses, ALL, key=key), ())[0])(keys)

    return np.asarray(draw(jax.random.split(jax.random.key(0), number)))


def test_rlw_weights_are_positive_with_sum_one_and_equal_on_average():
    for distribution in ("normal", "dirichlet"):
        weights = draws(distribution)
        assert np.all(weights > 0)
        np.testing.assert_allclose(weights.sum(1), 1)
        np.testing.assert_allclose(weights.mean(0), 0.25, atol=0.01)
        assert np.all(np.abs(np.corrcoef(weights.T)[0, 1:] + 1 / 3) < 0.1)  # no two tasks draw alike


def test_rlw_draws_from_the_distribution_that_was_asked_for():
    normal, dirichlet = draws("normal"), draws("dirichlet")
    np.testing.assert_allclose(np.var(np.log(normal[:, 0] / normal[:, 1])), 2, rtol=0.1)
    np.testing.assert_allclose(np.var(dirichlet, 0), 3 / (16 * 5), rtol=0.1)  # (K-1) / (K² (K+1))
    np.testing.assert_allclose(np.mean(dirichlet[:, 0] < 0.1), 1 - 0.9**3, atol=0.03)  # marginal Beta(1, K-1)


def test_rlw_draws_anew_for_each_key_and_the_same_for_the_same():
    method, step = compiled("rlw")
    losses, gradients, later = data(0)
    one, again, other = [step((), losses, ALL, gradients, jax.random.key(seed), later)[0] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, other)
    with pytest.raises(ValueError, match=r"signals\.key must be a key, got None"):
        method.update(Signals(losses, ALL), ())


@pytest.mark.parametrize(
    ("kind", "params", "message"),
    [
        ("dwa", {"window": 0}, "window must be a positive number, got 0"),
        ("dwa", {"temperature": float("inf")}, "temperature must be a positive number, got inf"),
    ],
)
def test_a_wrong_parameter_gets_one_line(kind, params, message):
    with pytest.raises(ValueError, match=message):
        weighting.make(kind, 4, **params)

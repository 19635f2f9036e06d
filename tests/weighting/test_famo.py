import jax
import jax.numpy as jnp
import numpy as np
import pytest
from weighting_steps import Adam, compiled, data

from mtjax import weighting

ALL = jnp.ones(4, bool)
SOME = jnp.asarray([True, False, True, True])


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def softmax(x):
    powers = np.exp(x - x.max())
    return powers / powers.sum()


def test_agrees_with_numpy():
    floor = np.asarray([0.1, 0.0, -1.0, 0.05])
    method, step = compiled("famo", lr=0.1, decay=0.02, floor=tuple(floor))
    state, expected = method.init(), Adam(np.zeros(4), 0.1, 0.02)
    for number in range(8):
        losses, gradients, later = data(number)
        present = SOME if number in (0, 3) else ALL
        weights, _, state = step(state, losses, present, gradients, jax.random.key(0), later)
        here = np.flatnonzero(present)
        z = softmax(expected.value[here])
        gap, gap_later = np.asarray(losses)[here] - floor[here], np.asarray(later)[here] - floor[here]
        np.testing.assert_allclose(weights[here], z / gap / np.sum(z / gap), rtol=1e-9)
        jacobian = np.diag(z) - np.outer(z, z)
        gradient = np.zeros(4)
        gradient[here] = jacobian.T @ (np.log(gap) - np.log(gap_later))
        expected.step(gradient, present)
        np.testing.assert_allclose(state["logits"], expected.value, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(weights.sum(), 1)
    assert np.ptp(expected.value) > 0.1


@pytest.mark.parametrize(("decay", "shrinks"), [(0.0, False), (0.05, True)])
def test_equal_progress_leaves_the_logits_alone_up_to_decay(decay, shrinks):
    method, step = compiled("famo", lr=0.1, decay=decay)
    start = jnp.asarray([0.3, -0.2, 0.0, 1.0])
    state = {**method.init(), "logits": start}
    losses, gradients, _ = data(0)
    for _ in range(3):
        _, _, state = step(state, losses, ALL, gradients, jax.random.key(0), losses / 2)
    if shrinks:
        assert np.all(np.abs(state["logits"]) <= np.abs(start)) and state["logits"][3] < start[3]
    else:
        np.testing.assert_array_equal(state["logits"], start)


def test_a_task_that_progresses_less_gains_weight():
    method, step = compiled("famo", lr=0.1)
    losses, gradients, _ = data(0)
    later = losses * jnp.asarray([0.5, 0.99, 0.5, 0.5])
    before, _, state = step(method.init(), losses, ALL, gradients, jax.random.key(0), later)
    after, _, _ = step(state, losses, ALL, gradients, jax.random.key(0), later)
    assert after[1] > before[1] and np.all(np.delete(after < before, 1))


def test_the_first_weights_are_inverse_to_the_losses_above_the_floor():
    losses = data(0)[0]
    for floor, by_name in ((0.1, 0.1), ({"b": 0.1}, np.asarray([0, 0.1, 0, 0]))):
        method = weighting.make("famo", names=("a", "b", "c", "d"), floor=floor)
        weights, _ = method.update(weighting.Signals(losses, ALL), method.init())
        inverse = 1 / (losses - by_name)
        np.testing.assert_allclose(weights, inverse / inverse.sum(), rtol=1e-12)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"lr": -1.0}, "lr must be a positive number, got -1.0"),
        ({"decay": -0.1}, "decay must be a number that is not negative, got -0.1"),
        ({"floor": [0.0, 1.0]}, "floor has 2 numbers for 4 tasks"),
        ({"floor": {"z": 0.0}}, "floor has 'z'"),
        ({"floor": float("nan")}, "floor must be finite numbers, got nan"),
    ],
)
def test_a_wrong_parameter_gets_one_line(params, message):
    with pytest.raises(ValueError, match=message):
        weighting.make("famo", 4, **params)

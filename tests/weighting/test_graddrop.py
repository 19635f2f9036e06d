import jax
import jax.numpy as jnp
import numpy as np
import pytest
from weighting_steps import compiled, data, flat, flat_direction

from mtjax import weighting
from mtjax.weighting import Signals

ALL = jnp.ones(4, bool)
ROWS = np.random.default_rng(0).normal(size=(4, 7))


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def direction(gradients, seed=0, leak=0.0):
    method, step = compiled("graddrop", leak=leak)
    return step(method.init(), data(0)[0], ALL, gradients, jax.random.key(seed), data(0)[0])[1]


def test_every_coordinate_comes_from_gradients_of_one_sign():
    gradients = data(0)[1]
    rows = flat(gradients)
    plus, minus = np.maximum(rows, 0).sum(0), np.minimum(rows, 0).sum(0)
    drawn = [flat_direction(direction(gradients, seed)) for seed in range(5)]
    for one in drawn:
        assert np.all(np.isclose(one, plus, rtol=1e-12) | np.isclose(one, minus, rtol=1e-12))
    assert not np.allclose(drawn[0], drawn[1])


def test_without_conflict_it_is_the_sum():
    rows = np.abs(ROWS) * np.sign(ROWS[0])
    for seed in range(5):
        np.testing.assert_allclose(direction(rows, seed), rows.sum(0), rtol=1e-12)


@pytest.mark.parametrize("leak", [1.0, 0.3])
def test_the_leak_is_the_share_of_the_plain_sum(leak):
    expected = leak * ROWS.sum(0) + (1 - leak) * direction(ROWS)
    np.testing.assert_allclose(direction(ROWS, leak=leak), expected, rtol=1e-12)


def test_the_mean_over_draws_is_that_of_the_published_probability():
    method = weighting.make("graddrop", 4)
    weights = jnp.ones(4)
    rows = jnp.asarray(ROWS)
    keys = jax.random.split(jax.random.key(1), 4000)
    mean = jax.jit(lambda k: jax.vmap(lambda key: method.direction(rows, weights, {"key": key}))(k).mean(0))(keys)
    rows = ROWS
    probability = 0.5 * (1 + rows.sum(0) / np.abs(rows).sum(0))
    plus, minus = np.maximum(rows, 0).sum(0), np.minimum(rows, 0).sum(0)
    deviation = (plus - minus) * np.sqrt(probability * (1 - probability) / 4000)
    assert np.all(np.abs(mean - probability * plus - (1 - probability) * minus) < 5 * deviation + 1e-12)


def test_the_direction_is_a_pure_function_of_gradients_weights_and_state():
    method = weighting.make("graddrop", 4)
    rows = jnp.asarray(ROWS)
    weights, state = method.update(Signals(data(0)[0], ALL, gradients=rows, key=jax.random.key(5)), method.init())
    np.testing.assert_array_equal(weights, 1)
    np.testing.assert_array_equal(method.direction(rows, weights, state), method.direction(rows, weights, state))
    np.testing.assert_allclose(method.direction(rows, weights, state), direction(rows, 5))


def test_leaves_of_one_shape_draw_differently():
    both = direction({"one": ROWS, "two": ROWS})
    assert not np.allclose(both["one"], both["two"])


def test_bfloat16_gradients_draw_in_float32():
    rows = jnp.asarray(ROWS, jnp.bfloat16)
    found = direction(rows)
    assert found.dtype == jnp.bfloat16
    plus, minus = jnp.maximum(rows, 0).sum(0), jnp.minimum(rows, 0).sum(0)
    exact = np.asarray(found, float)
    assert np.all(np.isclose(exact, np.asarray(plus, float), rtol=0.02) | np.isclose(exact, minus, rtol=0.02))


def test_it_depends_on_the_axes():
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(7, 7)))[0]
    assert not np.allclose(direction(ROWS @ rotation), direction(ROWS) @ rotation, rtol=1e-2)


@pytest.mark.parametrize("leak", [-0.1, 1.5, float("nan")])
def test_a_wrong_leak_gets_one_line(leak):
    with pytest.raises(ValueError, match=f"leak must be between 0 and 1, got {leak}"):
        weighting.make("graddrop", 4, leak=leak)


def test_without_a_key_it_says_so():
    method = weighting.make("graddrop", 4)
    with pytest.raises(ValueError, match=r"signals\.key must be a key, got None"):
        method.update(Signals(data(0)[0], ALL, gradients=ROWS), method.init())

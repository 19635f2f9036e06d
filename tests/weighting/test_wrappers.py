import jax
import jax.numpy as jnp
import numpy as np
import pytest
from weighting_steps import NAMES, data, flat, flat_direction, step_of

from mtjax import weighting
from mtjax.weighting import Signals, Weighting
from mtjax.weighting.wrappers import preferred, smoothed

ALL = jnp.ones(4, bool)
SOME = jnp.asarray([True, False, True, True])
KEY = jax.random.key(0)
PREFERENCE = (3.0, 1.0, 0.5, 1.5)
FACTORS = 4 * np.asarray(PREFERENCE) / np.sum(PREFERENCE)


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def make(kind, **params):
    return weighting.make(kind, names=NAMES, **params)


def scaled(gradients, factors=FACTORS):
    return jax.tree.map(lambda g: g * jnp.asarray(factors).reshape(-1, *(1,) * (g.ndim - 1)), gradients)


def test_smoothed_is_the_moving_average_of_the_weights():
    plain, wrapped = make("log"), smoothed(make("log"), NAMES, 0.7)
    step, plain_step = step_of(wrapped), step_of(plain)
    state, average = wrapped.init(), np.full(4, np.nan)
    for number in range(7):
        losses, gradients, later = data(number)
        present = SOME if number in (0, 1, 4) else ALL
        raw = np.asarray(plain_step((), losses, present, gradients, KEY, later)[0])
        weights, direction, state = step(state, losses, present, gradients, KEY, later)
        fresh = np.isnan(average)
        average = np.where(present, np.where(fresh, raw, 0.7 * average + 0.3 * raw), average)
        np.testing.assert_allclose(weights, np.where(present, average, 0), rtol=1e-12)
        np.testing.assert_allclose(flat_direction(direction), weights @ flat(gradients), rtol=1e-12)
        kept = np.where(np.isnan(average), 0, average)
        np.testing.assert_allclose(state["average"], kept, rtol=1e-12)


def test_smoothed_without_momentum_is_the_method():
    wrapped, plain = smoothed(make("famo"), NAMES, 0.0), make("famo")
    step, plain_step = step_of(wrapped), step_of(plain)
    state, plain_state = wrapped.init(), plain.init()
    for number in range(3):
        losses, gradients, later = data(number)
        weights, _, state = step(state, losses, ALL, gradients, KEY, later)
        expected, _, plain_state = plain_step(plain_state, losses, ALL, gradients, KEY, later)
        np.testing.assert_allclose(weights, expected, rtol=1e-12)
    jax.tree.map(np.testing.assert_array_equal, state["inner"], plain_state)
    assert np.any(plain_state["logits"] != 0)  # `later` was heard


def test_smoothed_keeps_buffers_of_the_gradients_size():
    wrapped = smoothed(make("excess_mtl", lr=0.5), NAMES)
    step, state = step_of(wrapped), wrapped.init(data(0)[1])
    for number in range(3):
        losses, gradients, later = data(number)
        weights, _, state = step(state, losses, ALL, gradients, KEY, later)
    np.testing.assert_allclose(weights.sum(), 1)
    assert wrapped.levels == ("parameters",) and wrapped.needs == "gradients"
    with pytest.raises(ValueError, match="init needs them"):
        wrapped.init()


def counting(names=NAMES):
    """A method that tells whether it converged: at every second step."""
    del names

    def update(signals, state):
        return signals.gram.sum(1) + signals.cross[0], {
            "steps": state["steps"] + 1,
            "converged": state["steps"] % 2 == 1,
        }

    return Weighting(lambda _=None: {"steps": jnp.zeros((), int), "converged": jnp.ones((), bool)}, update, "halves")


def test_smoothed_lets_it_be_seen_whether_the_method_converged():
    signals = Signals(data(0)[0], ALL, gram=jnp.eye(4), cross=jnp.eye(4))
    wrapped = smoothed(smoothed(counting(), NAMES), NAMES)
    state, seen = wrapped.init(), []
    for _ in range(4):
        _, state = wrapped.update(signals, state)
        seen.append(bool(state["converged"]))
    assert seen == [False, True, False, True] and state["inner"]["inner"]["steps"] == 4


@pytest.mark.parametrize("kind", ["graddrop", "moco", "db_mtl"])
def test_smoothed_needs_weights(kind):
    with pytest.raises(ValueError, match="weighting makes a direction of its own"):
        smoothed(make(kind), NAMES)


@pytest.mark.parametrize("momentum", [1.0, -0.1, float("nan")])
def test_a_wrong_momentum_gets_one_line(momentum):
    with pytest.raises(ValueError, match=f"momentum must be at least 0 and below 1, got {momentum}"):
        smoothed(make("log"), NAMES, momentum)


@pytest.mark.parametrize("kind", ["equal", "geometric", "dwa", "famo", "graddrop", "excess_mtl", "moco", "db_mtl"])
def test_preferred_is_the_method_on_scaled_losses(kind):
    params = {"dwa": {"window": 1}, "famo": {"floor": 0.1}, "excess_mtl": {"lr": 0.5}}.get(kind, {})
    plain = make(kind, **params)
    wrapped = preferred(plain, NAMES, PREFERENCE)
    step, plain_step = step_of(wrapped), step_of(plain)
    state, plain_state = wrapped.init(data(0)[1]), plain.init(data(0)[1])
    for number in range(4):
        losses, gradients, later = data(number)
        key = jax.random.key(number)
        weights, direction, state = step(state, losses, ALL, gradients, key, later)
        expected, expected_direction, plain_state = plain_step(
            plain_state, FACTORS * losses, ALL, scaled(gradients), key, FACTORS * later
        )
        np.testing.assert_allclose(weights, FACTORS * expected, rtol=1e-12)
        np.testing.assert_allclose(
            flat_direction(direction), flat_direction(expected_direction), rtol=1e-10, atol=1e-12
        )


def test_preferred_scales_inner_products_by_row_and_column():
    random = np.random.default_rng(0)
    rows, second = random.normal(size=(2, 4, 6))
    signals = Signals(data(0)[0], ALL, gram=jnp.asarray(rows @ rows.T), cross=jnp.asarray(rows @ second.T))
    wrapped = preferred(counting(), NAMES, PREFERENCE)
    weights, _ = wrapped.update(signals, wrapped.init())
    ours, theirs = FACTORS[:, None] * rows, FACTORS[:, None] * second
    np.testing.assert_allclose(weights, FACTORS * ((ours @ ours.T).sum(1) + (ours @ theirs.T)[0]), rtol=1e-12)


def test_a_preference_does_not_move_a_method_that_sees_no_scale():
    losses = data(0)[0]
    wrapped = preferred(make("log"), NAMES, PREFERENCE)
    weights, _ = wrapped.update(Signals(losses, ALL), wrapped.init())
    np.testing.assert_allclose(weights, 1 / losses, rtol=1e-12)


def test_a_preference_by_name_is_that_by_order_and_has_no_scale():
    losses = data(0)[0]
    given = [{"a": 30.0, "b": 10.0, "c": 5.0, "d": 15.0}, PREFERENCE, {"a": 3.0, "c": 0.5, "d": 1.5}]
    found = [preferred(make("equal"), NAMES, p).update(Signals(losses, ALL), ())[0] for p in given]
    np.testing.assert_allclose(found, np.broadcast_to(FACTORS / 4, (3, 4)), rtol=1e-12)


def test_wrappers_go_around_each_other():
    methods = [
        smoothed(preferred(make("famo"), NAMES, PREFERENCE), NAMES, 0.5),
        preferred(smoothed(make("famo"), NAMES, 0.5), NAMES, PREFERENCE),
    ]
    found = []
    for method in methods:
        step, state = step_of(method), method.init()
        for number in range(4):
            losses, gradients, later = data(number)
            present = SOME if number == 2 else ALL
            weights, _, state = step(state, losses, present, gradients, KEY, later)
        found.append(np.asarray(weights))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12)
    assert np.ptp(found[0]) > 0.01


@pytest.mark.parametrize(
    ("preference", "message"),
    [
        ((1.0, 2.0), "preference has 2 numbers for 4 tasks"),
        ({"z": 1.0}, "preference has 'z', which is not a task; the tasks are a, b, c, d"),
        ({"a": -1.0}, "preference must be positive numbers, got -1.0"),
        ((1.0, 1.0, float("inf"), 1.0), "preference must be finite numbers, got inf"),
    ],
)
def test_a_wrong_preference_gets_one_line(preference, message):
    with pytest.raises(ValueError, match=message):
        preferred(make("log"), NAMES, preference)

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from weighting_steps import Adam, compiled, data, flat, flat_direction

from mtjax import weighting
from mtjax.weighting import Signals

ALL = jnp.ones(4, bool)
SOME = jnp.asarray([True, False, True, True])


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def weights_of(kind, losses, present=ALL, **params):
    method = weighting.make(kind, len(losses), **params)
    return method.update(Signals(losses, present), method.init())[0]


def smooth_maximum(losses, mu, preference, nadir):
    return len(losses) * mu * jax.nn.logsumexp(preference * jnp.log(losses / nadir) / mu)


@pytest.mark.parametrize("present", [ALL, SOME])
@pytest.mark.parametrize(
    ("kind", "objective"),
    [
        ("log", lambda losses: jnp.log(losses).sum()),
        ("geometric", lambda losses: jnp.prod(losses) ** (1 / len(losses))),
        ("stch", lambda losses: smooth_maximum(losses, 1.0, 1.0, 1.0)),
    ],
)
def test_weights_are_the_derivative_of_the_published_objective_of_the_present_tasks(kind, objective, present):
    losses = data(0)[0]
    expected = np.zeros(4)
    expected[present] = jax.grad(objective)(losses[present])
    np.testing.assert_allclose(weights_of(kind, losses, present), expected, rtol=1e-12)


@pytest.mark.parametrize("kind", ["log", "geometric"])
def test_the_unit_of_a_loss_does_not_change_where_to_go(kind):
    losses, gradients, _ = data(1)
    units = jnp.asarray([1e3, 1.0, 0.02, 7.0])
    rows = flat(gradients)
    there = weights_of(kind, losses) @ rows
    again = weights_of(kind, units * losses) @ (units[:, None] * rows)
    np.testing.assert_allclose(again / jnp.linalg.norm(again), there / jnp.linalg.norm(there), rtol=1e-10)
    equal = weights_of("equal", losses)
    assert not np.allclose(equal @ rows / jnp.linalg.norm(equal @ rows), there / jnp.linalg.norm(there), rtol=1e-2)


def test_geometric_points_where_log_does_and_has_the_mean_geometric_length():
    losses = data(2)[0]
    ratio = weights_of("geometric", losses) / weights_of("log", losses)
    np.testing.assert_allclose(ratio, np.prod(losses) ** 0.25 / 4, rtol=1e-12)


@pytest.mark.parametrize("kind", ["log", "geometric", "stch"])
def test_below_its_least_value_a_loss_counts_as_that(kind):
    losses = jnp.asarray([1e-8, 0.5, 2.0, 1.0])
    for tiny in (0.0, 1e-30, -3.0):
        np.testing.assert_array_equal(weights_of(kind, losses.at[0].set(tiny)), weights_of(kind, losses))


def test_imtl_l_settles_where_all_weighted_losses_are_one():
    """At fixed losses the minimum over s is s = -log L, and the direction is that of the logarithms."""
    method = weighting.make("imtl_l", 4, lr=0.05)
    given = Signals(jnp.asarray([0.02, 1.0, 30.0, 5.0]), ALL)
    state = jax.lax.scan(lambda s, _: (method.update(given, s)[1], None), method.init(), None, length=2000)[0]
    np.testing.assert_allclose(state["log_weight"], -np.log(given.losses), atol=1e-4)
    weights, _ = method.update(given, state)
    np.testing.assert_allclose(weights, weights_of("log", given.losses), rtol=1e-4)


def test_imtl_l_is_twice_uncertainty():
    """With s for -s their objectives are the same but for a factor, to which Adam is blind."""
    one, step = compiled("imtl_l", lr=0.1)
    other, other_step = compiled("uncertainty", lr=0.1)
    state, other_state = one.init(), other.init()
    for number in range(6):
        losses, gradients, later = data(number)
        key = jax.random.key(0)
        weights, _, state = step(state, losses, ALL, gradients, key, later)
        halves, _, other_state = other_step(other_state, losses, ALL, gradients, key, later)
        np.testing.assert_allclose(weights, 2 * halves, rtol=1e-5)
    assert np.ptp(weights) > 0.05


def test_imtl_l_agrees_with_numpy():
    method, step = compiled("imtl_l", lr=0.1, init=0.3)
    state, expected = method.init(), Adam(np.full(4, 0.3), 0.1)
    for number in range(8):
        losses, gradients, later = data(number)
        present = SOME if number in (0, 3) else ALL
        weights, _, state = step(state, losses, present, gradients, jax.random.key(0), later)
        np.testing.assert_allclose(weights, np.where(present, np.exp(expected.value), 0), rtol=1e-7)
        expected.step(np.exp(expected.value) * np.asarray(losses) - 1, present)


def test_stch_agrees_with_its_objective_after_the_warm_up():
    preference = np.asarray([1.0, 2.0, 0.5, 3.0])
    method, step = compiled("stch", mu=0.3, warmup=3, preference=tuple(preference))
    state, seen, scaled = method.init(), [], preference * 4 / preference.sum()
    for number in range(6):
        losses, gradients, later = data(number)
        weights, _, state = step(state, losses, ALL, gradients, jax.random.key(0), later)
        if number < 3:
            seen.append(np.asarray(losses))
            np.testing.assert_allclose(weights, scaled / losses, rtol=1e-12)
        else:
            expected = jax.grad(smooth_maximum)(losses, 0.3, scaled, np.mean(seen, 0))
            np.testing.assert_allclose(weights, expected, rtol=1e-12)


def test_stch_of_a_task_that_comes_late_warms_up_again():
    method, step = compiled("stch", mu=0.3, warmup=2)
    state, smooth = method.init(), []
    for number in range(7):
        losses, gradients, later = data(number)
        weights, _, state = step(state, losses, ALL if number >= 3 else SOME, gradients, jax.random.key(0), later)
        smooth.append(not np.allclose(weights[0], 1 / losses[0]))
    assert smooth == [False, False, True, False, False, True, True]
    early, late = [np.mean([data(n)[0][task] for n in steps]) for task, steps in ((0, (0, 1)), (1, (3, 4)))]
    np.testing.assert_allclose(state["total"][:2] / 2, [early, late])


def test_stch_lets_only_the_largest_loss_speak_as_mu_vanishes():
    losses = jnp.asarray([0.5, 3.0, 1.0, 2.9])
    np.testing.assert_allclose(weights_of("stch", losses, mu=1e-4), [0, 4 / 3.0, 0, 0], atol=1e-12)
    preferring = weights_of("stch", losses, mu=1e-4, preference={"3": 2.0})
    np.testing.assert_allclose(preferring, [0, 0, 0, 4 * 1.6 / 2.9], atol=1e-12)


def test_stch_becomes_log_as_mu_grows():
    losses = data(3)[0]
    np.testing.assert_allclose(weights_of("stch", losses, mu=1e8), weights_of("log", losses), rtol=1e-6)


def test_stch_does_not_mind_the_scale_of_the_preference():
    losses = data(3)[0]
    one, other = [weights_of("stch", losses, preference=[s * 1.0, s * 2.0, s * 3.0, s * 1.0]) for s in (1.0, 50.0)]
    np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize(
    ("kind", "params", "message"),
    [
        ("imtl_l", {"lr": 0.0}, "lr must be a positive number, got 0.0"),
        ("stch", {"mu": -1.0}, "mu must be a positive number, got -1.0"),
        ("stch", {"warmup": -1}, "warmup must be a number that is not negative, got -1"),
        ("stch", {"preference": {"z": 1.0}}, "preference has 'z', which is not a task"),
        ("stch", {"preference": [1.0, 2.0]}, "preference has 2 numbers for 4 tasks"),
        ("stch", {"preference": [1.0, 0.0, 1.0, 1.0]}, "preference must be positive numbers, got 0.0"),
        ("stch", {"preference": [1.0, float("nan"), 1.0, 1.0]}, "preference must be finite numbers, got nan"),
    ],
)
def test_a_wrong_parameter_gets_one_line(kind, params, message):
    with pytest.raises(ValueError, match=message) as error:
        weighting.make(kind, 4, **params)
    assert "\n" not in str(error.value)


def test_direction_of_a_step_is_the_weighted_sum():
    losses, gradients, later = data(5)
    method, step = compiled("log")
    weights, direction, _ = step(method.init(), losses, ALL, gradients, jax.random.key(0), later)
    np.testing.assert_allclose(flat_direction(direction), weights @ flat(gradients), rtol=1e-12)

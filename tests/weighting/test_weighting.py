import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtjax import weighting
from mtjax.weighting import Signals

JACOBIAN = jnp.asarray([[1.0, 2.0, 3.0, 4.0], [-1.0, 0.5, 0.0, 2.0], [3.0, 3.0, -3.0, 0.0]])


def signals(losses, present=(True, True, True)):
    return Signals(jnp.asarray(losses, jnp.float32), jnp.asarray(present))


def test_equal_is_the_mean_of_the_gradients():
    np.testing.assert_allclose(weighting.combine("equal", JACOBIAN), JACOBIAN.mean(0), atol=1e-6)


def test_equal_leaves_absent_tasks_out_of_the_mean():
    method = weighting.make("equal", 3)
    weights, _ = method.update(signals([1, 0, 4], (True, False, True)), method.init())
    np.testing.assert_allclose(weights, [0.5, 0, 0.5])


def test_equal_of_nothing_is_nothing():
    method = weighting.make("equal", 3)
    weights, _ = method.update(signals([0, 0, 0], (False, False, False)), method.init())
    np.testing.assert_array_equal(weights, 0)


@pytest.mark.parametrize("weights", [{"b": 3.0}, (1.0, 3.0, 1.0)])
def test_fixed_by_name_and_by_order_agree(weights):
    method = weighting.make("fixed", names=("a", "b", "c"), weights=weights)
    got, _ = method.update(signals([1, 1, 1], (True, True, False)), method.init())
    np.testing.assert_allclose(got, [1, 3, 0])


@pytest.mark.parametrize(
    ("weights", "message"), [({"z": 1.0}, "'z'"), ((1.0, 2.0), "2 numbers for 3"), ((1.0, -2.0, 1.0), "negative")]
)
def test_fixed_names_what_is_wrong(weights, message):
    with pytest.raises(ValueError, match=message):
        weighting.make("fixed", names=("a", "b", "c"), weights=weights)


def test_uncertainty_settles_at_the_logarithm_of_the_loss():
    """At fixed losses the minimum over s is s = log L, where the weighted losses are all one half."""
    method = weighting.make("uncertainty", 3, lr=0.05)
    given = signals([0.02, 1.0, 30.0])

    def body(state, _):
        _, state = method.update(given, state)
        return state, None

    state, _ = jax.lax.scan(body, method.init(), None, length=2000)
    np.testing.assert_allclose(state["log_variance"], np.log([0.02, 1.0, 30.0]), atol=2e-3)
    weights, _ = method.update(given, state)
    np.testing.assert_allclose(weights * given.losses, 0.5, rtol=1e-2)


def test_uncertainty_follows_the_gradient_of_its_published_objective():
    losses = jnp.asarray([0.3, 2.0])
    s = jnp.asarray([0.4, -0.1])
    objective = lambda s: jnp.sum(0.5 * jnp.exp(-s) * losses + 0.5 * s)  # noqa: E731
    method = weighting.make("uncertainty", 2, lr=1e-3)
    state = {**method.init(), "log_variance": s}
    _, after = method.update(Signals(losses, jnp.ones(2, bool)), state)
    np.testing.assert_array_equal(jnp.sign(after["log_variance"] - s), -jnp.sign(jax.grad(objective)(s)))


def test_uncertainty_of_an_absent_task_stands_still():
    method = weighting.make("uncertainty", 2, lr=0.1)
    present, half = jnp.asarray([True, True]), jnp.asarray([True, False])
    _, state = method.update(Signals(jnp.asarray([0.1, 5.0]), present), method.init())
    weights, after = method.update(Signals(jnp.asarray([0.1, 0.0]), half), state)
    assert weights[1] == 0
    for new, old in zip(jax.tree.leaves(after), jax.tree.leaves(state), strict=True):
        if new.ndim:
            assert new[1] == old[1]
    assert after["log_variance"][0] != state["log_variance"][0]


def test_methods_that_should_differ_do():
    losses = jnp.asarray([0.1, 1.0, 10.0])
    got = [weighting.combine(kind, JACOBIAN, losses=losses) for kind in ("equal", "fixed", "uncertainty")]
    assert not np.allclose(got[0], got[1]) and not np.allclose(got[0], got[2]) and not np.allclose(got[1], got[2])


def test_an_unknown_method_gets_the_nearest_name():
    with pytest.raises(ValueError, match="uncertainty"):
        weighting.make("uncertanty", 3)

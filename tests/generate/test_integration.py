"""Solvers of a flow's equation, where the flow is known: between Gaussians, and of order one and two."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtjax.generate import METHODS, integrate
from mtjax.registry import ConfigError

MEAN, DEVIATION = 2.0, 0.3


def gaussian_velocity(y, time):
    """E[e - x | y] of `y = (1 - t) x + t e`, for x normal with `MEAN` and `DEVIATION` and e standard normal."""
    variance = (1 - time) ** 2 * DEVIATION**2 + time**2
    covariance = time - (1 - time) * DEVIATION**2  # of e - x with y
    return -MEAN + covariance / variance * (y - (1 - time) * MEAN)


@functools.cache
def solver(method, steps):
    return jax.jit(lambda start: integrate(gaussian_velocity, start, steps=steps, method=method))


def error(method, steps):
    """At time 0 a start e has come to `mean + deviation · e`: the map between Gaussians that keeps quantiles."""
    start = jnp.linspace(-2, 2, 5)
    return float(np.abs(solver(method, steps)(start) - (MEAN + DEVIATION * start)).max())


@pytest.mark.parametrize("method", METHODS)
def test_noise_is_transported_to_the_data(method):
    made = solver(method, 200)(jax.random.normal(jax.random.key(0), (4096,)))
    np.testing.assert_allclose(made.mean(), MEAN, atol=5 * DEVIATION / 64)
    np.testing.assert_allclose(made.std(), DEVIATION, rtol=0.06)


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("heun", 2), ("adams_bashforth", 2)])
def test_the_error_falls_with_the_order_of_the_method(method, order):
    observed = np.log2(error(method, 40) / error(method, 80))
    assert abs(observed - order) < 0.25


def test_a_straight_flow_needs_one_step():
    for method in METHODS:
        made = integrate(lambda y, time: jnp.full_like(y, 3.0), jnp.ones(2), steps=1, method=method)
        np.testing.assert_allclose(made, -2.0)


@pytest.mark.parametrize(("changes", "message"), [({"steps": 0}, "steps=0"), ({"method": "hein"}, "'heun'")])
def test_what_cannot_be_solved_is_named_in_one_line(changes, message):
    with pytest.raises((ValueError, ConfigError), match=message) as caught:
        integrate(gaussian_velocity, jnp.ones(2), **{"steps": 3, **changes})
    assert "\n" not in str(caught.value)

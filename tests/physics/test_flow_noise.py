"""The noise of a flow: its mean and deviation at a time, its ends, and the times that are drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from mtjax import physics

VALUES = np.array([0.05, 0.3, 0.9])
CLEAN = jnp.broadcast_to(jnp.asarray(VALUES), (64, 64, 3))
KEY = jax.random.key(0)


@jax.jit
def draw(noise, key, clean):
    return noise(key, clean)


@jax.jit
def observe(keys, image):
    spec = {"operator": {"kind": "identity"}, "noise": {"kind": "flow"}}
    return physics.observe(spec, keys, image)


@pytest.mark.parametrize("time", [0.25, 1.0])
def test_mean_and_deviation_are_those_of_the_straight_way(time):
    noise = physics.FlowNoise(time)
    y = np.asarray(draw(noise, KEY, CLEAN), np.float64)
    deviation, count = time / 2, 64 * 64
    np.testing.assert_allclose(y.mean((0, 1)), (1 - time) * VALUES + time / 2, atol=5 * deviation / count**0.5)
    np.testing.assert_allclose(y.std((0, 1)), deviation, rtol=5 / (2 * count) ** 0.5)
    np.testing.assert_allclose(noise.variance(CLEAN), deviation**2, rtol=1e-6)
    assert float(noise.level(CLEAN)) == time


def test_at_time_0_it_is_the_image_and_the_way_is_straight():
    np.testing.assert_array_equal(draw(physics.FlowNoise(0.0), KEY, CLEAN), CLEAN)
    middle, end = (draw(physics.FlowNoise(time), KEY, CLEAN) for time in (0.3, 1.0))
    np.testing.assert_allclose(middle, 0.7 * CLEAN + 0.3 * end, atol=1e-6)


def test_an_observation_draws_a_time_per_example_and_tells_it():
    keys, image = jax.random.split(KEY, 256), jnp.zeros((256, 4, 4, 1))
    seen, turned = observe(keys, image), observe(keys[::-1], image[::-1])
    assert seen.noise_level.shape == (256, 1, 1, 1)
    times = np.asarray(seen.noise_level).ravel()
    assert stats.kstest(times, "uniform").pvalue > 1e-3
    np.testing.assert_allclose(turned.noise_level[::-1], seen.noise_level)
    np.testing.assert_allclose(turned.y[::-1], seen.y, atol=1e-6)
    # The image is 0, so what is seen is `t` times noise of mean and deviation 1/2.
    noise = np.asarray(seen.y).reshape(256, -1) / times[:, None]
    assert stats.kstest(noise.ravel(), "norm", (0.5, 0.5)).pvalue > 1e-3


def test_logit_normal_times_are_what_they_are_called():
    drawn = physics.NOISES["flow"](jax.random.split(KEY, 256), time="logit_normal").time
    assert drawn.shape == (256, 1, 1, 1)
    times = np.asarray(drawn, np.float64).ravel()
    assert stats.kstest(np.log(times / (1 - times)), "norm").pvalue > 1e-3


def test_the_gradient_is_that_of_the_image_that_is_left():
    gradient = jax.grad(lambda x: draw(physics.FlowNoise(0.25), KEY, x).sum())(CLEAN)
    np.testing.assert_allclose(gradient, 0.75)


@pytest.mark.parametrize("time", [-0.1, 1.5])
def test_a_time_outside_is_named_in_one_line(time):
    with pytest.raises(ValueError, match=f"time={time}") as caught:
        physics.FlowNoise(time)
    assert "\n" not in str(caught.value)

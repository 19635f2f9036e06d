"""Noises: mean and variance are those of their models, to five standard errors; draws repeat, gradients are finite."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtjax import physics

VALUES = jnp.array([0.05, 0.3, 0.9])  # one for each channel
SHAPE = (128, 128, 3)
CLEAN = jnp.broadcast_to(VALUES, SHAPE)
COUNT = SHAPE[0] * SHAPE[1]
KEY = jax.random.key(0)

# name -> (noise, mean and variance of each value of `VALUES`)
NOISES = {
    "gaussian": (physics.GaussianNoise(0.1), VALUES, 0.1**2 * jnp.ones(3)),
    "poisson": (physics.PoissonNoise(40.0), VALUES, VALUES / 40),
    "poisson-gaussian": (physics.PoissonGaussianNoise(40.0, 0.05), VALUES, VALUES / 40 + 0.05**2),
    # Two values with probability 0.1 each, the third with 0.8.
    "salt-pepper": (
        physics.SaltPepperNoise(0.2),
        0.1 + 0.8 * VALUES,
        0.1 * (0.1 + 0.8 * VALUES) ** 2 + 0.1 * (0.9 - 0.8 * VALUES) ** 2 + 0.8 * (0.1 - 0.2 * VALUES) ** 2,
    ),
    "speckle": (physics.SpeckleNoise(0.3), VALUES, (0.3 * VALUES) ** 2),
}


@jax.jit
def draw(noise, key, clean):
    return noise(key, clean)


@pytest.mark.parametrize("name", NOISES)
def test_noise_has_its_mean_variance_and_level(name):
    noise, mean, variance = NOISES[name]
    y = np.asarray(draw(noise, KEY, CLEAN), np.float64)
    assert y.shape == SHAPE
    error = y.mean((0, 1)) - mean
    assert (np.abs(error) < 5 * np.sqrt(variance / COUNT)).all()
    # The standard error of a variance follows from the fourth moment, here that of the sample.
    squares = (y - np.asarray(mean)) ** 2
    assert (np.abs(squares.mean((0, 1)) - variance) < 5 * squares.std((0, 1)) / np.sqrt(COUNT)).all()
    np.testing.assert_allclose(jnp.broadcast_to(noise.variance(CLEAN), SHAPE)[0, 0], variance, rtol=1e-5)
    level = noise.level(CLEAN)
    assert level.size == 1  # a picture of it would give the clean image away
    np.testing.assert_allclose(level.squeeze(), jnp.sqrt(variance.mean()), rtol=1e-5)


@pytest.mark.parametrize("name", NOISES)
def test_noise_is_a_function_of_its_key(name):
    noise = NOISES[name][0]
    one, again, other = (draw(noise, key, CLEAN) for key in (KEY, KEY, jax.random.key(1)))
    np.testing.assert_array_equal(one, again)
    assert (one != other).mean() > 0.1


def test_neighbors_are_independent():
    for noise, _, variance in NOISES.values():
        y = draw(noise, KEY, CLEAN)
        y = y - y.mean((0, 1))
        products = (y[:, 1:] * y[:, :-1]).mean((0, 1)), (y[..., 0] * y[..., 2]).mean()
        assert (np.abs(products[0]) < 6 * variance / np.sqrt(COUNT)).all()
        assert np.abs(products[1]) < 6 * np.sqrt(variance[0] * variance[2] / COUNT)


def test_poisson_counts_are_whole_and_black_is_black():
    y = draw(NOISES["poisson"][0], KEY, CLEAN.at[..., 0].set(0).at[..., 1].set(-0.2))
    np.testing.assert_allclose(40 * y, jnp.round(40 * y), atol=1e-4)
    np.testing.assert_array_equal(y[..., :2], 0)


def test_salt_and_pepper_leave_the_rest_as_it_is():
    y = draw(NOISES["salt-pepper"][0], KEY, CLEAN)
    assert set(np.unique(np.asarray(y))) == {0.0, 1.0, *np.asarray(VALUES)}
    np.testing.assert_array_equal(draw(physics.SaltPepperNoise(0.0), KEY, CLEAN), CLEAN)


def test_quantization_rounds_to_its_levels():
    clean = jax.random.uniform(KEY, SHAPE)
    noise = physics.QuantizationNoise(5)
    y = draw(noise, KEY, clean)
    np.testing.assert_array_equal(np.unique(np.asarray(y)), [0, 0.25, 0.5, 0.75, 1])
    assert np.abs(y - clean).max() <= 0.125 + 1e-6
    np.testing.assert_allclose((y - clean).std(), noise.level(clean).squeeze(), rtol=0.02)
    np.testing.assert_array_equal(draw(noise, KEY, y), y)


@pytest.mark.parametrize("name", [*NOISES, "quantization"])
def test_gradients_are_finite_and_those_of_the_mean(name):
    noise = physics.QuantizationNoise(5) if name == "quantization" else NOISES[name][0]
    clean = CLEAN.at[0].set(0)

    @jax.jit
    def gradient(noise, clean):
        return jax.grad(lambda x: noise(KEY, x).sum() + noise.level(x).sum())(clean)

    found = gradient(noise, clean)
    assert jnp.isfinite(found).all()
    expected = 0.8 if name == "salt-pepper" else 1.0
    np.testing.assert_allclose(found[1:].mean(), expected, atol=0.02)


@pytest.mark.parametrize(
    "spec",
    [
        {"kind": "poisson_gaussian", "peak": (10.0, 200.0), "sigma": 0.05},
        {"kind": "salt_pepper", "amount": (0.1, 0.4)},
        {"kind": "speckle", "sigma": (0.1, 0.4)},
        {"kind": "quantization", "levels": 4},
    ],
    ids=lambda spec: spec["kind"],
)
def test_example_i_of_an_observation_is_a_function_of_key_i(spec):
    keys, image = jax.random.split(KEY, 3), jax.random.uniform(KEY, (3, 8, 8, 3))
    observe = jax.jit(lambda k, x: physics.observe({"operator": {"kind": "identity"}, "noise": spec}, k, x))
    full, turned = observe(keys, image), observe(keys[::-1], image[::-1])
    np.testing.assert_allclose(full.y[::-1], turned.y, atol=1e-6)
    np.testing.assert_allclose(full.noise_level[::-1], turned.noise_level, rtol=1e-6)
    assert full.noise_level.shape == (3, 1, 1, 1)
    if spec["kind"] != "quantization":
        assert len(np.unique(np.asarray(full.noise_level))) == 3


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: physics.PoissonNoise(0.0), "peak=0.0"),
        (lambda: physics.SaltPepperNoise(1.5), "amount=1.5"),
        (lambda: physics.QuantizationNoise(1), "levels=1"),
        (lambda: physics.NOISES["poisson"](jax.random.split(KEY, 1), peak=0), "peak=0 is not a strength"),
        (lambda: physics.NOISES["salt_pepper"](jax.random.split(KEY, 1), amount=(0.5, 2.0)), "high <= 1"),
    ],
)
def test_bad_arguments_get_one_line(wrong, message):
    with pytest.raises(ValueError, match=message) as caught:
        wrong()
    assert "\n" not in str(caught.value)

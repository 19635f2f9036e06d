"""Observations whose colors are wrong, and those that JPEG has been through: each example by its own key."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtjax import physics

RANDOM = np.random.default_rng(0)


def uniform(*shape):
    return jnp.asarray(RANDOM.uniform(0.05, 0.95, shape), jnp.float32)


def test_gains_then_tone_then_saturation():
    x, gains = uniform(2, 5, 4, 3), RANDOM.uniform(0.5, 2, (2, 1, 1, 3))
    gamma = np.asarray([0.6, 1.7]).reshape(2, 1, 1, 1)
    found = physics.ColorCast(gains, gamma)(x)
    np.testing.assert_allclose(found, np.clip((gains * np.asarray(x)) ** gamma, 0, 1), rtol=1e-5)
    assert float(physics.ColorCast(2.0)(jnp.full((1, 1, 1), -0.5)).min()) == 0


def test_the_jacobian_is_the_derivative():
    x, v, model = uniform(2, 5, 4, 3), uniform(2, 5, 4, 3), physics.ColorCast(uniform(2, 1, 1, 3) + 0.5, 0.7)
    own, automatic = jax.jit(lambda x, v: (model.linearize(x)(v), jax.jvp(model, (x,), (v,))[1]))(x, v)
    np.testing.assert_allclose(own, automatic, rtol=1e-5, atol=1e-6)
    assert bool((own == 0).any()) and not bool((own == 0).all())  # some pixels have saturated
    zero = jnp.zeros((1, 2, 2, 3))
    assert bool(jnp.isfinite(jax.grad(lambda x: model(x).sum())(zero)).all())


def test_the_guess_undoes_what_has_not_saturated():
    x, model = uniform(2, 5, 4, 3), physics.ColorCast(jnp.asarray([0.6, 0.9, 0.8]), 1.3)
    np.testing.assert_allclose(model.guess(model(x)), x, rtol=1e-4)


SPECS = {
    "color_cast": {"balance": (-0.5, 0.5), "stops": (-1.0, 1.0), "gamma": (0.8, 1.2)},
    "exposure": {"stops": (-1.0, 1.0)},
    "jpeg": {"quality": (10.0, 60.0)},
}


@pytest.mark.parametrize("kind", SPECS)
def test_example_i_is_a_function_of_key_i(kind):
    keys, image = jax.random.split(jax.random.key(0), 3), uniform(3, 8, 8, 3)
    observe = jax.jit(lambda k, x: physics.observe({"operator": {"kind": kind, **SPECS[kind]}}, k, x))
    full, last = observe(keys, image), observe(keys[2:], image[2:])
    np.testing.assert_allclose(full.y[2:], last.y, atol=1e-6)
    assert full.y.shape == image.shape and not np.allclose(full.y, image, atol=1e-3)
    if kind == "jpeg":
        assert bool(((full.operator.quality >= 10) & (full.operator.quality <= 60)).all())
        return
    gains = np.log2(full.operator.gains)
    assert gains.shape == (3, 1, 1, 3 if kind == "color_cast" else 1) and len(np.unique(gains)) == gains.size
    limit = 1.5 if kind == "color_cast" else 1
    assert np.all(np.abs(gains) <= limit + 1e-6)
    if kind == "color_cast":
        assert len(np.unique(full.operator.gamma)) == 3
        assert np.all(np.ptp(gains, axis=-1) <= 1 + 1e-6)  # exposure moves all channels together


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"kind": "jpeg", "quality": 0}, "quality=0"),
        ({"kind": "exposure", "gamma": 0}, "gamma=0"),
        ({"kind": "color_cast", "stops": (1.0, -1.0)}, "stops=.1.0, -1.0. is not a range"),
    ],
)
def test_bad_values_get_one_line(node, message):
    with pytest.raises(ValueError, match=message) as caught:
        physics.observe({"operator": node}, jax.random.split(jax.random.key(0), 1), jnp.ones((1, 8, 8, 3)))
    assert "\n" not in str(caught.value)

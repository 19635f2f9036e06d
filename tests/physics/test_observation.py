"""Observations: made of keys alone, one example independent of the others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtjax import physics

SPECS = {
    "blur": {"operator": {"kind": "blur", "std": 1.0, "boundary": "reflect"}, "noise": {"kind": "gaussian"}},
    "mask": {"operator": {"kind": "mask", "keep": 0.4}, "noise": {"kind": "gaussian", "sigma": (0.01, 0.1)}},
    "rows": {"operator": {"kind": "mask", "pattern": "rows"}, "noise": {"kind": "none"}},
    "down": {"operator": {"kind": "downsample", "std": 0.8}},
}


@pytest.mark.parametrize("name", SPECS)
def test_example_i_is_a_function_of_key_i(name):
    keys = jax.random.split(jax.random.key(0), 3)
    image = jax.random.uniform(jax.random.key(1), (3, 16, 18, 3))
    observe = jax.jit(lambda k, x: physics.observe(SPECS[name], k, x))
    full, last = observe(keys, image), observe(keys[2:], image[2:])
    np.testing.assert_allclose(full.y[2:], last.y, atol=1e-6)
    np.testing.assert_array_equal(full.noise_level[2:], last.noise_level)
    assert full.noise_level.shape == (3, 1, 1, 1)
    assert full.y.shape == full.operator.output_shape(image.shape)


def test_noise_has_its_level_and_masks_their_share():
    keys = jax.random.split(jax.random.key(0), 8)
    image = jnp.full((8, 64, 64, 1), 0.5)
    observed = physics.observe(SPECS["mask"], keys, image)
    mask = observed.operator.mask
    assert abs(float(mask.mean()) - 0.4) < 0.02
    assert not (mask[0] == mask[1]).all()
    measured = (observed.y - mask * image).std((1, 2, 3))
    np.testing.assert_allclose(measured, observed.noise_level[:, 0, 0, 0], rtol=0.1)
    assert len(np.unique(np.asarray(observed.noise_level))) == 8


def test_observation_is_noise_after_the_operator():
    x = jax.random.uniform(jax.random.key(1), (2, 8, 8, 1))
    operator = physics.Blur(physics.kernels.box(3))
    key = jax.random.key(3)
    y = physics.Observation(operator, physics.GaussianNoise(0.1))(key, x)
    np.testing.assert_allclose(y, operator(x) + 0.1 * jax.random.normal(key, x.shape), atol=1e-6)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"operator": {"kind": "blurr"}}, "did you mean 'blur'"),
        ({"operator": {"kind": "identity"}, "noise": {"kind": "gausian"}}, "did you mean 'gaussian'"),
        ({"operator": {"kind": "mask", "keep": 1.5}}, "keep=1.5"),
        ({"operator": {"kind": "blur", "kernel": "box"}}, "size=None"),
        ({"operator": {"kind": "identity"}, "noise": {"kind": "gaussian", "sigma": (0.2, 0.1)}}, "not a range"),
    ],
)
def test_bad_descriptions_get_one_line(spec, message):
    with pytest.raises(ValueError, match=message):
        physics.observe(spec, jax.random.split(jax.random.key(0), 1), jnp.ones((1, 8, 8, 1)))

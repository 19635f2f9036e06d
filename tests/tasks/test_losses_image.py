"""Losses of images against NumPy, on odd and even sizes, and where a slope could fail to be finite."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtjax.tasks import losses

RANDOM = np.random.default_rng(0)
LOSSES = {name: jax.jit(losses.LOSSES[name]) for name in ("gradient", "frequency")}


def pair(*shape):
    return (jnp.asarray(RANDOM.uniform(size=shape), jnp.float32) for _ in range(2))


@pytest.mark.parametrize("size", [(6, 8), (5, 7)])
def test_losses_are_as_numpy_has_them(size):
    x, y = pair(2, *size, 3)
    d = np.asarray(x, np.float64) - np.asarray(y, np.float64)
    expected = {
        "gradient": sum(np.abs(np.diff(d, axis=axis)).mean((1, 2, 3)) for axis in (1, 2)),
        "frequency": np.abs(np.fft.fft2(d, axes=(1, 2), norm="ortho")).mean((1, 2, 3)),
    }
    for name, loss in LOSSES.items():
        np.testing.assert_allclose(loss(x, y), expected[name], rtol=1e-5)


def test_gradient_sees_edges_and_not_brightness():
    x, _ = pair(2, 6, 8, 3)
    np.testing.assert_allclose(LOSSES["gradient"](x + 0.25, x), 0, atol=1e-6)
    assert float(LOSSES["frequency"](x + 0.25, x).min()) > 0.01


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("size", [(6, 8), (1, 1)])
def test_slopes_are_finite_where_images_agree(name, size):
    x, y = pair(2, *size, 1)
    slope = jax.jit(jax.grad(lambda x, y: losses.LOSSES[name](x, y).sum()))
    np.testing.assert_array_equal(LOSSES[name](x, x), 0)
    assert bool(jnp.isfinite(slope(x, x)).all()) and (name == "gradient" or not slope(x, x).any())
    assert bool(jnp.isfinite(slope(x, y)).all()) and bool(jnp.isfinite(slope(x.at[0].set(y[0]), y)).all())

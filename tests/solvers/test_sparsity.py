"""Sparsity priors: proximal maps against a search over a grid, and what they do in a solver."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtjax import physics, solvers
from mtjax.solvers.sparsity import LpNorm, Wavelet, shrink_power
from mtjax.solvers.transforms import DCT, WaveletTransform

RANDOM = np.random.default_rng(0)
POWERS = (0, 1 / 2, 2 / 3, 0.9, 1, 2)


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def normal(*shape):
    return jnp.asarray(RANDOM.standard_normal(shape))


shrunk = jax.jit(shrink_power, static_argnums=2)


@pytest.mark.parametrize("p", [0.3, *POWERS])
def test_no_other_value_costs_less(p):
    v = np.concatenate([np.linspace(-5, 5, 41), [1e-9, -1e-9]])
    others = np.concatenate([np.linspace(-6, 6, 6001), [0.0]])
    for threshold in (0.0, 1e-3, 0.4, 2.0):
        z = np.asarray(shrunk(jnp.asarray(v), jnp.asarray(threshold), p))

        def cost(z, v, threshold=threshold):
            size = (z != 0).astype(float) if p == 0 else np.abs(z) ** p
            return threshold * size + (z - v) ** 2 / 2

        assert np.all(cost(z, v) <= np.min(cost(others[:, None], v[None]), axis=0) + 1e-12)
        if 0 < p < 1 and threshold > 0:  # where not 0, the slope of the cost is 0
            inside = z != 0
            assert 0 < inside.sum() < len(v)
            slope = threshold * p * np.abs(z[inside]) ** (p - 1) * np.sign(z[inside]) + z[inside] - v[inside]
            np.testing.assert_allclose(slope, 0, atol=1e-10)


@pytest.mark.parametrize("p", POWERS)
def test_complex_values_keep_their_phase(p):
    size, phase = jnp.linspace(-5, 5, 43), np.exp(0.7j)
    found = shrunk(size * phase, jnp.asarray(0.4), p)
    np.testing.assert_allclose(found, phase * shrunk(size, jnp.asarray(0.4), p), atol=1e-12)


@functools.partial(jax.jit, static_argnums=2)
def slopes(v, t, p):
    """d z / d v and d z / d t, for every pair."""
    one = jax.grad(lambda v, t: shrink_power(v[None], t, p)[0], (0, 1))
    return jax.vmap(jax.vmap(one, (0, None)), (None, 0))(v, t)


@pytest.mark.parametrize("p", POWERS)
def test_gradients(p):
    border = 1.5 * 0.3 ** (2 / 3)  # of p = 1/2
    v = np.asarray([0, 1e-30, -1e-3, border, np.nextafter(np.float32(border), 1), 0.3, 2, 1e3, 1e8], np.float32)
    found = slopes(v, np.asarray([0, 1e-12, 0.3], np.float32), p)
    assert all(np.isfinite(leaf).all() for leaf in found)
    z = [shrunk(jnp.asarray([2.0, 2.0]), jnp.asarray(t), p)[0] for t in (0.3 - 1e-5, 0.3 + 1e-5)]
    np.testing.assert_allclose(found[1][2, 6], (z[1] - z[0]) / 2e-5, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("p", POWERS)
def test_single_precision_is_enough(p):
    v = np.concatenate([np.geomspace(1e-4, 1e4, 42), [0.0]]).astype(np.float32)
    for t in np.asarray([1e-8, 1e-4, 1.0], np.float32):
        double = shrunk(v.astype(float), jnp.asarray(t, float), p)
        np.testing.assert_allclose(shrunk(v, t, p), double, rtol=3e-6, atol=1e-7)


@jax.jit
def values(prior, x, t):
    v = prior.analysis(x)
    return prior.value(x), prior.prox(v, t), v


def test_values_and_weights_of_each_example():
    x = normal(2, 8, 6, 1)
    weight = jnp.array([0.1, 0.7])
    for transform, p in ((None, 0), ("gradient", 1 / 2), ("dct", 1), (WaveletTransform("haar", 2), 1)):
        value, prox, v = values(LpNorm(weight, p, transform), x, jnp.array([2.0, 0.5]))
        leaves, shrunken = jax.tree.leaves(v), jax.tree.leaves(prox)
        for i, (w, t) in enumerate(((0.1, 2.0), (0.7, 0.5))):
            expected = w * sum(np.sum(np.abs(leaf[i]) ** p) for leaf in leaves)
            np.testing.assert_allclose(value[i], expected, rtol=1e-12)
            for leaf, out in zip(leaves, shrunken, strict=True):
                np.testing.assert_allclose(out[i], shrink_power(leaf[i], jnp.asarray(w * t), p), atol=1e-12)


def test_wavelet_leaves_approximations_alone():
    x = normal(2, 9, 8, 1)
    prior = Wavelet(jnp.array([0.1, 0.2]), "db2", 2)
    value, prox, v = values(prior, x, 3.0)
    details = prior.analysis.details(x.shape)[..., 0]
    for i, weight in enumerate((0.1, 0.2)):
        np.testing.assert_allclose(value[i], weight * np.abs(v[i, details]).sum(), rtol=1e-12)
        np.testing.assert_allclose(prox[i, ~details], v[i, ~details])
        np.testing.assert_allclose(
            prox[i, details], shrink_power(v[i, details], jnp.asarray(3 * weight), 1), atol=1e-12
        )


@pytest.mark.parametrize("prior", [Wavelet(0.1, "haar", 2), LpNorm(0.1, 1.0, DCT(4)), LpNorm(0.05, 0.5, "gradient")])
def test_priors_have_finite_gradients_at_zero(prior):
    zeros = jnp.zeros((4, 4, 1))
    gradient = jax.grad(lambda prior, x: values(prior, x, 1.0)[0], (0, 1))(prior, zeros)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.slow
def test_denoising_in_an_orthogonal_basis_is_one_thresholding():
    y = jnp.asarray(RANDOM.uniform(size=(12, 10, 1)))
    prior = Wavelet(0.1, "db2", 2)
    found = solvers.admm(y, physics.Identity(), prior, rho=1.0, iterations=80).image
    transform = WaveletTransform("db2", 2)
    expected = transform.adjoint(prior.prox(transform(y), 1.0))
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match=r"p=1\.5"):
        LpNorm(p=1.5)
    with pytest.raises(ValueError, match=r"unknown transform 'wavlet'.*did you mean 'wavelet'"):
        LpNorm(transform="wavlet")
    with pytest.raises(ValueError, match="levels=0"):
        Wavelet(levels=0)

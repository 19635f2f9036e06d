"""Implicit gradients, those of the unrolled iterations and finite differences are the same at the optimum."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtjax import physics, solvers
from mtjax.solvers import TotalVariation

RANDOM = np.random.default_rng(0)
SHAPE = (8, 10, 1)
KERNEL = np.asarray(physics.kernels.gaussian(0.7, 5), float)
IMAGE = RANDOM.uniform(size=SHAPE)
WEIGHT = 0.03


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def near(found, expected):
    return np.linalg.norm(np.asarray(found) - np.asarray(expected)) / np.linalg.norm(np.asarray(expected))


@pytest.mark.parametrize("name", ["admm", "pdhg", pytest.param("douglas_rachford", marks=pytest.mark.slow)])
def test_implicit_gradients_are_unrolled_ones_and_finite_differences(name):
    observed = jnp.asarray(IMAGE)
    weights = jnp.asarray(RANDOM.uniform(size=SHAPE))
    speed = {"step": 1.0} if name == "pdhg" else {"rho": 0.2}

    def loss(y, weight, kernel, **options):
        found = getattr(solvers, name)(y, physics.Blur(kernel), TotalVariation(weight), **speed, **options)
        return jnp.vdot(weights, found.image)

    args = (observed, jnp.array(WEIGHT), jnp.asarray(KERNEL))
    implicit = jax.jit(jax.value_and_grad(functools.partial(loss, tolerance=1e-11, max_iterations=20000), (0, 1, 2)))
    unrolled = jax.jit(jax.grad(functools.partial(loss, iterations=4000), (0, 1, 2)))(*args)
    gradients = implicit(*args)[1]
    for i, (one, other) in enumerate(zip(gradients, unrolled, strict=True)):
        assert near(one, other) < 1e-4
        direction = jnp.asarray(RANDOM.normal(size=one.shape))
        ends = [implicit(*args[:i], args[i] + s * 1e-6 * direction, *args[i + 1 :])[0] for s in (1, -1)]
        np.testing.assert_allclose(jnp.vdot(one, direction), (ends[0] - ends[1]) / 2e-6, rtol=1e-3, atol=1e-4)

"""Richardson-Lucy: scikit-image's iterations, flux, likelihood, boundaries, total variation, acceleration."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.restoration

from mtjax import physics
from mtjax.solvers.richardson_lucy import _prepared, fast_size, richardson_lucy

RANDOM = np.random.default_rng(0)
KERNEL = RANDOM.uniform(size=(5, 4))
KERNEL /= KERNEL.sum()
ODD = KERNEL[:, :3] / KERNEL[:, :3].sum()


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def uniform(*shape):
    return jnp.asarray(RANDOM.uniform(0.1, 1, size=shape))


def operators():
    blur = physics.Blur(KERNEL)
    return {
        **{name: physics.Blur(KERNEL, name) for name in physics.BOUNDARIES},
        "examples": physics.Blur(np.stack([KERNEL, KERNEL[::-1]])[..., None], "reflect"),
        "mask": physics.Mask(RANDOM.uniform(size=(14, 15)) < 0.7) @ blur,
        "stack": physics.Stack([blur, physics.Blur(ODD, "valid")]),
    }


@jax.jit
def solve(y, operator):
    return richardson_lucy(y, operator, iterations=8, trace=True)


def parts(tree):
    return jax.tree.leaves(tree)


@pytest.mark.parametrize("name", operators())
def test_flux_is_kept_and_likelihood_never_falls(name):
    operator = operators()[name]
    y = jax.tree.map(lambda part: part * uniform(*part.shape), operator(uniform(2, 14, 15, 1)))
    found = solve(y, operator)
    assert (found.image >= 0).all()
    assert (jnp.diff(found.trace["objective"], axis=-1) < 0).all()
    sensitivity = operator.adjoint(jax.tree.map(jnp.ones_like, y))
    flux = jnp.sum(sensitivity * found.image, (-3, -2, -1))
    np.testing.assert_allclose(flux, sum(part.sum((-3, -2, -1)) for part in parts(y)), rtol=1e-9)


def test_one_iteration_by_dense_matrices():
    operator = physics.Blur(KERNEL, "valid")
    x, shape = uniform(14, 15, 1), (14, 15, 1)
    matrix = np.asarray(jax.jacobian(operator)(x)).reshape(-1, x.size)
    y, init = uniform(*operator(x).shape), uniform(*shape)
    expected = np.ravel(init) / matrix.sum(0) * (matrix.T @ (np.ravel(y) / (matrix @ np.ravel(init) + 0.2)))
    found = richardson_lucy(y, operator, background=0.2, iterations=1, init=init)
    np.testing.assert_allclose(np.ravel(found.image), expected, rtol=1e-9)


@pytest.mark.parametrize("boundary", physics.BOUNDARIES)
def test_the_prepared_blur_is_the_blur(boundary):
    operator, shape = physics.Blur(KERNEL, boundary), (2, 14, 15, 3)
    prepared = _prepared(operator, jax.ShapeDtypeStruct(shape, jnp.float64))
    x = uniform(*shape)
    y = uniform(*operator(x).shape)
    np.testing.assert_allclose(prepared(x), operator(x), atol=1e-12)
    np.testing.assert_allclose(prepared.adjoint(y), operator.adjoint(y), atol=1e-12)


def test_grids_suit_ffts():
    assert [fast_size(n) for n in (1, 12, 13, 516, 524, 1025)] == [4, 12, 16, 528, 528, 1056]


def test_scikit_images_iterations():
    """Away from the border both definitions are the same: its Aᵀ1 is not 1 only where `y` is 0 here."""
    y = np.zeros((24, 21))
    y[6:-6, 6:-6] = RANDOM.uniform(0.1, 1, size=(12, 9))
    kernel = RANDOM.uniform(size=(5, 3))
    kernel /= kernel.sum()
    expected = skimage.restoration.richardson_lucy(y, kernel, num_iter=12, clip=False)
    operator = physics.Blur(kernel, "zero")
    found = richardson_lucy(jnp.asarray(y), operator, iterations=12, init=jnp.full((24, 21), 0.5))
    assert expected.max() > 0.9
    np.testing.assert_allclose(found.image, expected, atol=1e-8)


def test_tolerance_reaches_the_maximum_and_acceleration_is_faster():
    operator = physics.Blur(np.array([[0.1, 1.0, 0.2]]), "reflect")
    y = operator(uniform(2, 6, 7, 1)) * uniform(2, 6, 7, 1)
    options = {"tolerance": 1e-9, "max_iterations": 20000}
    plain = richardson_lucy(y, operator, **options)
    fast = richardson_lucy(y, operator, accelerate=True, **options)
    np.testing.assert_allclose(fast.image, plain.image, atol=1e-5)
    assert (fast.iterations < 0.5 * plain.iterations).all()
    slope = operator.adjoint(1 - y / operator(plain.image))
    np.testing.assert_allclose(slope * plain.image, 0, atol=1e-6)  # the conditions of Kuhn and Tucker
    assert (slope > -1e-4).all()


def test_total_variation_is_stationary_and_smooths():
    y = jnp.broadcast_to(uniform(12, 11, 1), (2, 12, 11, 1))
    weights = jnp.array([0.001, 0.002])
    found = richardson_lucy(y, physics.Identity(), tv_weight=weights, tolerance=1e-9, max_iterations=20000)

    def objective(x):
        down, right = jnp.diff(x, axis=-3, append=x[:, -1:]), jnp.diff(x, axis=-2, append=x[:, :, -1:])
        size = jnp.sqrt(down**2 + right**2 + 1e-4)
        return jnp.sum(x - y * jnp.log(x)) + jnp.sum(weights * size.sum((-3, -2, -1)))

    np.testing.assert_allclose(jax.grad(objective)(found.image), 0, atol=1e-5)
    assert jnp.var(found.image[1]) < jnp.var(found.image[0]) < jnp.var(y)


def test_batches_and_gradients():
    operator = operators()["zero"]
    y, weights, direction = uniform(2, 14, 15, 1), uniform(2, 14, 15, 1), uniform(2, 14, 15, 1)

    def loss(y, weights):
        image = richardson_lucy(y, operator, tv_weight=0.01, accelerate=True, iterations=5).image
        return jnp.vdot(weights, image), image

    both = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (_, images), slope = both(y, weights)
    _, alone = jax.jit(jax.vmap(loss))(y, weights)
    np.testing.assert_allclose(images, alone, atol=1e-10)
    ends = [both(y + sign * 1e-6 * direction, weights)[0][0] for sign in (1, -1)]
    np.testing.assert_allclose(jnp.vdot(slope, direction), (ends[0] - ends[1]) / 2e-6, rtol=1e-4)
    assert jnp.isfinite(both(jnp.zeros_like(y).at[1].set(0.5), weights)[1]).all()


def test_negative_values_and_single_precision():
    y = (uniform(14, 15) - 0.3).astype(jnp.float32)
    found = solve(y, physics.Blur(KERNEL.astype(np.float32), "valid"))
    assert found.image.dtype == jnp.float32 and found.image.shape == (18, 18)
    assert jnp.isfinite(found.image).all() and (found.image >= 0).all()


@pytest.mark.parametrize("boundary", physics.BOUNDARIES)
def test_a_sum_of_shifts_is_the_blur(monkeypatch, boundary):
    module = sys.modules["mtjax.solvers.richardson_lucy"]
    monkeypatch.setattr(module, "_LARGE", 0)
    for size in ((4, 3), (2, 3, 5, 1)):
        operator = physics.Blur(jnp.asarray(RANDOM.uniform(size=size)), boundary)
        x = jnp.asarray(RANDOM.uniform(size=(2, 11, 10, 3)))
        taps, y = module._prepared(operator, jax.ShapeDtypeStruct(x.shape, x.dtype)), operator(x)
        assert isinstance(taps, module._Taps)
        np.testing.assert_allclose(taps(x), y, atol=1e-12)
        back = jnp.asarray(RANDOM.uniform(size=y.shape))
        np.testing.assert_allclose(taps.adjoint(back), operator.adjoint(back), atol=1e-12)

"""Parallel-beam tomography: exact sums, its adjoint and norm, scikit-image's projections, and its direct inverse."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data
import skimage.transform

from mtjax import physics, solvers
from mtjax.solvers.filtered_back_projection import FILTERS
from mtjax.solvers.normal import circular_inverse, conjugate_gradient

RANDOM = np.random.default_rng(0)
ANGLES = np.array([0, 17, 45, 60, 90, 135, 171, 200, 300])
ANGLES_OF_A_HALF_TURN = np.linspace(0, 180, 120, endpoint=False)


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def normal(*shape):
    return jnp.asarray(RANDOM.standard_normal(shape))


@jax.jit
def project(operator, x):
    return operator(x)


@functools.partial(jax.jit, static_argnums=2)
def invert(y, operator, name):
    return solvers.filtered_back_projection(y, operator, name).image


def phantom(size):
    image = skimage.transform.resize(skimage.data.shepp_logan_phantom(), (size, size), anti_aliasing=True)
    return np.ascontiguousarray(image)


@pytest.mark.parametrize("shape", [(6, 9), (7, 5)], ids=["wide", "tall"])
def test_adjoint_sums_norm_and_gradients(shape):
    operator = physics.Radon(ANGLES, shape)
    x = normal(2, *shape, 3)
    assert operator.input_shape(operator.output_shape(x.shape)) == x.shape
    z = normal(*operator.output_shape(x.shape))

    @jax.jit
    def everything(operator, x, z):
        (gradient,) = jax.vjp(operator, x)[1](z)
        each = jax.vmap(operator)(x)
        basis = jnp.eye(shape[0] * shape[1]).reshape(-1, *shape, 1)
        return operator(x), each, operator.adjoint(z), gradient, operator(basis), operator.norm_bound()

    y, each, back, gradient, columns, bound = everything(operator, x, z)
    np.testing.assert_allclose(jnp.vdot(y, z), jnp.vdot(x, back), rtol=1e-10)
    np.testing.assert_allclose(y.sum(-2), np.broadcast_to(x.sum((-3, -2))[:, None], (2, 9, 3)), atol=1e-12)
    np.testing.assert_allclose(gradient, back, atol=1e-12)
    np.testing.assert_allclose(each, y, atol=1e-12)
    norm = np.linalg.norm(np.reshape(columns, (shape[0] * shape[1], -1)), 2)
    assert norm <= float(bound) < 1.2 * norm


def test_each_strip_sums_the_areas_of_pixels_in_it():
    """Against a fine grid of points in each pixel."""
    shape, fine, detectors = (5, 4), 400, 5
    x = normal(*shape, 1)
    y = physics.Radon(ANGLES, shape, detectors)(x)[..., 0]
    step = (np.arange(fine) + 0.5) / fine - 0.5
    i, j = (np.arange(n)[:, None] - n // 2 + step for n in shape)
    for row, angle in zip(y, np.deg2rad(ANGLES), strict=True):
        t = j.ravel()[None, :] * np.cos(angle) - i.ravel()[:, None] * np.sin(angle)
        strip = np.floor(t + 0.5).astype(int) + detectors // 2
        inside = (strip >= 0) & (strip < detectors)
        values = np.kron(np.asarray(x[..., 0]), np.ones((fine, fine))) / fine**2
        np.testing.assert_allclose(row, np.bincount(strip[inside], values[inside], detectors), atol=0.02)


def test_projections_are_scikit_images():
    image, angles = phantom(64), np.linspace(0, 360, 120, endpoint=False)
    expected = skimage.transform.radon(image, angles)
    found = project(physics.Radon(angles, (64, 64), 64), jnp.asarray(image)[..., None])[..., 0].T
    assert np.linalg.norm(found - expected) < 0.01 * np.linalg.norm(expected)


def test_angles_have_a_gradient():
    x, weights = normal(6, 6, 1), normal(2, 9, 1)

    @jax.jit
    @jax.value_and_grad
    def loss(angles):
        return jnp.sum(weights * physics.Radon(angles, (6, 6), 9)(x))

    angles, step = jnp.array([20.0, 70.0]), jnp.array([1e-4, -2e-4])
    expected = (loss(angles + step)[0] - loss(angles - step)[0]) / 2
    np.testing.assert_allclose(jnp.vdot(loss(angles)[1], step), expected, rtol=1e-4)


def test_its_nearest_convolution_is_a_good_preconditioner():
    operator = physics.Radon(np.arange(0, 180, 12), (16, 20))
    x = normal(16, 20, 1)

    @jax.jit
    def iterations(operator, x):
        gram = operator.approximate_gram(x.shape, x.dtype)
        solves = [
            conjugate_gradient(lambda v: operator.normal(v) + 0.5 * v, x, None, circular_inverse(each, 0.5), 1e-8)
            for each in (None, gram)
        ]
        return [solve[1] for solve in solves], [solve[0] for solve in solves]

    (plain, preconditioned), images = iterations(operator, x)
    np.testing.assert_allclose(*images, atol=1e-5)
    assert preconditioned < 0.7 * plain


def test_back_projection_keeps_the_values_of_a_disk():
    radius = np.hypot(*np.indices((64, 64)) - 32)
    operator = physics.Radon(ANGLES_OF_A_HALF_TURN, (64, 64), 64)
    y = project(operator, jnp.asarray(radius < 20, float)[..., None])
    for name in FILTERS:
        found = invert(y, operator, name)[..., 0]
        np.testing.assert_allclose(found[radius < 16].mean(), 1, atol=2e-3, err_msg=name)
        np.testing.assert_allclose(found[radius < 16], 1, atol=0.06, err_msg=name)
        assert abs(float(found[(radius > 24) & (radius < 31)].mean())) < 5e-3, name


def test_back_projection_is_as_good_as_scikit_images():
    image = phantom(64)
    operator = physics.Radon(ANGLES_OF_A_HALF_TURN, (64, 64), 64)
    y = project(operator, jnp.asarray(image)[..., None])
    inside = np.hypot(*np.indices((64, 64)) - 32) < 31
    for name in FILTERS:
        found = invert(y, operator, name)[..., 0]
        peer = skimage.transform.iradon(np.array(y[..., 0].T), ANGLES_OF_A_HALF_TURN, filter_name=name)
        error, expected = (np.sqrt(np.mean((z - image)[inside] ** 2)) for z in (found, peer))
        assert error < 1.02 * expected, name
        assert np.sqrt(np.mean((found - peer)[inside] ** 2)) < 0.2 * expected, name


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: physics.Radon(0.0, (4, 4)), "angles have shape"),
        (lambda: physics.Radon(ANGLES, (4, 0)), "shape="),
        (lambda: physics.Radon(ANGLES, (4, 4), 0), "detectors=0"),
        (lambda: physics.Radon(ANGLES, (4, 4))(jnp.ones((5, 4, 1))), "x has shape"),
        (lambda: physics.Radon(ANGLES, (4, 4)).adjoint(jnp.ones((5, 4, 1))), "y has shape"),
        (
            lambda: solvers.filtered_back_projection(jnp.ones((9, 7, 1)), physics.Radon(ANGLES, (4, 4), 7), "rampe"),
            "did you mean 'ramp'",
        ),
    ],
)
def test_bad_arguments_get_one_line(wrong, message):
    with pytest.raises(ValueError, match=message) as caught:
        wrong()
    assert "\n" not in str(caught.value)

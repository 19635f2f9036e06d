"""Gauss-Newton and gradient descent: optima, phase retrieval, monotone descent, gradients, independent examples."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtjax import physics, solvers

RANDOM = np.random.default_rng(0)
BLUR = physics.Blur(physics.kernels.gaussian(0.8, 5))
COILS = np.exp(2j * np.pi * RANDOM.uniform(size=(6, 6, 8)))
WEIGHT = 0.02
UNTIL = (("tolerance", 1e-9), ("max_iterations", 1000))
CAMERA = physics.Clip(0.0, 1.0) @ (physics.Gamma(0.6) @ BLUR)
PIXELWISE = physics.Clip(0.0, 1.0) @ physics.Gamma(0.6)


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def uniform(*shape, high=1.0):
    return jnp.asarray(RANDOM.uniform(0.05, high, size=shape))


@functools.partial(jax.jit, static_argnums=(2, 3))
def solve(y, model, method, options, weight=WEIGHT):
    return getattr(solvers, method)(y, model, weight, **dict(options))


def objective(x, y, model, weight=WEIGHT):
    return 0.5 * jnp.sum((model(x) - y) ** 2) + 0.5 * weight * jnp.sum(x**2)


def test_both_reach_the_optimum_of_each_example():
    y = CAMERA(uniform(2, 6, 6, 1, high=1.3)) + 0.05 * uniform(2, 6, 6, 1)
    newton = solve(y, CAMERA, "gauss_newton", (("iterations", 15), ("trace", True)))
    slope = jax.jit(jax.grad(objective))
    assert jnp.linalg.norm(slope(newton.image, y, CAMERA)) < 1e-6 * jnp.linalg.norm(slope(CAMERA.guess(y), y, CAMERA))
    assert (jnp.diff(newton.trace["objective"], axis=-1) < 1e-12).all()
    last = [objective(*pair, CAMERA) for pair in zip(newton.image, y, strict=True)]
    np.testing.assert_allclose(newton.trace["objective"][:, -1], last)
    descent = solve(y, CAMERA, "gradient_descent", UNTIL)
    assert (descent.status == solvers.Status.CONVERGED).all()
    np.testing.assert_allclose(descent.image, newton.image, atol=1e-5)


def test_of_a_linear_operator_it_is_tikhonovs():
    y = uniform(6, 6)
    found = solve(y, BLUR, "gradient_descent", UNTIL)
    np.testing.assert_allclose(found.image, solvers.wiener(y, BLUR, WEIGHT).image, atol=1e-6)


@pytest.mark.parametrize(
    ("method", "options"),
    [("gauss_newton", UNTIL), ("gradient_descent", (("iterations", 300), ("trace", True)))],
    ids=["gauss_newton", "gradient_descent"],
)
def test_phases_are_retrieved_from_the_spectral_guess(method, options):
    model = physics.Magnitude(physics.Fourier(np.ones((6, 6)), COILS))
    x = jnp.asarray(RANDOM.standard_normal((2, 6, 6, 1)) + 1j * RANDOM.standard_normal((2, 6, 6, 1)))
    found = solve(model(x), model, method, options, 0.0)
    phase = jnp.sum(found.image.conj() * x, (1, 2, 3), keepdims=True)
    np.testing.assert_allclose(found.image * phase / jnp.abs(phase), x, atol=1e-6)
    if found.trace is not None:
        assert (jnp.diff(found.trace["objective"], axis=-1) < 1e-12).all()
        assert (found.trace["objective"][:, 0] > 0.1).all()


@pytest.mark.parametrize(
    ("method", "options"),
    [
        pytest.param("gauss_newton", (("iterations", 15),), id="unrolled", marks=pytest.mark.slow),
        pytest.param("gauss_newton", UNTIL, id="gauss_newton"),
        pytest.param("gradient_descent", UNTIL, id="gradient_descent"),
    ],
)
def test_gradients_are_those_of_the_implicit_function(method, options):
    model, y, direction = physics.Gamma(0.6), uniform(3, 4, 1), uniform(3, 4, 1)

    @functools.partial(jax.value_and_grad, argnums=(0, 1), has_aux=True)
    def loss(y, weight):
        image = solve(y, model, method, options, weight).image
        return jnp.sum(direction * image**2), image

    (_, x), (by_y, by_weight) = loss(y, WEIGHT)

    @jax.jit
    def derivatives(x, y, weight):
        slope = jax.grad(objective)
        return tuple(jax.jacfwd(slope, k)(x, y, model, weight) for k in (0, 1, 3))

    hessian, mixed, weighted = (np.reshape(d, (12, -1)) for d in derivatives(x, y, WEIGHT))
    back = np.linalg.solve(hessian, 2 * np.ravel(direction * x))
    np.testing.assert_allclose(np.ravel(by_y), -mixed.T @ back, rtol=1e-4)
    np.testing.assert_allclose(by_weight, -(weighted.T @ back)[0], rtol=1e-4)


@pytest.mark.parametrize("method", ["gauss_newton", "gradient_descent"])
@pytest.mark.slow
def test_examples_do_not_touch_each_other(method):
    y = PIXELWISE(uniform(3, 3, 4, 1))
    y = y.at[1, 2, 2, 0].set(jnp.nan)
    weight = jnp.array([0.001, 0.01, 0.5])
    together = solve(y, PIXELWISE, method, UNTIL, weight)
    each = jax.jit(jax.vmap(lambda y, w: solve(y, PIXELWISE, method, UNTIL, w)))(y, weight)
    for found in (together, each):
        assert [solvers.status_name(s) for s in found.status] == ["converged", "diverged", "converged"]
    assert together.iterations[0] != together.iterations[2]
    np.testing.assert_array_equal(each.iterations, together.iterations)
    np.testing.assert_allclose(each.image[::2], together.image[::2], atol=1e-9)
    gradient = jax.grad(objective)(together.image[0], y[0], PIXELWISE, 0.001)
    assert jnp.abs(gradient).max() < 1e-6


def test_it_goes_on_from_an_earlier_solution():
    y = PIXELWISE(uniform(3, 4)[..., None])[..., 0]

    @functools.partial(jax.jit, static_argnums=1)
    def descend(init, count):
        return solvers.gradient_descent(y, PIXELWISE, WEIGHT, iterations=count, init=init)

    whole, part = descend(None, 6), descend(None, 3)
    np.testing.assert_allclose(descend(part, 3).image, whole.image, rtol=1e-12)
    assert jnp.abs(part.image - whole.image).max() > 1e-6


def test_bad_arguments_get_one_line():
    model = physics.Magnitude(physics.Fourier(np.ones((6, 6)), COILS))
    for wrong, message in (
        (lambda: solvers.gauss_newton(uniform(6, 6, 7), model, init=uniform(6, 6, 1)), r"y has shape \(6, 6, 7\)"),
        (lambda: solvers.gauss_newton(uniform(6, 6), CAMERA, iterations=0), "iterations=0"),
        (lambda: solvers.gradient_descent(uniform(6, 6), CAMERA, weight=jnp.ones(3)), "a hyper-parameter has shape"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            wrong()
        assert "\n" not in str(caught.value)

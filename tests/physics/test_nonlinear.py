"""Forward models that are not linear: their Jacobians, what they do to an image, and that none passes for linear."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest
import skimage.data

from mtjax import physics, solvers

RANDOM = np.random.default_rng(0)
SHAPE = (2, 5, 4, 1)


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def normal(*shape, dtype=float):
    values = RANDOM.standard_normal((*shape, 2)) @ [1, 1j]
    return jnp.asarray(values if dtype is complex else values.real)


def models():
    blur = physics.Blur(normal(3, 3), "reflect")
    coded = physics.Fourier(np.ones((5, 4)), normal(5, 4, 3, dtype=complex))
    return {
        "clip": (physics.Clip(-0.5, 0.7), float),
        "clip-of-blur": (physics.Clip(-0.5, 0.7) @ blur, float),
        "clip-of-gamma-of-blur": (physics.Clip(0.0, 0.9) @ (physics.Gamma(2.2) @ blur), float),
        "gamma": (physics.Gamma(0.45), float),
        "gamma-of-examples": (physics.Gamma(normal(2, 1, 1, 1) ** 2 + 0.3), float),
        "blur-of-gamma": (physics.Chain(blur, physics.Gamma(1.5)), float),
        "magnitude": (physics.Magnitude(coded), complex),
        "magnitude-of-real": (physics.Magnitude(blur), float),
        "clip-of-magnitude": (physics.Clip(0.3, 1.2) @ physics.Magnitude(coded), complex),
        "magnitude-of-stack": (physics.Magnitude(physics.Stack([coded, physics.Identity()])), complex),
    }


def inner(a, b):
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return sum(float(jnp.vdot(p, q).real) for p, q in pairs)


@pytest.mark.parametrize("name", models())
def test_jacobian_is_the_derivative_and_has_an_adjoint(name):
    model, dtype = models()[name]
    x, v = normal(*SHAPE, dtype=dtype), normal(*SHAPE, dtype=dtype)
    step = 1e-6
    w = jax.tree.map(lambda leaf: normal(*leaf.shape), model(x))

    @jax.jit
    def both(model, x, v, w):
        """By the model's own Jacobian, by automatic differentiation, and by differences."""
        ours, automatic = model.linearize(x), physics.Jacobian(model, x)
        change = jax.tree.map(lambda a, b: (a - b) / (2 * step), model(x + step * v), model(x - step * v))
        return (ours(v), automatic(v), change), (ours.adjoint(w), automatic.adjoint(w))

    images, adjoints = both(model, x, v, w)
    for found in images[:2]:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, images[2])
    for found in adjoints:
        np.testing.assert_allclose(inner(images[0], w), inner(v, found), rtol=1e-10)
    shapes = jax.tree.map(jnp.shape, model(x))
    assert model.output_shape(SHAPE) == shapes
    assert model.input_shape(shapes) == SHAPE


def test_derivatives_are_finite_at_zero():
    zero = jnp.zeros(SHAPE)
    for model in (physics.Gamma(0.45), physics.Gamma(1.0), physics.Magnitude(physics.Identity()), physics.Clip()):
        gradient = jax.grad(lambda x, model=model: jnp.sum(model(x)))(zero)
        own = model.linearize(zero)(zero + 1)
        assert jnp.isfinite(gradient).all()
        assert jnp.isfinite(own).all()
    np.testing.assert_allclose(physics.Gamma(1.0).linearize(zero)(zero + 1), 1)


@pytest.mark.parametrize("quality", [10, 50, 90])
def test_jpeg_is_pillows(quality):
    image = skimage.data.camera()[200:260, 100:174]  # neither size is a multiple of 8
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "jpeg", quality=quality)
    expected = np.asarray(PIL.Image.open(file), float)
    found = np.asarray(jax.jit(physics.Jpeg(quality))(jnp.asarray(image[..., None] / 255)))[..., 0]
    difference = np.abs(np.clip(255 * found, 0, 255) - expected)
    assert np.quantile(difference, 0.97) < 1.5  # Pillow computes in integers, which turns a few ties
    assert difference.mean() < 0.5 < np.abs(image - expected).mean()


def test_jpeg_of_each_example_has_a_straight_derivative():
    x = jnp.asarray(RANDOM.uniform(size=(2, 9, 8, 3)))
    qualities = jnp.array([20.0, 80.0])
    together = physics.Jpeg(qualities[:, None, None, None])
    y = together(x)
    for i in range(2):
        np.testing.assert_allclose(y[i], physics.Jpeg(qualities[i])(x[i]), atol=1e-12)
        np.testing.assert_allclose(physics.Jpeg(qualities[i])(y[i])[:8], y[i, :8], atol=1e-12)
    np.testing.assert_allclose(jax.grad(lambda x: jnp.sum(together(x)))(x), 1)
    np.testing.assert_allclose(together.linearize(x)(x), x)


def test_gamma_can_be_undone():
    x = normal(*SHAPE)
    model = physics.Gamma(0.45)
    np.testing.assert_allclose(model.guess(model(x)), x, rtol=1e-10)
    np.testing.assert_allclose(model(jnp.abs(x)), jnp.abs(x) ** 0.45, rtol=1e-12)


def test_guess_of_a_magnitude_points_at_the_image():
    x = normal(2, 8, 8, 1, dtype=complex)
    coils = np.exp(2j * np.pi * RANDOM.uniform(size=(8, 8, 12)))
    model = physics.Magnitude(physics.Fourier(np.ones((8, 8)), coils))
    guess = jax.jit(lambda y: model.guess(y))(model(x))
    match = jnp.abs(jnp.sum(guess.conj() * x, (1, 2, 3)))
    np.testing.assert_array_less(0.7 * jnp.linalg.norm(guess.reshape(2, -1), axis=1), match)
    np.testing.assert_allclose(jnp.linalg.norm(model(guess)), jnp.linalg.norm(model(x)), rtol=0.2)
    assert match.min() > 0.7 * 0.7 * jnp.sum(jnp.abs(x) ** 2, (1, 2, 3)).min()


def test_it_is_observed_like_any_operator():
    model = physics.Clip() @ physics.Blur(physics.kernels.gaussian(1.0, 3))
    x = 2 * jnp.asarray(RANDOM.uniform(size=(2, 6, 6, 3)))
    observation = physics.Observation(model, physics.GaussianNoise(0.1))
    y = jax.jit(lambda o, key, x: o(key, x))(observation, jax.random.key(0), x)
    np.testing.assert_allclose((y - model(x)).std(), 0.1, rtol=0.2)
    assert model(x).max() == 1 < model.inner(x).max()


def test_it_is_not_taken_for_a_linear_operator():
    x = jnp.asarray(RANDOM.uniform(size=(6, 6, 1)))
    blur = physics.Blur(physics.kernels.gaussian(1.0, 3))
    for model in (physics.Clip() @ blur, blur @ physics.Gamma(2.2), 2.0 * physics.Clip()):
        for claim in (model.transfer, model.diagonal, model.gram, model.range_gram, model.split):
            assert claim(x.shape, x.dtype) is None
        for solve in (solvers.wiener, lambda y, a: solvers.admm(y, a, solvers.TotalVariation(1e-2))):
            with pytest.raises(ValueError, match=r"is not linear and has no adjoint; try gauss_newton"):
                solve(x, model)
    with pytest.raises(ValueError, match="is not linear and has no norm"):
        physics.Clip().norm_bound()

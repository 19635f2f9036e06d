"""Least squares: Tikhonov, pseudo-inverse, conjugate gradients, Landweber; and the unsupervised Wiener filter."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data
import skimage.restoration

from mtjax import physics
from mtjax.solvers import Solution, make, status_name
from mtjax.solvers.linear import conjugate_gradient, landweber, pseudo_inverse, tikhonov
from mtjax.solvers.priors import Gradient, Prior
from mtjax.solvers.unsupervised_wiener import unsupervised_wiener
from mtjax.solvers.wiener import Laplacian

RANDOM = np.random.default_rng(0)
KERNEL = RANDOM.uniform(size=(3, 4))
KERNEL /= KERNEL.sum()
MASK = RANDOM.uniform(size=(8, 6)) < 0.6


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def uniform(*shape):
    return jnp.asarray(RANDOM.uniform(size=shape))


def operators():
    blur = physics.Blur(KERNEL)
    return {
        "circular": blur,
        "reflect": physics.Blur(KERNEL, "reflect"),
        "mask": physics.Mask(MASK),
        "downsample": physics.Downsample(2, KERNEL),
        "stack": physics.Stack([blur, physics.Blur(KERNEL[::-1])]),
        "stack-mask": physics.Stack([blur, physics.Mask(MASK)]),
    }


@jax.jit
def jacobian(operator, x):
    return jax.jacobian(operator)(x)


def dense(operator, shape=(8, 6, 1)):
    """The operator's matrix, the parts of a tuple below each other."""
    x = jnp.zeros(shape)
    columns = jacobian(operator, x)
    return np.concatenate([np.reshape(part, (-1, x.size)) for part in jax.tree.leaves(columns)])


def flat(y):
    return np.concatenate([np.ravel(part) for part in jax.tree.leaves(y)])


@pytest.mark.parametrize("name", operators())
def test_tikhonov_solves_the_normal_equations(name):
    operator = operators()[name]
    y, matrix = operator(uniform(8, 6, 1)), dense(operator)
    for analysis, part in ((None, np.eye(48)), (Gradient("reflect"), dense(Gradient("reflect")))):
        found = jax.jit(tikhonov)(y, operator, 0.03, analysis)
        expected = np.linalg.solve(matrix.T @ matrix + 0.03 * part.T @ part, matrix.T @ flat(y))
        np.testing.assert_allclose(np.ravel(found.image), expected, atol=1e-8)
        assert status_name(found.status) == "converged"


def test_laplacian_is_the_gradients_normal_map():
    x = uniform(7, 6, 2)
    np.testing.assert_allclose(Laplacian()(x), Gradient().adjoint(Gradient()(x)), atol=1e-12)
    spectrum = Laplacian().transfer((7, 6, 1), x.dtype) * np.fft.rfft2(x, axes=(-3, -2))
    np.testing.assert_allclose(np.fft.irfft2(spectrum, s=(7, 6), axes=(-3, -2)), Laplacian()(x), atol=1e-12)


@pytest.mark.parametrize("name", operators())
def test_pseudo_inverse_is_that_of_the_matrix(name):
    operator = operators()[name]
    y, matrix = jax.tree.map(lambda part: uniform(*part.shape), operator(jnp.zeros((8, 6, 1)))), dense(operator)
    cutoff = 1e-6
    found = jax.jit(pseudo_inverse, static_argnums=2)(y, operator, cutoff).image
    np.testing.assert_allclose(np.ravel(found), np.linalg.pinv(matrix, cutoff) @ flat(y), atol=1e-7)


def test_pseudo_inverse_leaves_out_small_singular_values():
    kernel = np.array([[0.5, 0.5]])  # no response at the highest horizontal frequency
    y = uniform(2, 8, 6, 1)
    found = jax.jit(pseudo_inverse)(y, physics.Blur(kernel)).image
    for i in range(2):
        expected = np.linalg.pinv(dense(physics.Blur(kernel)), 1e-6) @ np.ravel(y[i])
        np.testing.assert_allclose(np.ravel(found[i]), expected, atol=1e-9)


@pytest.mark.parametrize("name", ["reflect", "stack-mask"])
def test_conjugate_gradient_is_least_squares(name):
    operator = operators()[name]
    y, matrix = operator(uniform(8, 6, 1)), dense(operator)
    y = jax.tree.map(lambda part: part + 0.1 * uniform(*part.shape), y)
    expected = np.linalg.lstsq(matrix, flat(y), rcond=None)[0]
    for options in ({"iterations": 150}, {"tolerance": 1e-11}):
        found = jax.jit(lambda y, A, options=options: conjugate_gradient(y, A, **options))(y, operator)
        np.testing.assert_allclose(np.ravel(found.image), expected, atol=1e-6)


def test_conjugate_gradient_is_optimal_in_its_krylov_space():
    operator = operators()["circular"]
    y, matrix = uniform(8, 6, 1), dense(operators()["circular"])
    found = conjugate_gradient(y, operator, iterations=4, trace=True)
    basis = [matrix.T @ np.ravel(y)]
    for _ in range(3):
        basis.append(matrix.T @ matrix @ basis[-1])
    basis = np.stack(basis, -1)
    expected = basis @ np.linalg.lstsq(matrix @ basis, np.ravel(y), rcond=None)[0]
    np.testing.assert_allclose(np.ravel(found.image), expected, atol=1e-8)
    assert (np.diff(found.trace["objective"]) < 0).all()
    np.testing.assert_allclose(found.trace["objective"][-1], jnp.sum((operator(found.image) - y) ** 2) / 2)


class Positive(Prior):
    """Non-negativity, written here so that this file depends on no prior."""

    def prox(self, v, t, /):
        return jnp.maximum(v, 0)


jax.tree_util.register_pytree_node(Positive, lambda _: ((), None), lambda *_: Positive())


def test_landweber_reaches_the_constrained_minimum():
    operator = physics.Blur(np.array([[0.2, 1.0, 0.2]]))
    y, matrix = uniform(2, 8, 6, 1) - 0.6, dense(operator)
    solve = jax.jit(lambda y, **k: landweber(y, operator, constraint=Positive(), tolerance=1e-10, **k))
    found = solve(y)
    gradient = jnp.stack(
        [matrix.T @ (matrix @ jnp.ravel(x) - jnp.ravel(b)) for x, b in zip(found.image, y, strict=True)]
    ).ravel()
    x = found.image.ravel()
    assert (x >= 0).all() and 0 < int((x == 0).sum()) < x.size
    np.testing.assert_allclose(gradient[x > 0], 0, atol=1e-7)
    assert (gradient[x == 0] >= -1e-7).all()
    alone = solve(y[1:])
    np.testing.assert_allclose(found.image[1:], alone.image, atol=1e-12)
    assert found.iterations[1] == alone.iterations[0]


def test_landweber_filters_singular_values():
    operator = operators()["circular"]
    y, (u, s, vt) = uniform(8, 6, 1), np.linalg.svd(dense(operators()["circular"]))
    found = landweber(y, operator, step=1.5, iterations=7).image
    expected = vt.T @ ((1 - (1 - 1.5 * s**2) ** 7) / s * (u.T @ np.ravel(y)))
    np.testing.assert_allclose(np.ravel(found), expected, atol=1e-9)


@pytest.mark.parametrize(
    "solve",
    [
        lambda y, A: tikhonov(y, A, 0.05),
        lambda y, A: conjugate_gradient(y, A, iterations=5),
        lambda y, A: conjugate_gradient(y, A, tolerance=1e-10),
    ],
    ids=["tikhonov", "iterations", "tolerance"],
)
def test_batches_and_gradients(solve):
    operator = physics.Blur(np.array([[0.2, 1.0, 0.3]]), "reflect")
    y, weights, direction = uniform(3, 8, 6, 1), uniform(3, 8, 6, 1), uniform(3, 8, 6, 1)

    def loss(y, weights):
        image = solve(y, operator).image
        return jnp.vdot(weights, image), image

    both = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (_, images), slope = both(y, weights)
    _, alone = jax.jit(jax.vmap(loss))(y, weights)
    np.testing.assert_allclose(images, alone, atol=1e-8)
    ends = [both(y + sign * 1e-5 * direction, weights)[0][0] for sign in (1, -1)]
    np.testing.assert_allclose(jnp.vdot(slope, direction), (ends[0] - ends[1]) / 2e-5, rtol=1e-5, atol=1e-7)


def observed(width, sigma=0.05):
    x = jnp.asarray(skimage.data.camera()[::8, ::8][:, :width] / 255.0)
    operator = physics.Blur(physics.kernels.gaussian(1.0, 5))
    return operator, operator(x[..., None])[..., 0] + sigma * jnp.asarray(RANDOM.standard_normal(x.shape))


def test_unsupervised_wiener_is_the_mean_of_scikit_images_chains():
    operator, y = observed(63)  # of even widths scikit-image counts one column twice
    psf = np.asarray(operator.kernel[..., 0])
    options = {"min_num_iter": 400, "max_num_iter": 401}
    image, chains = skimage.restoration.unsupervised_wiener(np.asarray(y), psf, None, options, clip=False, rng=0)
    found = jax.jit(unsupervised_wiener)(y, operator)
    assert isinstance(found, Solution) and found.image.shape == y.shape
    for precision, name in ((found.noise_precision, "noise"), (found.prior_precision, "prior")):
        chain = np.asarray(chains[name][50:])
        assert abs(float(precision) - chain.mean()) < 0.5 * chain.std()
    np.testing.assert_allclose(found.image, image, atol=0.05)
    assert abs(float(found.noise_precision) * 0.05**2 - 1) < 0.1


def test_unsupervised_wiener_maximizes_the_marginal_likelihood():
    operator, y = observed(64)
    laplacian = np.fft.fft2(np.pad([[0, -1, 0], [-1, 4, -1], [0, -1, 0]], ((0, 61), (0, 61))))
    kernel = np.fft.fft2(np.pad(np.asarray(operator.kernel[..., 0]), ((0, 59), (0, 59))))
    power = np.abs(np.fft.fft2(y)) ** 2 / y.size
    ratio = np.abs(kernel.ravel()[1:]) ** 2 / np.abs(laplacian.ravel()[1:]) ** 2

    def likelihood(noise, prior):
        variance = ratio / prior + 1 / noise
        return np.sum(np.log(variance) + power.ravel()[1:] / variance)

    found = jax.jit(lambda y: unsupervised_wiener(y, operator, tolerance=1e-9))(y)
    best = float(found.noise_precision), float(found.prior_precision)
    least = likelihood(*best)
    for noise, prior in ((1.02, 1), (0.98, 1), (1, 1.1), (1, 0.9)):
        assert likelihood(noise * best[0], prior * best[1]) > least


def test_unsupervised_wiener_batches_and_scales():
    operator, y = observed(64)
    both = jnp.stack([y, 0.5 * y + 0.2])[..., None]
    found = jax.jit(lambda y: unsupervised_wiener(y, operator, tolerance=1e-8))(both)
    np.testing.assert_allclose(found.noise_precision[1], 4 * found.noise_precision[0], rtol=1e-3)
    np.testing.assert_allclose(found.image[1], 0.5 * found.image[0] + 0.2, atol=1e-4)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda y, A: conjugate_gradient(y, A, tolerance=1e-3, trace=True), "trace=True"),
        (lambda y, A: landweber(y, A, init=jnp.zeros((4, 4))), r"init has shape \(4, 4, 1\)"),
        (lambda y, A: landweber(y, A, iterations=0), "iterations=0"),
        (lambda y, A: unsupervised_wiener(y, physics.Mask(jnp.ones((8, 6)))), "operator=Mask"),
    ],
)
def test_bad_arguments_get_one_line(wrong, message):
    with pytest.raises(ValueError, match=message) as caught:
        wrong(uniform(8, 6), physics.Identity())
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_hyper_laplacian_beats_every_linear_estimate():
    x = jnp.asarray(skimage.data.camera()[20:212, 140:332].reshape(96, 2, 96, 2, 1).mean((1, 3)) / 255)
    operator = physics.Blur(physics.kernels.disk(2.5))
    y = operator(x) + 0.01 * jnp.asarray(RANDOM.standard_normal(x.shape))
    solve, _ = make({"kind": "hyper_laplacian"})
    sparse = jnp.mean((jax.jit(solve)(y, operator).image - x) ** 2)
    linear = jax.vmap(lambda w: jnp.mean((tikhonov(y, operator, w, Gradient()).image - x) ** 2))(
        jnp.logspace(-4, -1, 13)
    )
    assert sparse < 0.6 * linear.min()

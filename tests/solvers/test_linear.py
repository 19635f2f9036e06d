"""Wiener, the shared x-update, conjugate gradients and interpolation."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.restoration

from mtjax import physics, solvers
from mtjax.solvers.normal import conjugate_gradient
from mtjax.solvers.priors import Gradient

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
        "identity": physics.Identity(),
        "circular": blur,
        "reflect": physics.Blur(KERNEL, "reflect"),
        "valid": physics.Blur(KERNEL, "valid"),
        "mask": physics.Mask(MASK),
        "mask-of-blur": physics.Mask(MASK) @ blur,
        "downsample": physics.Downsample(2, KERNEL),
        "scaled-downsample": 0.5 * physics.Downsample(2, KERNEL),
    }


def dense(operator, shape=(8, 6, 1)):
    x = jnp.zeros(shape)
    return np.asarray(jax.jacobian(operator)(x)).reshape(-1, x.size)


@pytest.mark.parametrize("name", operators())
def test_wiener_is_tikhonov(name):
    operator = operators()[name]
    matrix, laplacian = dense(operator), dense(Gradient().normal)
    y = operator(uniform(8, 6, 1))
    for regularizer, penalty in (("white", np.eye(48)), ("laplacian", laplacian.T @ laplacian)):
        found = solvers.wiener(y, operator, 0.03, regularizer)
        expected = np.linalg.solve(matrix.T @ matrix + 0.03 * penalty, matrix.T @ np.asarray(y).ravel())
        np.testing.assert_allclose(np.ravel(found.image), expected, atol=1e-9)
        assert solvers.status_name(found.status) == "converged"


@pytest.mark.parametrize("size", [(5, 5), (4, 6)])
def test_wiener_is_scikit_images(size):
    y, psf = uniform(15, 16), RANDOM.uniform(size=size)
    expected = skimage.restoration.wiener(np.asarray(y), psf, 0.1, clip=False)
    found = solvers.wiener(y, physics.Blur(psf), 0.1, "laplacian").image
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("name", operators())
def test_data_prox_and_its_gradients(name):
    operator = operators()[name]
    matrix = dense(operator)
    z, rho = uniform(2, 8, 6, 1), jnp.array([0.01, 0.3])
    y = operator(uniform(2, 8, 6, 1))
    found = solvers.data_prox(z, y, operator, rho)
    for i in range(2):
        normal = matrix.T @ matrix + float(rho[i]) * np.eye(48)
        right = matrix.T @ np.ravel(y[i]) + float(rho[i]) * np.ravel(z[i])
        np.testing.assert_allclose(np.ravel(found[i]), np.linalg.solve(normal, right), atol=1e-8)

    weights = uniform(2, 8, 6, 1)
    loss = jax.jit(lambda z, y, rho: jnp.vdot(weights, solvers.data_prox(z, y, operator, rho)))
    check_gradient(loss, (z, y, rho), rtol=1e-5)


def check_gradient(loss, args, rtol, step=1e-5):
    """Gradients against central differences along one random direction for each argument."""
    gradients = jax.jit(jax.grad(loss, tuple(range(len(args)))))(*args)
    for i, (arg, gradient) in enumerate(zip(args, gradients, strict=True)):
        direction = jnp.asarray(RANDOM.standard_normal(arg.shape)) * jnp.minimum(1, jnp.abs(arg) + 1e-2)
        ends = [loss(*args[:i], arg + sign * step * direction, *args[i + 1 :]) for sign in (1, -1)]
        expected = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(jnp.vdot(gradient, direction), expected, rtol=rtol, atol=1e-7)


def test_data_prox_keeps_float32_accuracy_for_small_rho():
    operator = physics.Downsample(2, KERNEL)
    z, x = uniform(16, 16, 1), uniform(16, 16, 1)
    exact = solvers.data_prox(z, operator(x), operator, 1e-7)
    single = solvers.data_prox(z.astype(jnp.float32), operator(x).astype(jnp.float32), operator, 1e-7)
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, exact, atol=5e-5)


def test_conjugate_gradient_stops_each_example_by_itself():
    operator = physics.Blur(KERNEL, "reflect")
    b = uniform(3, 8, 6, 1).at[1].set(0.5)
    matvec = lambda x: operator.normal(x) + 0.01 * x  # noqa: E731
    x, count, residual = conjugate_gradient(matvec, b)
    one, alone, _ = conjugate_gradient(matvec, b[:1])
    assert count[1] < count[0] == alone[0]
    np.testing.assert_allclose(x[:1], one, atol=1e-12)
    assert (residual < 1e-11).all()


@pytest.mark.parametrize("factor", [2, 3])
def test_bicubic_leaves_samples_where_decimation_took_them(factor):
    x = jnp.asarray(np.add.outer(np.arange(24.0), 2 * np.arange(36.0)))[..., None]
    operator = physics.Downsample(factor)
    found = solvers.bicubic(operator(x), operator).image
    assert found.shape == x.shape
    inside = (slice(2 * factor, -3 * factor),) * 2
    np.testing.assert_allclose(found[inside], x[inside], atol=1e-9)  # a ramp, so that half a pixel would show
    np.testing.assert_allclose(operator(found), operator(x), atol=1e-9)


def test_bicubic_fills_masks_smoothly():
    ramp = jnp.linspace(0.2, 0.8, 32)[:, None] + 0 * jnp.zeros((32, 30))
    mask = physics.Mask((RANDOM.uniform(size=(2, 32, 30, 1)) < 0.4).astype(float))
    x = jnp.broadcast_to(ramp[..., None], (2, 32, 30, 1))
    found = solvers.bicubic(mask(x), mask).image
    np.testing.assert_allclose((mask.mask * found), mask(x), atol=1e-12)
    assert float(jnp.abs(found - x)[:, 4:-4].mean()) < 0.02
    empty = solvers.bicubic(jnp.zeros((8, 8)), physics.Mask(jnp.zeros((8, 8)))).image
    assert jnp.isfinite(empty).all()


def test_bicubic_of_other_operators_has_the_images_shape():
    x = uniform(2, 12, 12, 3)
    for operator in (physics.Blur(KERNEL, "valid"), physics.Mask(jnp.ones((12, 12))) @ physics.Blur(KERNEL)):
        assert solvers.bicubic(operator(x), operator).image.shape == x.shape


def test_grid_search_finds_a_maximum_between_grid_points():
    found, best, table = solvers.grid_search(
        lambda a, b: -(np.log(a / 0.013) ** 2) - np.log(b / 2.0) ** 2, {"a": (1e-4, 1.0), "b": (0.1, 10.0)}, rounds=3
    )
    assert abs(np.log(found["a"] / 0.013)) < 0.3
    assert abs(np.log(found["b"] / 2.0)) < 0.3
    assert best == max(row["score"] for row in table)
    nan, _, _ = solvers.grid_search(lambda a: float("nan") if a < 0.05 else a, {"a": (1e-2, 1e-1)}, rounds=1)
    np.testing.assert_allclose(nan["a"], 0.1)


def test_conjugate_gradients_have_the_right_gradient_for_complex_images():
    coils = jnp.asarray(RANDOM.standard_normal((8, 6, 2)) + 1j * RANDOM.standard_normal((8, 6, 2)))
    operator = physics.Fourier(MASK.astype(float), coils)
    y, z = operator(uniform(8, 6, 1) + 1j * uniform(8, 6, 1)), 1j * uniform(8, 6, 1)
    target = uniform(8, 6, 1)

    @jax.jit
    def loss(scale):
        x = solvers.data_prox(z, y, physics.Fourier(MASK.astype(float), scale * coils), 0.3)
        return jnp.sum(jnp.abs(x - target) ** 2)

    expected = (loss(1 + 1e-5) - loss(1 - 1e-5)) / 2e-5
    np.testing.assert_allclose(jax.grad(loss)(1.0), expected, rtol=1e-3)


def test_what_is_not_finite_is_not_solved():
    y = uniform(2, 8, 6, 1).at[0, 3, 2].set(jnp.nan)
    solution = solvers.wiener(y, physics.Blur(KERNEL, "reflect"), 0.1)
    assert solution.status.tolist() == [solvers.Status.DIVERGED, solvers.Status.CONVERGED]
    assert not jnp.isfinite(solution.image[0]).all()
    alone = solvers.wiener(y[1], physics.Blur(KERNEL, "reflect"), 0.1)
    np.testing.assert_allclose(solution.image[1], alone.image, rtol=1e-9)


def test_importing_solvers_is_light():
    heavy = "flax optax orbax tensorflow tensorflow_datasets matplotlib skimage grain ml_collections"
    code = f"import sys, mtjax.solvers; print(*[m for m in '{heavy}'.split() if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == ""


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            lambda: solvers.wiener(jnp.ones((8, 8)), physics.Identity(), 0.1, "laplace"),
            "did you mean 'laplacian'",
        ),
        (lambda: solvers.wiener(jnp.ones((8, 8), jnp.uint8), physics.Identity()), "dtype uint8"),
        (lambda: solvers.wiener(jnp.ones((4, 8, 8, 1)), physics.Identity(), jnp.ones(3)), "hyper-parameter"),
        (lambda: solvers.bicubic(jnp.ones(8), physics.Identity()), "y has shape"),
        (lambda: solvers.grid_search(lambda a: a, {"a": (0.0, 1.0)}), "not a range"),
        (lambda: solvers.make({"kind": "weiner"}), "did you mean 'wiener'"),
    ],
)
def test_bad_arguments_get_one_line(wrong, message):
    with pytest.raises(ValueError, match=message) as caught:
        wrong()
    assert "\n" not in str(caught.value)

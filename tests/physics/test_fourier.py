"""Sub-sampled Fourier measurements: NumPy's, exact adjoints of complex and real images, closed forms, masks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtjax import physics
from mtjax.physics.operator import fourier, inverse_fourier
from mtjax.solvers.normal import data_prox

RANDOM = np.random.default_rng(0)
SHAPE = (6, 5)


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def normal(*shape, dtype=complex):
    values = RANDOM.standard_normal((*shape, 2)) @ [1, 1j]
    return jnp.asarray(values if dtype is complex else values.real)


def operators():
    mask = RANDOM.uniform(size=SHAPE) < 0.6
    weights, coils = RANDOM.uniform(size=(2, *SHAPE, 1)), normal(*SHAPE, 3)
    return {
        "mask": (physics.Fourier(mask), 2),
        "weights-by-example": (physics.Fourier(weights), 1),
        "coils": (physics.Fourier(mask, coils), 1),
        "coils-by-example": (physics.Fourier(weights, jnp.stack([coils, 2 * coils])), 1),
        "real": (physics.Fourier(mask, real=True), 2),
        "real-coils": (physics.Fourier(weights, coils, real=True), 1),
    }


def dense(function, shape, dtype):
    """The matrix of a linear map of images of this shape; for real images, over the real numbers."""
    basis = jnp.eye(np.prod(shape), dtype=dtype).reshape(-1, *shape)
    return np.asarray(jax.jit(jax.vmap(function))(basis)).reshape(len(basis), -1).T


@pytest.mark.parametrize("name", operators())
def test_adjoint_norm_and_claimed_forms(name):
    operator, channels = operators()[name]
    dtype = float if operator.real else complex
    shape = (2, *SHAPE, channels)
    matrix = dense(operator, shape, dtype)
    back = dense(operator.adjoint, operator.output_shape(shape), dtype)
    np.testing.assert_allclose(back, matrix.conj().T, atol=1e-12)
    assert operator.input_shape(operator.output_shape(shape)) == shape
    norm = np.linalg.norm(matrix, 2)
    assert norm * (1 - 1e-12) <= float(operator.norm_bound()) < 2 * norm
    x = normal(*shape, dtype=dtype)
    assert operator(x).dtype == operator.adjoint(operator(x)).dtype == jnp.dtype(dtype)
    for claim, exact in ((operator.gram, True), (operator.approximate_gram, operator.coils is None)):
        spectrum = claim(shape, x.dtype)
        assert (spectrum is None) == (claim == operator.gram and operator.coils is not None)
        if spectrum is not None and exact:
            np.testing.assert_allclose(inverse_fourier(spectrum * fourier(x), x), operator.normal(x), atol=1e-12)


def test_y_is_numpys_transform_of_each_coil():
    mask, coils, x = RANDOM.uniform(size=SHAPE) < 0.5, normal(*SHAPE, 3), normal(*SHAPE)
    y = physics.Fourier(mask, coils)(x[..., None])
    for k in range(3):
        np.testing.assert_allclose(y[..., k], mask * np.fft.fft2(coils[..., k] * x, norm="ortho"), atol=1e-12)


def test_real_images_may_be_seen_by_the_complex_operator():
    mask, x = RANDOM.uniform(size=SHAPE) < 0.5, normal(*SHAPE, 1, dtype=float)
    plain, real = physics.Fourier(mask), physics.Fourier(mask, real=True)
    y = plain(x)
    assert jnp.iscomplexobj(y)
    np.testing.assert_allclose(jnp.concatenate([y.real, y.imag], -1), real(x), atol=1e-12)
    np.testing.assert_allclose(plain.adjoint(y).real, real.adjoint(real(x)), atol=1e-12)
    assert plain.gram(x.shape, x.dtype) is None
    assert real.gram(x.shape, y.dtype) is None


def test_the_nearest_circular_convolution_is_the_diagonal_in_the_fourier_domain():
    operator, _ = operators()["coils-by-example"]
    shape = (2, *SHAPE, 1)
    waves = jnp.fft.ifft2(jnp.eye(30).reshape(30, 1, *SHAPE, 1), axes=(-3, -2), norm="ortho")
    power = (jnp.abs(operator(waves)) ** 2).sum((-3, -2, -1)).T.reshape(shape)
    np.testing.assert_allclose(operator.approximate_gram(shape, complex), power, atol=1e-12)


@pytest.mark.parametrize("name", ["mask", "coils", "real", "real-coils"])
def test_data_prox_is_the_dense_solution(name):
    operator, channels = operators()[name]
    dtype, shape = (float if operator.real else complex), (2, *SHAPE, channels)
    z, y = normal(*shape, dtype=dtype), normal(*operator.output_shape(shape), dtype=dtype)
    matrix, right = dense(operator, shape, dtype), np.ravel(0.1 * z + operator.adjoint(y))
    expected = np.linalg.solve(matrix.conj().T @ matrix + 0.1 * np.eye(z.size), right)
    np.testing.assert_allclose(np.ravel(data_prox(z, y, operator, 0.1)), expected, atol=1e-9)


def test_masks_keep_their_share_and_the_center():
    keys = jax.random.split(jax.random.key(0), 3)
    masks = jax.vmap(lambda key: physics.cartesian_mask(key, (50, 8), 0.3, 0.1))(keys)
    assert ((masks == 0) | (masks == 1)).all()
    assert (masks == masks[..., :1]).all()
    assert (masks[..., 0].sum(1) == 15).all()
    assert (masks[:, [0, 1, 2, -1, -2]] == 1).all()
    assert (masks[0] != masks[1]).any()
    for shape in ((32, 32), (31, 40)):
        shares = [np.mean(physics.radial_mask(shape, keep)) for keep in (0.1, 0.3, 1.0)]
        np.testing.assert_allclose(shares, (0.1, 0.3, 1.0), atol=0.05)
        mask = np.asarray(physics.radial_mask(shape, 0.2))
        middle = np.abs(np.fft.fftfreq(shape[0]))[:, None] + np.abs(np.fft.fftfreq(shape[1])) < 0.07
        assert mask[0, 0] == 1
        assert mask[middle].mean() > 0.8 > mask[~middle].mean()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: physics.Fourier(jnp.ones((2, 6, 5))), "mask has shape"),
        (lambda: physics.Fourier(jnp.ones((6, 5)), jnp.ones((5, 5, 2))), "coils have shape"),
        (lambda: physics.Fourier(jnp.ones((6, 5)))(jnp.ones((5, 6, 1))), "does not match"),
        (lambda: physics.Fourier(jnp.ones((6, 5)), jnp.ones((6, 5, 2)))(jnp.ones((6, 5, 3))), "x has 3 channels"),
        (lambda: physics.Fourier(jnp.ones((6, 5)), jnp.ones((6, 5, 2))).adjoint(jnp.ones((6, 5, 3))), "y has shape"),
        (lambda: physics.Fourier(jnp.ones((6, 5)), real=True).adjoint(jnp.ones((6, 5, 3))), "y has shape"),
        (lambda: physics.cartesian_mask(jax.random.key(0), (8, 8), 0.1, 0.2), "center=0.2"),
        (lambda: physics.radial_mask((8, 8), 0.0), "keep=0.0"),
    ],
)
def test_bad_arguments_get_one_line(wrong, message):
    with pytest.raises(ValueError, match=message) as caught:
        wrong()
    assert "\n" not in str(caught.value)

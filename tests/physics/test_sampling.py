"""Resizing, color, compressed sensing and varying blur: each against its definition written out in NumPy."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtjax import physics, solvers

RANDOM = np.random.default_rng(0)
LUMINANCE = ((0.299, 0.587, 0.114),)


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def uniform(*shape):
    return jnp.asarray(RANDOM.uniform(size=shape))


def weight(t, kernel):
    t = abs(t)
    if kernel == "linear":
        return max(1 - t, 0)
    if kernel == "lanczos3":
        return 1.0 if t == 0 else 3 * math.sin(math.pi * t) * math.sin(math.pi * t / 3) / (math.pi * t) ** 2 * (t < 3)
    if t <= 1:
        return 1.5 * t**3 - 2.5 * t**2 + 1
    return -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2 if t < 2 else 0.0


def imresize_axis(line, count, scale, kernel):
    """MATLAB's `imresize` of one line, value by value, in its own one-based coordinates."""
    shrink, reach = min(scale, 1), {"linear": 1, "cubic": 2, "lanczos3": 3}[kernel]
    result = []
    for out in range(1, count + 1):
        center = out / scale + 0.5 * (1 - 1 / scale)
        span = range(math.floor(center - reach / shrink) - 1, math.ceil(center + reach / shrink) + 2)
        weights = [weight(shrink * (center - i), kernel) for i in span]
        mirrored = [(list(line) + list(line)[::-1])[(i - 1) % (2 * len(line))] for i in span]
        result.append(np.dot(weights, mirrored) / sum(weights))
    return np.array(result)


def imresize(x, sizes, scales, kernel):
    x = np.apply_along_axis(imresize_axis, 0, np.asarray(x), sizes[0], scales[0], kernel)
    return np.apply_along_axis(imresize_axis, 1, x, sizes[1], scales[1], kernel)


@pytest.mark.parametrize(
    ("to", "kernel", "sizes", "scales"),
    [
        (0.5, "cubic", (6, 7), (1 / 2, 1 / 2)),  # 13 columns: rounded up
        (1 / 3, "cubic", (4, 5), (1 / 3, 1 / 3)),
        (4, "cubic", (48, 52), (4, 4)),
        (1.7, "lanczos3", (21, 23), (1.7, 1.7)),
        ((5, 20), "lanczos3", (5, 20), (5 / 12, 20 / 13)),
        ((17, 4), "linear", (17, 4), (17 / 12, 4 / 13)),
    ],
)
def test_resize_is_imresize(to, kernel, sizes, scales):
    x = uniform(12, 13)
    np.testing.assert_allclose(physics.resize(x, to, kernel), imresize(x, sizes, scales, kernel), atol=1e-13)


def test_resize_is_jaxs_away_from_the_border():
    x = uniform(2, 48, 60, 3)
    inside = np.s_[:, 5:-5, 5:-5]
    for factor in (2, 3, 4):
        shape = (2, 48 // factor, 60 // factor, 3)
        ours, jaxs = physics.Bicubic(factor)(x), jax.image.resize(x, shape, "cubic", antialias=True)
        np.testing.assert_allclose(ours[inside], jaxs[inside], atol=1e-12)
        assert np.abs(ours - jaxs).max() > 1e-3  # which at the border renormalizes


def test_bicubic_norm_bound_is_tight():
    for factor in (2, 3):
        operator = physics.Bicubic(factor)
        basis = jnp.eye((6 * factor) ** 2).reshape(-1, 6 * factor, 6 * factor, 1)
        norm = np.linalg.norm(np.asarray(operator(basis)).reshape(len(basis), -1), 2)
        assert norm <= float(operator.norm_bound()) <= 1.001 * norm


def test_mosaic_measures_the_color_of_its_pattern():
    x = jnp.broadcast_to(jnp.array([1.0, 2.0, 3.0]), (5, 7, 3))
    for pattern in ("rggb", "bggr", "grbg", "gbrg"):
        y = physics.Mosaic(pattern)(x)[..., 0]
        expected = np.array([" rgb".index(color) for color in pattern], float).reshape(2, 2)
        for row, column in np.ndindex(2, 2):
            np.testing.assert_array_equal(y[row::2, column::2], expected[row, column])


def test_sensing_of_patches_is_the_matrix_on_each():
    matrix, x = uniform(4, 9), uniform(2, 6, 9, 2)
    y = physics.MatrixSensing(matrix, block=3)(x)
    assert y.shape == (2, 2, 3, 8)
    for row, column, channel in np.ndindex(2, 3, 2):
        patch = np.asarray(x[1, 3 * row : 3 * row + 3, 3 * column : 3 * column + 3, channel])
        np.testing.assert_allclose(y[1, row, column, channel::2], matrix @ patch.ravel(), atol=1e-13)


def test_sensing_of_whole_images_is_the_matrix_on_each():
    matrix, x = uniform(4, 12), uniform(2, 3, 4, 2)
    y = physics.MatrixSensing(matrix, size=(3, 4))(x)
    np.testing.assert_allclose(y, np.einsum("mn,bnc->bmc", matrix, x.reshape(2, 12, 2))[:, None], atol=1e-13)


def test_sensing_matrices_have_their_distributions():
    drawn = jax.jit(jax.vmap(lambda key: physics.gaussian_matrix(key, 8, 20)))(jax.random.split(jax.random.key(0), 64))
    np.testing.assert_allclose(drawn[0] @ drawn[0].T, np.eye(8), atol=1e-12)
    # A fixed vector keeps the share m/n of its energy: a Beta(4, 6) variable, of standard deviation 0.148.
    assert abs(float((drawn[:, :, 0] ** 2).sum(1).mean()) - 0.4) < 5 * 0.148 / 8
    assert abs(float(drawn[:, 0, 0].mean())) < 5 / np.sqrt(20 * 64)  # without the signs, QR gives one sign
    bernoulli = physics.bernoulli_matrix(jax.random.key(0), 25, 400)
    np.testing.assert_allclose(jnp.abs(bernoulli), 1 / 5, rtol=1e-12)
    assert abs(float(jnp.sign(bernoulli).mean())) < 5 / 100  # 10⁴ signs


def test_sensing_with_orthonormal_rows_is_solved_in_two_steps():
    operator = physics.MatrixSensing(physics.gaussian_matrix(jax.random.key(0), 8, 16), block=4)
    z, y, rho = uniform(8, 12, 1), uniform(2, 3, 8), 0.1
    x = solvers.data_prox(z, y, operator, rho)
    np.testing.assert_allclose(x, z + operator.adjoint(y - operator(z)) / (1 + rho), atol=1e-10)


def test_varying_blur_reads_each_pixel_through_its_mixed_kernel():
    kernels, weights, x = uniform(2, 3, 3), uniform(2, 6, 7), uniform(6, 7, 2)
    y = physics.SpaceVaryingBlur(kernels, weights, "edge")(x)
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)), mode="edge")
    for row, column in np.ndindex(6, 7):
        kernel = np.einsum("k,kij->ij", weights[:, row, column], kernels)[::-1, ::-1]
        expected = np.einsum("ij,ijc->c", kernel, padded[row : row + 3, column : column + 3])
        np.testing.assert_allclose(y[row, column], expected, atol=1e-12)


def test_grid_of_kernels_blends_smoothly_between_them():
    cells = jnp.stack([physics.kernels.gaussian(std, 5) for std in (0.5, 0.8, 1.1, 1.4, 1.7, 2.0)]).reshape(3, 2, 5, 5)
    blur = physics.SpaceVaryingBlur.from_grid(cells, (21, 14))
    np.testing.assert_allclose(blur.weights.sum(0), 1, atol=1e-12)
    assert (blur.weights >= 0).all()
    np.testing.assert_allclose(blur.weights[2, 10, 3], 1, atol=1e-12)  # cell (1, 0), 7 × 7 pixels, has its center there
    x, constant = uniform(21, 14, 1), jnp.ones((21, 14, 1))
    apply = jax.jit(lambda operator, x: (operator(x), operator.norm_bound()))
    blurred, bound = apply(blur, constant)
    np.testing.assert_allclose(blurred, 1, atol=1e-12)
    assert 1 <= float(bound) < 1.1
    same = physics.SpaceVaryingBlur.from_grid(jnp.broadcast_to(cells[1, 1], cells.shape), (21, 14))
    np.testing.assert_allclose(apply(same, x)[0], physics.Blur(cells[1, 1], "reflect")(x), atol=1e-12)


def test_varying_blur_of_examples_is_each_by_itself():
    kernels, weights, x = uniform(2, 3, 3, 3), uniform(2, 3, 6, 6), uniform(2, 6, 6, 1)
    both = physics.SpaceVaryingBlur(kernels, weights)
    each = jax.vmap(lambda k, w, one: physics.SpaceVaryingBlur(k, w)(one))
    np.testing.assert_allclose(jax.jit(lambda x: both(x))(x), jax.jit(each)(kernels, weights, x), atol=1e-12)


SPECS = {
    "bicubic": {"factor": 3},
    "mosaic": {"pattern": "gbrg"},
    "color_matrix": {"matrix": LUMINANCE},
    "matrix_sensing": {"ratio": 0.5, "block": 3},
    "varying_blur": {"std": (0.5, 1.0), "grid": 2},
}


@pytest.mark.parametrize("kind", SPECS)
def test_observations_of_every_kind_can_be_made_and_estimated_from(kind):
    @jax.jit
    def estimate(keys, image):
        observed = physics.observe({"operator": {"kind": kind, **SPECS[kind]}}, keys, image)
        return observed.y, solvers.bicubic(observed.y, observed.operator).image

    image = uniform(2, 12, 12, 3)
    y, found = estimate(jax.random.split(jax.random.key(0), 2), image)
    assert y.shape == {"bicubic": (2, 4, 4, 3), "matrix_sensing": (2, 4, 4, 12)}.get(kind, (2, 12, 12, y.shape[-1]))
    assert found.shape == image.shape
    # Each of these says more of the image than nothing does.
    assert jnp.mean((found - image) ** 2) < jnp.mean(image**2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: physics.resize(uniform(4, 4), 0.5, "cubik"), "did you mean 'cubic'"),
        (lambda: physics.resize(uniform(4, 4), 0), "to=0"),
        (lambda: physics.resize(uniform(4, 4), -0.5), "to=-0.5"),
        (lambda: physics.Bicubic(3)(uniform(9, 8, 1)), "width 8 is not divisible by factor=3"),
        (lambda: physics.Bicubic(0), "factor=0"),
        (lambda: physics.Mosaic("rgbg"), "unknown pattern 'rgbg'"),
        (lambda: physics.Mosaic()(uniform(4, 4, 1)), "1 channels; expected 3"),
        (lambda: physics.ColorMatrix(uniform(3, 3))(uniform(4, 4, 1)), "1 channels; expected 3"),
        (lambda: physics.MatrixSensing(uniform(3, 10), 3), "10 columns; expected 9"),
        (lambda: physics.MatrixSensing(uniform(3, 9), 3)(uniform(7, 9, 1)), "height 7 is not divisible by block=3"),
        (lambda: physics.MatrixSensing(uniform(3, 12), size=(3, 4))(uniform(4, 3, 1)), "does not match"),
        (lambda: physics.MatrixSensing(uniform(3, 9), 3, (3, 3)), "expected None"),
        (lambda: physics.gaussian_matrix(jax.random.key(0), 5, 4), "m=5"),
        (lambda: physics.SpaceVaryingBlur(uniform(2, 3, 3), uniform(3, 8, 8)), "2 kernels have 3 weights"),
        (lambda: physics.SpaceVaryingBlur(uniform(2, 3, 3), uniform(2, 8, 8))(uniform(8, 9, 1)), "weights are for"),
    ],
)
def test_bad_arguments_get_one_line(wrong, message):
    with pytest.raises(ValueError, match=message) as caught:
        wrong()
    assert "\n" not in str(caught.value)

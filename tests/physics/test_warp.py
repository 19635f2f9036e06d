"""Shifts, warps and bursts: what they do to an image, adjoints, bounds, and how bursts compose with solvers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from mtjax import physics, solvers
from mtjax.physics.operator import fourier, inverse_fourier
from mtjax.physics.warp import sample

RANDOM = np.random.default_rng(0)
KERNEL = np.outer(*2 * [np.exp(-(np.arange(-2, 3.0) ** 2))])
KERNEL /= KERNEL.sum()
COUNT = 3


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def normal(*shape):
    return jnp.asarray(RANDOM.standard_normal(shape))


def smooth(h, w):
    """A periodic image with few frequencies, as a function of place."""
    amplitude, frequency, phase = normal(5), RANDOM.integers(-2, 3, (5, 2)) / np.array([h, w]), normal(5)
    return lambda p: jnp.cos(2 * jnp.pi * p @ frequency.T + phase) @ amplitude


def dense(operator, shape):
    x = jnp.zeros(shape)
    return np.asarray(jax.jit(jax.jacfwd(operator))(x)).reshape(-1, x.size)


@pytest.mark.parametrize("size", [(8, 9), (7, 6)])
def test_shift_moves_band_limited_images_exactly(size):
    image, points = smooth(*size), physics.grid(size)
    offsets = normal(2, 2)
    found = apply(physics.Shift(offsets), image(points)[..., None])
    for one, offset in zip(found, offsets, strict=True):
        np.testing.assert_allclose(one[..., 0], image(points - offset), atol=1e-12)


@jax.jit
def shifted(operator, x):
    gram = operator.gram(x.shape, x.dtype)
    return operator(x), operator.adjoint(x), operator.normal(x), gram, inverse_fourier(gram * fourier(x), x)


@pytest.mark.parametrize("size", [(8, 6), (7, 5)])
def test_shift_is_real_and_unitary_but_for_nyquist(size):
    x, offset = normal(*size, 2), normal(2)
    operator = physics.Shift(offset)
    for dtype in (float, complex):
        found = operator(x.astype(dtype))
        np.testing.assert_allclose(found, operator(x), atol=1e-12)
        np.testing.assert_allclose(operator.adjoint(x.astype(dtype)), physics.Shift(-offset)(x), atol=1e-12)
        gram = operator.gram(x.shape, dtype)
        np.testing.assert_allclose(
            operator.normal(x.astype(dtype)), inverse_fourier(gram * fourier(x + 0 * found), found), atol=1e-12
        )
    odd = size[0] % 2 and size[1] % 2
    assert np.allclose(gram, 1) == bool(odd)
    whole = jnp.array([3.0, -2.0])
    np.testing.assert_allclose(apply(physics.Shift(whole), x), np.roll(x, (3, -2), (0, 1)), atol=1e-12)


apply = jax.jit(lambda operator, x: operator(x))


@jax.jit
def describe(operator, x, probe):
    return jax.jacfwd(operator)(x), operator(x), operator.adjoint(probe), operator.norm_bound()


@pytest.mark.parametrize(("order", "spline"), [("linear", 1), ("cubic", None)])
@pytest.mark.parametrize(
    ("boundary", "mode"),
    [("circular", "grid-wrap"), ("reflect", "reflect"), ("edge", "nearest"), ("zero", "grid-constant")],
)
def test_warp_interpolates(order, spline, boundary, mode):
    x, flow = normal(6, 7), 3 * normal(6, 7, 2)
    operator, probe = physics.Warp(flow, order, boundary), normal(6, 7, 1)
    matrix, found, adjoint, bound = describe(operator, x[..., None], probe)
    matrix = np.asarray(matrix).reshape(42, 42)
    places = np.moveaxis(np.asarray(physics.grid((6, 7)) + flow), -1, 0)
    if spline is not None:
        expected = scipy.ndimage.map_coordinates(x, places, order=spline, mode=mode)
        np.testing.assert_allclose(found[..., 0], expected, atol=1e-12)
    np.testing.assert_allclose(found.ravel(), matrix @ x.ravel(), atol=1e-12)
    np.testing.assert_allclose(adjoint.ravel(), matrix.T @ probe.ravel(), atol=1e-12)
    schur = np.sqrt(abs(matrix).sum(0).max() * abs(matrix).sum(1).max())
    assert np.linalg.norm(matrix, 2) <= schur <= bound * (1 + 1e-12)
    if order == "linear" or boundary == "zero":  # otherwise taps of opposite sign may meet at one border pixel
        np.testing.assert_allclose(bound, schur, rtol=1e-10)
    if boundary != "zero":
        np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-12)


def test_cubic_interpolation_reproduces_quadratics():
    points = physics.grid((9, 9))
    quadratic = lambda p: 0.3 * p[..., 0] ** 2 - 0.1 * p[..., 0] * p[..., 1] + p[..., 1]  # noqa: E731
    places = jnp.asarray(RANDOM.uniform(2, 6, (4, 5, 2)))
    found = jax.jit(lambda x: sample(x, places, "cubic"))(quadratic(points)[..., None])
    assert found.shape == (4, 5, 1)
    np.testing.assert_allclose(found[..., 0], quadratic(places), atol=1e-12)


def test_warp_per_example_and_its_gradient():
    flow, x = normal(2, 6, 7, 2), normal(2, 6, 7, 2)
    each = jax.jit(jax.vmap(lambda f, one: physics.Warp(f)(one)))(flow, x)
    np.testing.assert_allclose(apply(physics.Warp(flow), x), each, atol=1e-12)
    weights = normal(2, 6, 7, 2)
    loss = jax.jit(lambda f: jnp.vdot(weights, physics.Warp(f)(x)))
    direction = normal(*flow.shape)
    slope = (loss(flow + 1e-6 * direction) - loss(flow - 1e-6 * direction)) / 2e-6
    np.testing.assert_allclose(jnp.vdot(jax.jit(jax.grad(loss))(flow), direction), slope, rtol=1e-5)


def test_flows():
    size, x = (9, 8), normal(9, 8, 1)
    offset = jnp.array([2, -1])
    moved = apply(physics.Warp(physics.shift_flow(offset, size), boundary="circular"), x)
    np.testing.assert_allclose(moved, np.roll(x, (2, -1), (0, 1)), atol=1e-12)
    affine = jnp.array([[1.1, 0.2, -0.3], [-0.1, 0.9, 0.4]])
    matrix = jnp.concatenate([affine, jnp.array([[0.01, -0.02, 1.5]])])
    p = np.array([5.0, 3.0, 1.0])
    np.testing.assert_allclose(physics.affine_flow(affine, size)[5, 3], affine @ p - p[:2])
    homogeneous = np.asarray(matrix) @ p
    np.testing.assert_allclose(physics.homography_flow(matrix, size)[5, 3], homogeneous[:2] / homogeneous[2] - p[:2])
    # Point p of the small image is point 3 p of the large one.
    large = physics.scale_homography(matrix, 3)
    flow = physics.homography_flow(jnp.stack([large, large]), (24, 24))
    assert flow.shape == (2, 24, 24, 2)
    np.testing.assert_allclose(flow[0, 15, 9], 3 * physics.homography_flow(matrix, size)[5, 3])


def burst(*batch, factor=2, count=COUNT):
    offsets = physics.Shift(2 * normal(*batch, count, 2))
    return physics.Frames(physics.Downsample(factor, KERNEL) @ offsets, count)


def test_frames_are_the_observations_one_by_one():
    x, offsets = normal(8, 10, 2), normal(COUNT, 2)
    y = apply(physics.Frames(physics.Downsample(2, KERNEL) @ physics.Shift(offsets), COUNT), x)
    each = jnp.stack([apply(physics.Downsample(2, KERNEL) @ physics.Shift(offset), x) for offset in offsets])
    assert y.shape == (4, 5, COUNT * 2)
    np.testing.assert_allclose(physics.split_frames(y, COUNT), each, atol=1e-12)
    np.testing.assert_allclose(physics.join_frames(each), y, atol=1e-12)
    same = physics.Frames(physics.Identity(), 2)(x)
    np.testing.assert_allclose(physics.split_frames(same, 2), jnp.stack([x, x]))


def test_adjoint_bound_and_gram_of_frames():
    shape = (8, 6, 1)
    operators = {
        "shifts": physics.Frames(physics.Blur(KERNEL) @ physics.Shift(normal(COUNT, 2)), COUNT),
        "same": physics.Frames(physics.Blur(KERNEL), 2),
        "burst": burst(),
        "cropped": physics.Frames(physics.Crop(((1, 1), (0, 1))) @ burst().operator, COUNT),
        "masks": physics.Frames(physics.Mask(RANDOM.uniform(size=(COUNT, *shape))), COUNT),
    }
    circular = set()
    for name, operator in operators.items():
        x, probe = normal(*shape), normal(*operator.output_shape(shape))
        assert operator.input_shape(probe.shape) == shape
        matrix, found, adjoint, bound = describe(operator, x, probe)
        matrix = np.asarray(matrix).reshape(probe.size, x.size)
        np.testing.assert_allclose(found.ravel(), matrix @ x.ravel(), atol=1e-12, err_msg=name)
        np.testing.assert_allclose(adjoint.ravel(), matrix.T @ probe.ravel(), atol=1e-12, err_msg=name)
        assert bound >= np.linalg.norm(matrix, 2) * (1 - 1e-9), name
        if (gram := operator.gram(shape, x.dtype)) is not None:
            circular.add(name)
            np.testing.assert_allclose(operator.normal(x), inverse_fourier(gram * fourier(x), x), atol=1e-12)
    assert circular == {"shifts", "same"}


def test_the_approximate_gram_is_the_mean_of_the_gram_over_places():
    """Averaged over all places of the sampling grid, the normal map is the circular one."""
    operator, x = burst(), normal(8, 8, 1)
    gram = operator.approximate_gram(x.shape, x.dtype)
    places = [(i, j) for i in range(2) for j in range(2)]
    apply_normal = jax.jit(operator.normal)
    mean = sum(np.roll(apply_normal(np.roll(x, place, (0, 1))), (-place[0], -place[1]), (0, 1)) for place in places) / 4
    np.testing.assert_allclose(mean, inverse_fourier(gram * fourier(x), x), atol=1e-12)


def test_bursts_work_in_solvers():
    operator = burst()
    matrix, x = dense(operator, (8, 8, 1)), normal(2, 8, 8, 1)
    y = jax.jit(lambda op, x: op(x))(operator, x)
    found = jax.jit(lambda y, op: solvers.wiener(y, op, 0.03, "white").image)(y, operator)
    proximal = jax.jit(lambda y, op: solvers.data_prox(0 * x, y, op, 0.03))(y, operator)
    for i in range(2):
        expected = np.linalg.solve(matrix.T @ matrix + 0.03 * np.eye(64), matrix.T @ np.ravel(y[i]))
        np.testing.assert_allclose(np.ravel(found[i]), expected, atol=1e-8)
        np.testing.assert_allclose(np.ravel(proximal[i]), expected, atol=1e-8)


def test_bursts_with_offsets_of_their_own_are_vmapped_ones():
    offsets, x = normal(2, COUNT, 2), normal(2, 8, 8, 1)

    def one(offsets, x):
        return physics.Frames(physics.Downsample(2, KERNEL) @ physics.Shift(offsets), COUNT)(x)

    np.testing.assert_allclose(jax.jit(jax.vmap(one))(offsets, x), jax.jit(one)(offsets, x), atol=1e-12)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: physics.Shift(jnp.ones(3)), "offset has shape"),
        (lambda: physics.Warp(jnp.ones((4, 4))), "flow has shape"),
        (lambda: physics.Warp(jnp.ones((4, 4, 2)), "cubik"), "did you mean 'cubic'"),
        (lambda: physics.Warp(jnp.ones((4, 4, 2)))(jnp.ones((5, 4, 1))), "does not match"),
        (lambda: physics.homography_flow(jnp.eye(2), (4, 4)), "matrix has shape"),
        (lambda: physics.Frames(physics.Identity(), 0), "count=0"),
        (lambda: physics.Frames(physics.Shift(jnp.ones((4, 2))), 3), "3 \\(count\\) or 1 frames"),
        (lambda: physics.Frames(physics.Identity(), 2).adjoint(jnp.ones((4, 4, 3))), "multiple of the count=2"),
    ],
)
def test_bad_arguments_get_one_line(wrong, message):
    with pytest.raises(ValueError, match=message) as caught:
        wrong()
    assert "\n" not in str(caught.value)

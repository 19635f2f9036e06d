"""Every operator: adjoint, norm bound, and the closed forms that it claims to have."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from mtjax import physics
from mtjax.physics.operator import fourier, inverse_fourier

RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def normal(*shape):
    return jnp.asarray(RANDOM.standard_normal(shape))


def operators(h, w, c):
    even = h % 2 == 0 and w % 2 == 0
    kernel = normal(4, 3) if even else normal(5, 4)
    mask = physics.Mask(RANDOM.uniform(size=(h, w)) < 0.5)
    blur = physics.Blur(kernel)
    found = {f"blur-{b}": physics.Blur(kernel, b) for b in physics.BOUNDARIES}
    found |= {
        "identity": physics.Identity(),
        "blur-channels": physics.Blur(normal(3, 5, c), "reflect"),
        "blur-examples": physics.Blur(normal(2, 5, 3, 1), "edge"),
        "mask": mask,
        "mask-examples": physics.Mask(normal(2, h, w, 1)),
        "mask-of-blur": mask @ blur,
        "scaled": -0.7 * blur,
        "sum": blur + mask,
        "stack": physics.Stack([blur, physics.Blur(kernel, "valid")]),
        "crop": physics.Crop(((1, 2), (0, 1))),
        "fourier": physics.Fourier(RANDOM.uniform(size=(h, w)) < 0.5, real=True),
        "color-matrix": physics.ColorMatrix(normal(2, c)),
        "color-row": physics.ColorMatrix(normal(1, c)),
        "sensing": physics.MatrixSensing(normal(5, h * w), size=(h, w)),
        "varying-reflect": physics.SpaceVaryingBlur(normal(3, *kernel.shape), normal(3, h, w)),
        "varying-valid": physics.SpaceVaryingBlur.from_grid(normal(2, 3, 4, 3), (h, w), "valid"),
    }
    found |= {
        "shift": physics.Shift(normal(2)),
        "shift-examples": physics.Shift(normal(2, 2)),
        "warp": physics.Warp(normal(h, w, 2)),
        "warp-examples": physics.Warp(normal(2, h, w, 2), boundary="reflect"),
        "frames": physics.Frames(blur @ physics.Shift(normal(3, 2)), 3),
        "frames-examples": physics.Frames(blur @ physics.Shift(normal(2, 3, 2)), 3),
    }
    if even:
        found |= {"downsample": physics.Downsample(2), "downsample-blur": physics.Downsample(2, kernel)}
        found |= {"bicubic": physics.Bicubic(2), "sensing-patches": physics.MatrixSensing(normal(3, 4), 2)}
    if c == 3:
        found |= {"mosaic": physics.Mosaic("grbg")}
    return found


def inner(a, b):
    return sum(float(jnp.vdot(p, q)) for p, q in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


forward = jax.jit(lambda operator, x: operator(x))
backward = jax.jit(lambda operator, y: operator.adjoint(y))


def exercise(operator, x, y):
    """`A x`, `Aᴴ y`, and an estimate of ‖A‖ from below by power iteration."""
    v = x
    for _ in range(60):
        v = backward(operator, forward(operator, v / jnp.linalg.norm(v)))
    return forward(operator, x), backward(operator, y), jnp.sqrt(jnp.linalg.norm(v))


@pytest.mark.parametrize(
    "size", [pytest.param((8, 10, 3), id="even-color"), pytest.param((9, 7, 1), id="odd-gray", marks=pytest.mark.slow)]
)
def test_adjoint_shapes_and_norm(size):
    for name, operator in operators(*size).items():
        x = normal(2, *size)
        y_shape = operator.output_shape(x.shape)
        assert operator.input_shape(y_shape) == x.shape, name
        y = jax.tree.map(lambda shape: normal(*shape), y_shape, is_leaf=lambda shape: isinstance(shape[0], int))
        image, adjoint, norm = exercise(operator, x, y)
        assert y_shape == jax.tree.map(jnp.shape, image), name
        np.testing.assert_allclose(inner(image, y), inner(x, adjoint), rtol=1e-10, atol=1e-10, err_msg=name)
        assert float(operator.norm_bound()) >= float(norm) * (1 - 1e-9), name


@pytest.mark.parametrize("boundary", physics.BOUNDARIES)
def test_norm_bound_is_tight_for_a_symmetric_positive_kernel(boundary):
    bound = physics.Blur(physics.kernels.gaussian(1.0, 5), boundary).norm_bound()
    assert 1 - 1e-9 <= float(bound) < 1.3


@pytest.mark.parametrize(
    "size",
    [pytest.param((8, 10, 3), id="even-color"), pytest.param((9, 7, 1), id="odd-gray", marks=pytest.mark.slow)],
)
def test_claimed_forms_are_what_the_operator_does(size):
    claimed = set()
    for name, operator in operators(*size).items():
        x = normal(2, *size)
        shape, dtype = x.shape, x.dtype
        y_shape = operator.output_shape(shape)
        y = jax.tree.map(lambda s: normal(*s), y_shape, is_leaf=lambda s: isinstance(s[0], int))
        checks = {
            "transfer": lambda t, op=operator, x=x: (op(x), inverse_fourier(t * fourier(x), x)),
            "diagonal": lambda d, op=operator, x=x: (op(x), d * x),
            "gram": lambda g, op=operator, x=x: (op.normal(x), inverse_fourier(g * fourier(x), x)),
            "range_gram": lambda g, op=operator, y=y: (op(op.adjoint(y)), inverse_fourier(g * fourier(y), y)),
        }
        for capability, compare in checks.items():
            claim = getattr(operator, capability)(y_shape if capability == "range_gram" else shape, dtype)
            if claim is not None:
                claimed.add((name, capability))
                np.testing.assert_allclose(*compare(claim), atol=1e-10, err_msg=f"{name} {capability}")
        if (parts := operator.split(shape, dtype)) is not None:
            claimed.add((name, "split"))
            np.testing.assert_allclose(operator(x), parts[0](parts[1](x)), atol=1e-10, err_msg=name)
            middle = parts[1].output_shape(shape)
            weights = parts[0].normal(jnp.ones(middle))
            np.testing.assert_allclose(parts[0].normal(x), weights * x, atol=1e-10, err_msg=name)
    expected = {("blur-circular", "transfer"), ("mask", "diagonal"), ("blur-valid", "split"), ("mask-of-blur", "split")}
    assert claimed >= expected | ({("downsample-blur", "range_gram")} if size[0] % 2 == 0 else set())


@pytest.mark.parametrize("kernel", [(3, 5), (4, 4)])
@pytest.mark.parametrize(
    ("boundary", "mode"), [("circular", "wrap"), ("reflect", "reflect"), ("edge", "nearest"), ("zero", "constant")]
)
def test_blur_is_scipys(boundary, mode, kernel):
    kernel, x = normal(*kernel), normal(11, 8)
    expected = scipy.ndimage.convolve(np.asarray(x), np.asarray(kernel), mode=mode)
    np.testing.assert_allclose(physics.Blur(kernel, boundary)(x[..., None])[..., 0], expected, atol=1e-12)


def test_valid_blur_is_the_inside_of_the_others():
    kernel, x = normal(4, 3), normal(9, 10, 2)
    inside = physics.Blur(kernel, "zero")(x)[1:-2, 1:-1]
    np.testing.assert_allclose(physics.Blur(kernel, "valid")(x), inside, atol=1e-12)


def test_a_new_kernel_does_not_recompile_and_has_a_gradient():
    count = 0

    @jax.jit
    def loss(operator, x):
        nonlocal count
        count += 1
        return jnp.sum(operator(x) ** 2)

    x = normal(8, 8, 1)
    for _ in range(2):
        loss(physics.Blur(normal(3, 3), "edge"), x)
    assert count == 1
    assert jnp.isfinite(jax.grad(loss)(physics.Blur(normal(3, 3), "edge"), x).kernel).all()


def test_vmap_over_operators_is_the_batched_operator():
    x, kernels = normal(2, 8, 8, 3), normal(2, 3, 3, 1)
    each = jax.vmap(lambda k, one: physics.Blur(k, "reflect")(one))(kernels, x)
    np.testing.assert_allclose(each, physics.Blur(kernels, "reflect")(x), atol=1e-12)


def test_kernels_sum_to_one():
    kernels = physics.kernels
    for kernel in (kernels.gaussian(1.3), kernels.box(4), kernels.disk(2.4), kernels.motion(6, 30)):
        np.testing.assert_allclose(kernel.sum(), 1, rtol=1e-12)
        assert (kernel >= 0).all()


def test_motion_has_its_length_and_direction():
    kernel = np.asarray(physics.kernels.motion(12, 45))
    rows, columns = np.indices(kernel.shape) - np.array(kernel.shape).reshape(2, 1, 1) // 2
    # Uniform over length L: variance L² / 12; counter-clockwise, so up is to the right.
    np.testing.assert_allclose((kernel * (rows**2 + columns**2)).sum(), 12**2 / 12, rtol=0.1)
    assert (kernel * rows * columns).sum() < 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: physics.Blur(jnp.ones((3, 3)), "reflct"), "did you mean 'reflect'"),
        (lambda: physics.Blur(jnp.ones(3)), "kernel has shape"),
        (lambda: physics.Blur(jnp.ones((9, 9)))(jnp.ones((8, 8, 1))), "larger than the image"),
        (lambda: physics.Blur(jnp.ones((3, 3, 2)))(jnp.ones((8, 8, 3))), "kernel has 2 channels"),
        (lambda: physics.Mask(jnp.ones((4, 4)))(jnp.ones((8, 8, 1))), "does not match"),
        (lambda: physics.Downsample(2)(jnp.ones((7, 8, 1))), "not divisible by factor=2"),
        (lambda: physics.Downsample(0), "factor=0"),
        (lambda: physics.kernels.gaussian(-1.0), "std=-1.0"),
        (lambda: physics.kernels.box(0), "size=0"),
        (lambda: physics.Stack([]), "at least one"),
        (lambda: (physics.Identity() + physics.Downsample(2)).output_shape((4, 4, 1)), "cannot add"),
    ],
)
def test_bad_arguments_get_one_line(wrong, message):
    with pytest.raises(ValueError, match=message) as caught:
        wrong()
    assert "\n" not in str(caught.value)

"""Registration: scikit-image's phase correlation, sub-pixel truth under noise, gradients, batches."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data
import skimage.registration

from mtjax import physics, solvers
from mtjax.solvers.register import phase_correlation

RANDOM = np.random.default_rng(0)
OFFSETS = RANDOM.uniform(-4, 4, (5, 2))


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


@functools.cache
def burst(size=80):
    """A band-limited photograph and its moved copies; what enters at the borders is really there."""
    picture = skimage.data.camera()[100 : 100 + size + 40, 120 : 120 + size + 40, None] / 255
    picture = physics.Blur(physics.kernels.gaussian(1.0))(jnp.asarray(picture))
    moved = jax.jit(lambda x: physics.Shift(OFFSETS)(x))(picture)
    first = np.asarray(picture[20:-20, 20:-20])
    return np.stack(len(OFFSETS) * [first]), np.asarray(moved[:, 20:-20, 20:-20])


@functools.cache
def compiled(model="translation"):
    return jax.jit(lambda moving, fixed: solvers.register(moving, fixed, model))


def test_phase_correlation_is_scikit_images():
    first, frames = burst()
    for upsample in (1, 20):
        found = jax.jit(lambda a, b, upsample=upsample: phase_correlation(a, b, upsample))(first, frames)
        for one, frame in zip(found, frames, strict=True):
            expected = skimage.registration.phase_cross_correlation(frame, first[0], upsample_factor=upsample)[0]
            np.testing.assert_allclose(one, expected[:2], atol=1e-9)


def test_phase_correlation_of_odd_and_circular_images():
    x = RANDOM.standard_normal((15, 18, 1))
    for offset in ((3, -4), (-7, 8)):
        np.testing.assert_allclose(phase_correlation(x, np.roll(x, offset, (0, 1)), 5), offset, atol=1e-9)


@pytest.mark.parametrize("noise", [0.0, 2 / 255])
def test_offsets_are_right_to_a_fiftieth_of_a_pixel(noise):
    first, frames = burst()
    first = first + noise * RANDOM.standard_normal(first.shape)
    frames = frames + noise * RANDOM.standard_normal(frames.shape)
    found = compiled()(first, frames)
    assert (found.status == solvers.Status.CONVERGED).all()
    np.testing.assert_allclose(found.offset, OFFSETS, atol=0.02)
    np.testing.assert_allclose(found.matrix[:, :2, 2], -found.offset, atol=1e-12)
    # What is left is the noise of both, smoothed: by 1 / (2 √π) for a Gaussian of 1 pixel.
    np.testing.assert_allclose(found.residual, noise * np.sqrt(2) / (2 * np.sqrt(np.pi)), rtol=0.2, atol=2e-3)


def test_a_pair_does_not_depend_on_its_batch_and_the_other_way_is_the_opposite():
    first, frames = burst()
    together = compiled()(first, frames)
    with_others = compiled()(first, np.concatenate([frames[:3], frames[3:] ** 2]))
    np.testing.assert_allclose(with_others.offset[:3], together.offset[:3], atol=1e-9)
    back = compiled()(frames, first)
    np.testing.assert_allclose(back.offset, -together.offset, atol=0.02)


@pytest.mark.parametrize(("model", "size"), [("affine", 44), ("homography", 80)])
def test_other_motions(model, size):
    """The larger image has a pyramid of two levels."""
    matrix = np.array([[1.03, 0.04, -2.0], [-0.03, 0.98, 2.5], [3e-4, -3e-4, 1]])
    if model == "affine":
        matrix[2, :2] = 0
    moving = jnp.asarray(burst()[0][0, :size, :size])
    flow = physics.homography_flow(matrix, (size, size))
    fixed = jax.jit(lambda x: physics.Warp(flow)(x))(moving)
    found = compiled(model)(moving, fixed)
    apart = physics.homography_flow(found.matrix, (size, size)) - flow
    assert float(jnp.abs(apart[8:-8, 8:-8]).max()) < 0.1
    center = (size - 1) / 2
    place = np.asarray(found.matrix) @ np.array([center, center, 1])
    np.testing.assert_allclose(found.offset, center - place[:2] / place[2], atol=1e-9)


def test_gradients_are_those_of_finite_differences():
    first, frames = (x[0] for x in burst())
    direction = RANDOM.standard_normal(first.shape)
    row = jax.jit(jax.value_and_grad(lambda x: solvers.register(x, frames, iterations=6).offset[0]))
    ends = [row(first + h * direction)[0] for h in (1e-4, -1e-4)]
    slope = (ends[0] - ends[1]) / 2e-4
    assert abs(float(slope)) > 1e-3
    np.testing.assert_allclose(jnp.vdot(row(first)[1], direction), slope, rtol=1e-3)


def test_nothing_to_see_is_no_motion():
    gray = np.full((len(OFFSETS), 80, 80, 1), 0.5)
    found = compiled()(gray, gray)
    np.testing.assert_allclose(found.offset, 0, atol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: solvers.register(jnp.ones((32, 32)), jnp.ones((32, 31))), "moving has shape"),
        (lambda: solvers.register(jnp.ones((8, 8)), jnp.ones((8, 8))), "16x16 or more"),
        (lambda: solvers.register(jnp.ones((32, 32)), jnp.ones((32, 32)), "afine"), "did you mean 'affine'"),
        (lambda: solvers.register(jnp.ones((32, 32)), jnp.ones((32, 32)), iterations=0), "iterations=0"),
        (lambda: phase_correlation(jnp.ones((8, 8)), jnp.ones((8, 8)), 0), "upsample=0"),
    ],
)
def test_bad_arguments_get_one_line(wrong, message):
    with pytest.raises(ValueError, match=message) as caught:
        wrong()
    assert "\n" not in str(caught.value)

"""The two-task problem of CAGrad and Nash-MTL: the methods end where published runs end."""

import functools
import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

SPEC = importlib.util.spec_from_file_location("toy", pathlib.Path(__file__).resolve().parents[2] / "docs" / "toy.py")
toy = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(toy)

# The x of the last point from each start; made with PyTorch in float64, and other solvers for the weights.
ENDS = {
    "mgda": (-1.92, 6.10, 6.98, -4.26, 7.00),
    "nash_mtl": (-2.93, 0.00, 2.94, -3.29, 4.89),
    "imtl_g": (-2.27, 0.00, 2.43, -3.39, 5.30),
}
# Both losses on the front, by x.
FRONT = {
    -6: (-0.3097, -19.889), -4: (-0.7895, -19.090), -2: (-1.189, -17.490), 0: (-1.5092, -15.0916),
    2: (-1.749, -11.893), 4: (-1.909, -7.895), 6: (-1.989, -3.097),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


@functools.cache
def last(kind):
    return toy.paths(kind, **toy.PANELS[kind])[:, -1]


def test_the_losses_on_the_front_are_the_published_ones():
    front = toy.front(15)
    for x, wanted in FRONT.items():
        point = front[front[:, 0] == x][0]
        np.testing.assert_allclose(toy.losses(jnp.asarray(point)), wanted, atol=6e-4)


def test_no_direction_improves_both_losses_on_the_front():
    first, second = np.moveaxis(np.asarray(jax.vmap(jax.jacobian(toy.losses))(jnp.asarray(toy.front(15)))), 1, 0)
    lengths = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    inside = slice(1, -1)  # at the ends one gradient is zero
    np.testing.assert_allclose((first * second).sum(-1)[inside] / lengths[inside], -1, atol=1e-9)


@pytest.mark.parametrize("kind", ENDS)
def test_the_ends_are_those_of_published_runs(kind):
    ends, front = last(kind), toy.front()
    distance = np.linalg.norm(ends[:, None] - front, axis=-1).min(1)
    assert (distance < 0.05).all()
    # From the first start the way leads along a valley's edge, where the solvers' rounding shows.
    np.testing.assert_allclose(ends[1:, 0], ENDS[kind][1:], atol=0.05)
    np.testing.assert_allclose(ends[0, 0], ENDS[kind][0], atol=0.1)


def test_the_mean_gradient_is_stuck_in_a_valley():
    ends = last("equal")
    assert ends[2, 1] > 2
    np.testing.assert_allclose(ends[[1, 3, 4], 0], -5.727, atol=0.01)


def test_famo_balances_what_the_mean_does_not():
    """All its ends are on the front, nearer to the middle than those of the mean."""
    ends = last("famo")
    assert (np.linalg.norm(ends[:, None] - toy.front(), axis=-1).min(1) < 0.05).all()
    assert (np.abs(ends[:, 0]) < 3).all()

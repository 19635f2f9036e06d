"""Aligned-MTL against the polar factor of the Jacobian."""

import jax
import numpy as np
import pytest
from jacobian_steps import apply, direction, random_jacobian

from mtjax.weighting.aligned import aligned_mtl


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def aligned(jacobian, scale, preference):
    """The polar factor, of singular value `scale(singular values)` in all directions, weighed."""
    left, values, right = np.linalg.svd(jacobian, full_matrices=False)
    kept = values > 1e-6 * values.max()
    return np.asarray(preference) @ (left[:, kept] @ right[kept]) * scale(values[kept])


SCALES = {
    "min": np.min,
    "median": lambda values: np.sort(values)[(len(values) - 1) // 2],
    "rmse": lambda values: np.sqrt(np.mean(values**2)),
}


@pytest.mark.parametrize("scale_mode", SCALES)
@pytest.mark.parametrize("parameters", [2, 6])
def test_it_is_the_polar_factor_of_the_jacobian(scale_mode, parameters):
    for seed in range(5):
        jacobian = random_jacobian(seed, 4, parameters)
        wanted = aligned(jacobian, SCALES[scale_mode], np.full(4, 0.25))
        np.testing.assert_allclose(direction("aligned_mtl", jacobian, scale_mode=scale_mode), wanted, atol=1e-9)


def test_the_aligned_gradients_are_orthogonal_and_equally_long():
    """The weights are linear in the normalized preference, so that three preferences give the whole matrix."""
    jacobian = random_jacobian(0, 3, 6)
    given = np.asarray([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.2, 0.2, 0.6]])
    weights = np.stack([apply("aligned_mtl", jacobian, preference=tuple(p))[0] for p in given])
    system = np.linalg.solve(given, weights) @ jacobian
    smallest = np.linalg.svd(jacobian, compute_uv=False).min()
    np.testing.assert_allclose(system @ system.T, smallest**2 * np.eye(3), atol=1e-12)


def test_orthonormal_gradients_stay_as_they_are():
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    np.testing.assert_allclose(apply("aligned_mtl", turn)[0], 0.25, atol=1e-12)


@pytest.mark.parametrize("double", [True, False])
def test_a_gradient_listed_twice_is_no_new_direction(double):
    with jax.enable_x64(double):
        jacobian = random_jacobian(1)[[0, 1, 2, 0]].astype(float if double else np.float32)
        wanted = aligned(jacobian.astype(float), np.min, np.full(4, 0.25))
        np.testing.assert_allclose(direction("aligned_mtl", jacobian), wanted, atol=1e-9 if double else 1e-4)


def test_an_unknown_scale_mode_is_named():
    """Called without the checks of types that tests run with."""
    with pytest.raises(ValueError, match="scale_mode must be 'min', 'median' or 'rmse', got 'mean'"):
        aligned_mtl.__wrapped__(("a",), scale_mode="mean")

"""Distances between sets of features: closed forms, SciPy, brute force, and what chance does to them."""

import numpy as np
import pytest
from scipy import linalg

from mtjax.generate import frechet_distance, kernel_distance, precision_recall

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(60, 4)), RNG.normal(size=(50, 4)) @ RNG.normal(size=(4, 4)) + 0.5


def with_moments(mean, covariance, count=40):
    """A sample whose mean and (unbiased) covariance are exactly these."""
    x = RNG.normal(size=(count, len(mean)))
    x = (x - x.mean(0)) @ linalg.inv(linalg.cholesky(np.cov(x, rowvar=False)))
    return x @ linalg.cholesky(covariance) + mean


def test_frechet_distance_of_gaussians_is_the_closed_form():
    means, deviations = np.array([[0.0, 1, 2], [1.0, 1, 0]]), np.array([[1.0, 2, 3], [2.0, 2, 0.5]])
    a, b = (with_moments(m, np.diag(s**2)) for m, s in zip(means, deviations, strict=True))
    # Of independent Gaussians, W₂² is the sum over axes of squared differences of means and of deviations.
    expected = ((means[0] - means[1]) ** 2).sum() + ((deviations[0] - deviations[1]) ** 2).sum()
    np.testing.assert_allclose(frechet_distance(a, b), expected, rtol=1e-8)


def test_frechet_distance_agrees_with_the_matrix_square_root():
    one, other = np.cov(A, rowvar=False), np.cov(B, rowvar=False)
    root = np.real(linalg.sqrtm(one @ other))
    expected = ((A.mean(0) - B.mean(0)) ** 2).sum() + np.trace(one + other - 2 * root)
    np.testing.assert_allclose(frechet_distance(A, B), expected, rtol=1e-6)
    np.testing.assert_allclose(frechet_distance(B, A), expected, rtol=1e-6)


def test_frechet_distance_bears_fewer_examples_than_features_and_a_constant_one():
    few = RNG.normal(size=(3, 8))
    assert np.isfinite(frechet_distance(few, np.zeros((3, 8))))
    np.testing.assert_allclose(frechet_distance(few, few), 0, atol=1e-6)
    np.testing.assert_allclose(frechet_distance(np.zeros((3, 8)), np.ones((2, 8))), 8, atol=1e-9)
    np.testing.assert_allclose(frechet_distance(A[:, :1], A[:, :1] + 2), 4, rtol=1e-9)


def test_kernel_distance_is_the_sum_over_pairs():
    def kernel(x, y):
        return (x @ y / 4 + 1) ** 3

    a, b = A[:6], B[:5]
    among = [np.mean([kernel(x, y) for i, x in enumerate(s) for j, y in enumerate(s) if i != j]) for s in (a, b)]
    between = np.mean([kernel(x, y) for x in a for y in b])
    np.testing.assert_allclose(kernel_distance(a, b), sum(among) - 2 * between, rtol=1e-9)


def test_kernel_distance_is_unbiased_and_frechet_distance_is_not():
    sets = RNG.normal(size=(144, 2, 10, 3))
    kernels = np.array([kernel_distance(a, b) for a, b in sets])
    assert abs(kernels.mean()) < 4 * kernels.std() / 12 and (kernels < 0).any()
    frechets = np.array([frechet_distance(a, b) for a, b in sets])
    assert frechets.mean() > 0.3  # three variances, 10 examples: 3 (1/10 + 1/10) / 2 from the means alone


def test_kernel_distance_tells_distributions_apart():
    assert kernel_distance(RNG.normal(size=(200, 3)), RNG.normal(size=(200, 3)) + 1) > 0.5


def test_precision_and_recall_are_the_paper_s_loops():
    def share(members, others, k):
        def near(x):
            return any(
                np.linalg.norm(x - m) <= sorted(np.linalg.norm(m - o) for o in members)[k] + 1e-12 for m in members
            )

        return np.mean([near(x) for x in others])

    a, b = A[:20, :2], B[:15, :2]
    assert precision_recall(a, b, 3) == (share(a, b, 3), share(b, a, 3))


def test_precision_and_recall_of_one_cluster_of_two():
    two = np.concatenate([RNG.normal(size=(200, 2)), RNG.normal(size=(200, 2)) + 50])
    precision, recall = precision_recall(two, two[:200] + 1e-6)
    assert precision == 1 and abs(recall - 0.5) < 0.02
    precision, recall = precision_recall(two[:200], two)
    assert abs(precision - 0.5) < 0.02 and recall == 1
    assert precision_recall(two, two) == (1, 1)
    assert precision_recall(two, two + 1000) == (0, 0)


@pytest.mark.parametrize("measure", [frechet_distance, kernel_distance, precision_recall])
def test_too_few_to_compare_are_named_in_one_line(measure):
    with pytest.raises(ValueError, match="sets of 60 and 1 are too small") as caught:
        measure(A, B[:1])
    assert "\n" not in str(caught.value)

"""TAG: affinities of quadratic losses, in closed form, and groups that follow from known affinities."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtjax.models.grouping import affinity, propose_groups

LR = 0.1


def quadratic(centers):
    return lambda params: 0.5 * jnp.sum((params["theta"] - centers) ** 2, -1)


def test_affinity_of_quadratic_losses():
    centers, theta = jax.random.normal(jax.random.key(0), (4, 5)), jax.random.normal(jax.random.key(1), (5,))
    z = jax.jit(lambda params: affinity(quadratic(centers), params, LR))({"theta": theta})
    for i, j in itertools.product(range(4), range(4)):
        after = theta - LR * (theta - centers[i]) - centers[j]
        np.testing.assert_allclose(z[i, j], 1 - np.sum(after**2) / np.sum((theta - centers[j]) ** 2), atol=1e-5)


def test_identical_and_opposite_tasks():
    center = jnp.array([1.0, -2.0])
    params = {"theta": jnp.zeros(2)}
    alike = affinity(quadratic(jnp.stack([center] * 3)), params, LR)
    np.testing.assert_allclose(alike, np.full((3, 3), 1 - (1 - LR) ** 2), rtol=1e-5)
    apart = affinity(quadratic(jnp.stack([center, -center])), params, LR)
    np.testing.assert_allclose(apart[0, 1], 1 - (1 + LR) ** 2, rtol=1e-5)


def test_tasks_that_help_each_other_are_grouped():
    z = np.full((4, 4), -0.1)
    z[:2, :2] = z[2:, 2:] = 0.3
    assert propose_groups(z, ("a", "b", "c", "d"), 2) == (("a", "b"), ("c", "d"))
    assert propose_groups(z, ("a", "b", "c", "d"), 1) == (("a", "b", "c", "d"),)
    assert propose_groups(z, ("a", "b", "c", "d"), 4) == (("a", "b"), ("c", "d"))
    assert propose_groups(np.full((3, 3), -1.0), ("a", "b", "c"), 3) == (("a",), ("b",), ("c",))
    assert propose_groups(np.ones((1, 1)), ("a",), 3) == (("a",),)


def test_a_task_may_help_another_that_harms_it():
    z = np.array([[0, 0.5, 0.0], [-0.5, 0, 0.0], [0.0, 0.0, 0]])  # a helps b, b harms a
    groups = propose_groups(z, ("a", "b", "c"), 2)
    assert ("a", "b") in groups and any("a" in g and "b" not in g for g in groups)


def test_no_other_choice_scores_more():
    """Against plain enumeration."""
    z = np.random.default_rng(0).normal(size=(4, 4))
    names = ("a", "b", "c", "d")
    every = [g for n in range(1, 5) for g in itertools.combinations(range(4), n)]

    def score(choice):
        total = 0.0
        for j in range(4):
            served = [np.mean([z[i, j] for i in g if i != j] or [0.0]) for g in choice if j in g]
            total += max(served, default=-np.inf)
        return total

    best = max(score(choice) for n in (1, 2, 3) for choice in itertools.combinations(every, n))
    chosen = propose_groups(z, names, 3)
    np.testing.assert_allclose(score([tuple(map(names.index, group)) for group in chosen]), best)


@pytest.mark.parametrize(
    ("z", "names", "groups", "message"),
    [
        (np.zeros((2, 3)), ("a", "b"), 1, "affinity must be 2 rows of 2 finite numbers"),
        (np.full((2, 2), np.nan), ("a", "b"), 1, "affinity must be 2 rows of 2 finite numbers"),
        (np.zeros((9, 9)), tuple("abcdefghi"), 1, "names must have 1 to 8 tasks, got 9"),
        (np.zeros((2, 2)), ("a", "b"), 0, "max_groups must be at least 1, got 0"),
    ],
)
def test_what_makes_no_sense_is_named(z, names, groups, message):
    with pytest.raises(ValueError, match=message):
        propose_groups(z, names, groups)

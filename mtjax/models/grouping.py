"""Which tasks to train together: how a step for one task changes the loss of another, and groups that follow from it.

Source: Fifty et al., "Efficiently identifying task groupings for multi-task learning", NeurIPS 2021 (TAG).
"""

import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mtjax.typing import Array, ArrayLike, Float, Params, ScalarLike

MOST_TASKS = 8  # of which all groups are tried


def affinity(losses: Callable[[Params], Float[Array, "T"]], params: Params, lr: ScalarLike) -> Float[Array, "T T"]:
    """`Z[i, j] = 1 - L_j(θ - lr ∇L_i(θ)) / L_j(θ)`: how much a step for task i lowers the loss of task j.

    TAG takes the mean of this over training.

    Args:
        losses: of all tasks, from the shared parameters alone; not zero. Traceable by JAX.
        params: the shared parameters θ.
        lr: length of the step.
    """
    before, pull = jax.vjp(losses, params)
    # Task by task: convolutions whose kernels differ within a batch are slow on a CPU.
    ones = jnp.eye(len(before), dtype=before.dtype)
    after = [losses(jax.tree.map(lambda x, d: x - lr * d, params, pull(one)[0])) for one in ones]
    return 1 - jnp.stack(after) / before


def propose_groups(
    affinity: Float[ArrayLike, "..."], names: Sequence[str], max_groups: int
) -> tuple[tuple[str, ...], ...]:
    """The at most `max_groups` groups, to be trained apart, that serve all tasks best.

    In a group, a task scores the mean affinity of the group's other tasks to it; alone, it scores 0: nothing helps, and
    nothing harms. Every task is served by the group in which it scores highest, and a choice of groups scores the sum
    over tasks. A task may be in several groups, in some of them only for the others' sake. All choices are tried; of
    equal ones the first with the fewest groups, and tasks, is taken.

    Args:
        affinity: `[i, j]`, of task i to task j; the diagonal is not read.
        names: of the tasks, at most 8.
        max_groups: how many trainings there is time for.

    Returns:
        The groups, each the names of its tasks.

    Raises:
        ValueError: there are too many tasks, the affinity does not fit them, or no group is allowed.
    """
    matrix, tasks = np.asarray(affinity, float), len(names)
    if matrix.shape != (tasks, tasks) or not np.isfinite(matrix).all():
        raise ValueError(
            f"affinity must be {tasks} rows of {tasks} finite numbers, one per task, got {matrix.tolist()}"
        )
    if not 1 <= tasks <= MOST_TASKS:
        raise ValueError(f"names must have 1 to {MOST_TASKS} tasks, got {tasks}")
    if max_groups < 1:
        raise ValueError(f"max_groups must be at least 1, got {max_groups}")
    groups = [group for size in range(1, tasks + 1) for group in itertools.combinations(range(tasks), size)]
    scores = np.full((len(groups), tasks), -np.inf)
    for row, group in zip(scores, groups, strict=True):
        for j in group:
            others = [matrix[i, j] for i in group if i != j]
            row[j] = np.mean(others) if others else 0.0
    best, chosen = -np.inf, ()
    for size in range(1, min(max_groups, tasks) + 1):
        # The last group of a choice is tried for all at once.
        for first in itertools.combinations(range(len(groups)), size - 1):
            served = np.maximum(scores, scores[list(first)].max(0, initial=-np.inf)).sum(1)
            last = int(served.argmax())
            if served[last] > best + 1e-12:
                best, chosen = served[last], (*first, last)
    return tuple(tuple(names[i] for i in groups[row]) for row in sorted(chosen))

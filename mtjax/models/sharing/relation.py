"""Task relations: hard sharing, and a price on heads whose weights do not vary together as the tasks are related."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from mtjax.models.sharing.base import Sharing, at_least
from mtjax.typing import Array, Float, Params, Scalar

# Below this share of the whole, float32 does not tell an eigenvalue of Ω from zero, whose inverse would swamp the loss.
SMALLEST = 1e-3


def covariance(gram: Float[Array, "K K"]) -> Float[Array, "K K"]:
    """`Ω = (WᵀW)^½ / tr (WᵀW)^½` from `WᵀW`: the relation that makes `tr(W Ω⁻¹ Wᵀ)` least; `I / K` where W is zero.

    Source: Zhang and Yeung, "A convex formulation for learning task relationships in multi-task learning", UAI 2010.
    """
    values, vectors = jnp.linalg.eigh(gram)
    roots = jnp.sqrt(jnp.maximum(values, 0))
    total = roots.sum()
    shares = jnp.where(total > 0, roots / jnp.where(total > 0, total, 1), 1 / len(roots))
    return (vectors * shares) @ vectors.T


def inverse(relation: Float[Array, "K K"]) -> Float[Array, "K K"]:
    """`Ω⁻¹`, with eigenvalues of Ω taken as at least `SMALLEST` of its trace."""
    values, vectors = jnp.linalg.eigh(relation)
    return (vectors / jnp.maximum(values, SMALLEST * jnp.trace(relation))) @ vectors.T


def common_kernels(heads: dict[str, Any]) -> list[dict[str, Array]]:
    """By task, the weights that several heads have at the same path in the same shape; one entry per path and shape.

    Kernels only: offsets, and scales that all start at one, say nothing of how tasks are related.

    Raises:
        ValueError: no two heads have any.
    """
    found: dict[Any, dict[str, Array]] = {}
    for task, params in heads.items():
        for path, leaf in jax.tree_util.tree_leaves_with_path(params):
            if leaf.ndim > 1:
                found.setdefault((jax.tree_util.keystr(path), leaf.shape), {})[task] = leaf
    common = [leaves for leaves in found.values() if len(leaves) > 1]
    if not common:
        raise ValueError(
            f"no two of the heads of {', '.join(heads)} have a kernel of the same name and shape to relate"
        )
    return common


def gram(kernels: list[dict[str, Array]], tasks: tuple[str, ...]) -> Float[Array, "K K"]:
    """`WᵀW`, with the weights of a task as a column of W: zero where it lacks a kernel that others have."""
    total = jnp.zeros((len(tasks), len(tasks)))
    for leaves in kernels:
        columns = [leaves[task].reshape(-1) if task in leaves else None for task in tasks]
        size = next(c.size for c in columns if c is not None)
        w = jnp.stack([jnp.zeros(size) if c is None else c for c in columns])
        total += w @ w.T
    return total


class Relation(Sharing):
    """Adds `½ weight · tr(W Ω⁻¹ Wᵀ)`, with W the weights of the heads, a column per task, and Ω held constant."""

    weight: float = 1e-3
    given: tuple[tuple[float, ...], ...] = ()

    @nn.nowrap
    def matrix(self, params: Params) -> tuple[tuple[str, ...], Float[Array, "K K"]]:
        """The tasks whose heads have weights in common, and Ω: given, or what their weights say.

        Raises:
            ValueError: there are several tasks, and no two have.
        """
        if len(self.tasks) == 1:
            return self.tasks, jnp.ones((1, 1))
        kernels = common_kernels(params["heads"])
        tasks = tuple(task for task in self.tasks if any(task in leaves for leaves in kernels))
        if not self.given:
            return tasks, covariance(gram(kernels, tasks))
        places = np.array([self.tasks.index(task) for task in tasks])
        relation = jnp.asarray(self.given, jnp.float32)[places][:, places]
        return tasks, relation / jnp.trace(relation)

    @nn.nowrap
    def penalty(self, params: Params) -> Scalar:
        """The price of the heads' weights under the relation."""
        if len(self.tasks) == 1:
            return jnp.zeros(())
        tasks, relation = self.matrix(params)
        held = jax.lax.stop_gradient(inverse(relation))
        return 0.5 * self.weight * jnp.sum(held * gram(common_kernels(params["heads"]), tasks))


def relation(tasks: tuple[str, ...], /, *, weight: float = 1e-3, given: tuple[tuple[float, ...], ...] = ()) -> Relation:
    """Task-relation learning (MTRL; Zhang and Yeung, UAI 2010).

    Args:
        tasks: their names.
        weight: of the regularizer.
        given: a relation between the tasks, in their order, to use instead of a learned one: symmetric, positive
            definite, with negative entries for tasks that oppose each other. Only its proportions count. A task alone
            has no relations, and what is given is not read.
    """
    at_least("weight", weight, 0)
    if given and len(tasks) > 1:
        array = np.asarray(given, float) if len({len(row) for row in given}) == 1 else np.zeros(0)
        if array.shape != (len(tasks), len(tasks)):
            raise ValueError(f"given must have {len(tasks)} rows of {len(tasks)} numbers, one per task, got {given}")
        if not np.allclose(array, array.T) or np.linalg.eigvalsh(array)[0] <= 0:
            raise ValueError(f"given must be symmetric and positive definite, got {given}")
    return Relation(tasks, weight, given)

"""Bounds that steps are chosen from, of each example by itself."""

from collections.abc import Callable
from typing import Any

import jax

from mtjax.physics.frames import Frames
from mtjax.physics.operator import Operator
from mtjax.solvers.data_terms import DataTerm
from mtjax.typing import Array, Inexact

Values = Inexact[Array, "..."]


def bound_of_each(bound: Callable[[Any], Values], part: Any) -> Values:
    """`bound(part)`, a scalar; where leaves of `part` have an example axis, `[B, 1, 1, 1]`, one for each example.

    A bound for a whole batch would let each example's steps depend on the others. `part` is an operator or a data term;
    where there are `Frames`, whose leaves have the frames on that axis, the bound is that of all examples.
    """
    nodes = jax.tree.leaves(part, is_leaf=lambda node: isinstance(node, Frames))
    sizes = {leaf.shape[0] for leaf in nodes if not isinstance(leaf, Frames) and leaf.ndim == 4 and leaf.shape[0] > 1}
    if len(sizes) != 1 or any(isinstance(node, Frames) for node in nodes):
        return bound(part)
    axes = jax.tree.map(lambda leaf: 0 if leaf.ndim == 4 and leaf.shape[0] > 1 else None, part)
    return jax.vmap(bound, (axes,))(part)[:, None, None, None]


def curvature(data: DataTerm, operator: Operator) -> Values:
    """A Lipschitz constant of the gradient of `φ(A x; y)`, for each example; ValueError where there is none."""
    if data.curvature is None:
        raise ValueError(f"data={type(data).__name__} has no gradient; use pdhg, admm or douglas_rachford")
    return bound_of_each(lambda term: term.curvature, data) * squared_norm(operator)


def squared_norm(operator: Operator) -> Values:
    """A number, or one for each example, that is certainly not below `‖A‖²`."""
    return bound_of_each(lambda each: each.norm_bound() ** 2, operator)

"""Projection onto convex sets: an image that agrees with each sample of its observation, as far as that is known."""

from typing import Any

import jax
import jax.numpy as jnp

from mtjax.physics.operator import Operator
from mtjax.pytree import pytree
from mtjax.solvers.fixed_point import run
from mtjax.solvers.priors import Prior
from mtjax.solvers.proximal import dot, per_example, shrink
from mtjax.solvers.solution import Solution, as_images, image_like, start_image
from mtjax.typing import Array, Inexact

Values = Inexact[Array, "..."]


@pytree
class _Plan:
    y: Any
    operator: Operator
    radius: Any
    constraint: Any


def pocs(
    y: Any,
    operator: Operator,
    radius: Any = 1e-2,
    constraint: Prior | None = None,
    iterations: int | None = None,
    tolerance: float | None = None,
    max_iterations: int = 500,
    init: Any = None,
    trace: bool = False,
) -> Solution:
    """An image in all sets `|(A x − y)ᵢ| <= radius`, one for each sample, and in that of `constraint`.

    The method of convex sets (Stark and Oskoui, 1989), which for bursts (`Frames`) is multi-frame super-resolution.
    All samples are projected at once, with the step of Pierra (1984), the longest that certainly leads no farther
    from any solution, then onto the constraint. If the sets have no point in common, it comes near all of them.
    `radius` >= 0 is a number, one for each example, or one for each sample of `y`; `constraint` a prior whose proximal
    map is a projection, such as `Box`. `iterations` (default 100), `tolerance`, `max_iterations`, `init` (default 0),
    `trace` and the two kinds of gradient are as in `admm`. `residual` is the last relative change of the image.
    """
    y, plain = as_images(y)
    like = image_like(y, operator)
    radii = jax.tree.map(lambda part: per_example(radius, part), y)
    plan = _Plan(y, operator, radii, constraint)
    return run(
        _update,
        plan,
        start_image(init, like),
        plain,
        iterations=iterations,
        tolerance=tolerance,
        max_iterations=max_iterations,
        trace=trace,
        objective=_objective,
    )


def _excess(plan: _Plan, x: Values) -> Any:
    """By how much each sample of `y − A x` is larger than its radius, with its sign."""
    return jax.tree.map(lambda y, z, radius: shrink(y - z, radius), plan.y, plan.operator(x), plan.radius)


def _update(plan: _Plan, x: Values) -> tuple[Values, Values]:
    excess = _excess(plan, x)
    direction = plan.operator.adjoint(excess)
    # Every image z of the sets has ⟨direction, z − x⟩ >= ‖excess‖²: this projects onto that half-space.
    size = dot(direction, direction)
    x = x + dot(excess, excess) / jnp.where(size > 0, size, 1) * direction
    if plan.constraint is not None:
        x = plan.constraint.prox(x, jnp.ones((), x.real.dtype))
    return x, x


def _objective(plan: _Plan, x: Values) -> Values:
    """Half the squared distance of `A x` from the sets."""
    excess = _excess(plan, x)
    return dot(excess, excess)[..., 0, 0, 0] / 2

"""Iterative back-projection: what an image fails to explain of its observation is added to it."""

from typing import Any

import jax
import jax.numpy as jnp

from mtjax.physics.operator import Operator
from mtjax.pytree import pytree
from mtjax.solvers.fixed_point import run
from mtjax.solvers.proximal import dot, per_example
from mtjax.solvers.solution import Solution, as_images, image_like, start_image
from mtjax.typing import Array, Inexact

Values = Inexact[Array, "..."]


@pytree
class _Plan:
    y: Any
    operator: Operator
    back: Operator  # its adjoint projects back
    step: Any  # None: the step that leaves the smallest residual
    slow: Any  # a step with which the plain iteration converges, for implicit gradients


def iterative_back_projection(
    y: Any,
    operator: Operator,
    step: Any = None,
    iterations: int | None = None,
    tolerance: float | None = None,
    max_iterations: int = 500,
    init: Any = None,
    back_projection: Operator | None = None,
    trace: bool = False,
) -> Solution:
    """Repeats `x ← x + step · Bᴴ(y − A x)` (Irani and Peleg, 1991), for one observation or a burst (`Frames`).

    `back_projection` is `B`, an operator with the shapes of `A`, such as `A` with a sharper kernel; `A` itself unless
    given, and then this is gradient descent on `½‖A x − y‖²`. Without noise it ends where `A x = y`; with noise, stop
    early: few `iterations` are the regularizer.
    `step` is a number or one for each example; None takes, each time, the one that leaves the smallest residual.
    `iterations` (default 100), `tolerance`, `max_iterations`, `init` (default 0), `trace` and the two kinds of
    gradient are as in `admm`. `residual` is the last relative change of the image.
    """
    y, plain = as_images(y)
    like = image_like(y, operator)
    back = operator if back_projection is None else back_projection
    image_like(y, back)
    bound = (operator.norm_bound() * back.norm_bound()).astype(jnp.finfo(like.dtype).dtype)
    fixed = None if step is None else per_example(step, like)
    plan = _Plan(y, operator, back, fixed, 1 / bound if fixed is None else fixed)
    x = start_image(init, like)
    return run(
        _update,
        plan,
        (x, jax.tree.map(jnp.subtract, y, operator(x))),
        plain,
        iterations=iterations,
        tolerance=tolerance,
        max_iterations=max_iterations,
        trace=trace,
        objective=_objective,
        measured=_image_of,
        smooth=(_plain, _image_of),
    )


def _update(plan: _Plan, state: tuple[Values, Any]) -> tuple[Any, Values]:
    """State: the image, and what it does not explain."""
    x, rest = state
    direction = plan.back.adjoint(rest)
    seen = plan.operator(direction)
    step = plan.step
    if step is None:
        size = dot(seen, seen)
        step = dot(rest, seen) / jnp.where(size > 0, size, 1)
    x = x + step * direction
    return (x, jax.tree.map(lambda r, s: r - step * s, rest, seen)), x


def _plain(plan: _Plan, x: Values) -> tuple[Values, Values]:
    rest = jax.tree.map(jnp.subtract, plan.y, plan.operator(x))
    x = x + plan.slow * plan.back.adjoint(rest)
    return x, x


def _image_of(state: tuple[Values, Any]) -> Values:
    return state[0]


def _objective(plan: _Plan, x: Values) -> Values:
    rest = jax.tree.map(jnp.subtract, plan.y, plan.operator(x))
    return dot(rest, rest)[..., 0, 0, 0] / 2

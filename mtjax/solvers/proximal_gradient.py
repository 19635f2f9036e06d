"""Proximal gradients: the data term by its gradient, everything else by its proximal map; for any linear operator."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from mtjax.physics.operator import Operator
from mtjax.pytree import pytree, replace
from mtjax.solvers.bounds import curvature
from mtjax.solvers.composite import Duals, Regularizer, make_regularizer
from mtjax.solvers.data_terms import DataTerm
from mtjax.solvers.primal_dual import check_relaxation
from mtjax.solvers.priors import Prior
from mtjax.solvers.problem import Problem, first_image, minimize, pose
from mtjax.solvers.proximal import dot, per_example
from mtjax.solvers.solution import Solution
from mtjax.typing import Array, Inexact

Values = Inexact[Array, "..."]
State = tuple[Values, Duals]  # x, or Davis and Yin's z; and where the next proximal map starts


@pytree
class _Plan:
    problem: Problem
    regularizer: Regularizer
    step: Values
    relaxation: Values

    def descend(self, at: Values, start: Values) -> Values:
        """`start − step · ∇φ(A at; y)`."""
        problem = self.problem
        slope = problem.operator.adjoint(problem.data.gradient(problem.operator(at), problem.y))
        return start - self.step * slope


def ista(
    y: Any,
    operator: Operator,
    prior: Prior | Sequence[Prior],
    step: Any = None,
    iterations: int | None = None,
    tolerance: float | None = None,
    max_iterations: int = 500,
    init: Any = None,
    data: DataTerm | None = None,
    constraint: Prior | None = None,
    inner: int = 20,
    trace: bool = False,
) -> Solution:
    """`argmin_x φ(A x; y) + Σ gᵢ(Lᵢ x)` by gradient steps on `φ` and the proximal map of the rest, by turns.

    Forward-backward splitting (Daubechies, Defrise and De Mol, 2004; Combettes and Wajs, 2005); `fista` is the faster.
    `step` (a number, or one for each example) is at most twice, and by default once, `1 / (curvature · ‖A‖²)`.
    Where the proximal map has no formula (several priors, a constraint beside one, total variation), `inner` steps
    on its dual take its place, begun where the last ones ended: see `composite`.
    `prior` is one prior or several, none of them (`[]`) too; other arguments are as in `admm`. `residual` is the last
    relative change of image and dual variables. ValueError likewise, and for a data term without a gradient.
    """
    plan = _plan(pose(y, operator, prior, data, constraint), step, inner)
    state = first_image(plan.problem, init), plan.regularizer.start()
    return minimize(update, plan, state, init, iterations, tolerance, max_iterations, trace)


def fista(
    y: Any,
    operator: Operator,
    prior: Prior | Sequence[Prior],
    step: Any = None,
    iterations: int | None = None,
    tolerance: float | None = None,
    max_iterations: int = 500,
    init: Any = None,
    data: DataTerm | None = None,
    constraint: Prior | None = None,
    inner: int = 20,
    restart: bool = True,
    trace: bool = False,
) -> Solution:
    """`ista` with momentum (Beck and Teboulle, 2009).

    `restart` lets each example's momentum start anew where it points uphill (O'Donoghue and Candès, 2015).
    `step` is at most `1 / (curvature · ‖A‖²)`; other arguments are as in `ista`.
    """
    plan = _plan(pose(y, operator, prior, data, constraint), step, inner)
    image = first_image(plan.problem, init)
    state = image, image, jnp.ones((*image.shape[:-3], 1, 1, 1), plan.step.dtype), plan.regularizer.start()
    step_of = restarted if restart else accelerated
    more: Any = {"measured": _plainly, "smooth": (update, _plainly)}
    return minimize(step_of, plan, state, init, iterations, tolerance, max_iterations, trace, **more)


def davis_yin(
    y: Any,
    operator: Operator,
    prior: Prior | Sequence[Prior],
    step: Any = None,
    relaxation: Any = 1.0,
    iterations: int | None = None,
    tolerance: float | None = None,
    max_iterations: int = 500,
    init: Any = None,
    data: DataTerm | None = None,
    constraint: Prior | None = None,
    inner: int = 20,
    trace: bool = False,
) -> Solution:
    """`argmin_x φ(A x; y) + Σ gᵢ(Lᵢ x) + constraint(x)` by three operators: a gradient and two proximal maps.

    Davis and Yin (2017). The image is in the constraint after every iteration. `relaxation` in (0, 2 − step/2 ·
    curvature · ‖A‖²), 1.5 for the default step. Other arguments are as in `ista`; `residual` is the last relative
    change of the method's variable and the dual ones.
    """
    problem = pose(y, operator, prior, data, constraint)
    check_relaxation(relaxation)
    plan = replace(_plan(replace(problem, constraint=None), step, inner, relaxation), problem=problem)
    state = first_image(problem, init), plan.regularizer.start()
    return minimize(three_operators, plan, state, init, iterations, tolerance, max_iterations, trace)


def update(plan: _Plan, state: State) -> tuple[State, Values]:
    """One iteration without momentum."""
    x, duals = state
    x, duals = plan.regularizer.prox(plan.descend(x, x), plan.step, duals)
    return (x, duals), x


def accelerated(plan: _Plan, state: Any) -> tuple[Any, Values]:
    """One iteration from a point ahead of the last image; state: (x, point ahead, momentum's counter, duals)."""
    last, ahead, t, duals = state
    (x, duals), _ = update(plan, (ahead, duals))
    longer = (1 + jnp.sqrt(1 + 4 * t * t)) / 2
    return (x, x + (t - 1) / longer * (x - last), longer, duals), x


def restarted(plan: _Plan, state: Any) -> tuple[Any, Values]:
    """`accelerated`, but momentum starts anew, for each example, where it pointed uphill."""
    (x, ahead, t, duals), _ = accelerated(plan, state)
    uphill = dot(state[1] - x, x - state[0]) > 0
    return (x, jnp.where(uphill, x, ahead), jnp.where(uphill, 1, t), duals), x


def three_operators(plan: _Plan, state: State) -> tuple[State, Values]:
    """One iteration of Davis and Yin; state: (z, duals), the image being z's projection on the constraint."""
    z, duals = state
    x = plan.problem.constrain(z, plan.step)
    other, duals = plan.regularizer.prox(plan.descend(x, 2 * x - z), plan.step, duals)
    return (z + plan.relaxation * (other - x), duals), x


def _plan(problem: Problem, step: Any, inner: int, relaxation: Any = 1.0) -> _Plan:
    steepest = curvature(problem.data, problem.operator)
    step = 1 / jnp.maximum(steepest, jnp.finfo(problem.like.dtype).tiny) if step is None else step
    like = problem.like
    return _Plan(problem, make_regularizer(problem, inner), per_example(step, like), per_example(relaxation, like))


def _plainly(state: Any) -> State:
    """The state of `update` in one with momentum."""
    return state[0], state[3]

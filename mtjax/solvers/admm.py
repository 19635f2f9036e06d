"""The alternating direction method of multipliers."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from mtjax.physics.operator import Operator
from mtjax.solvers.data_terms import DataTerm
from mtjax.solvers.priors import Prior
from mtjax.solvers.problem import initial_image, minimize, pose
from mtjax.solvers.proximal import dot, per_example
from mtjax.solvers.solution import Solution
from mtjax.solvers.splitting import Parts, Plan, analyze, first_guess, make_plan, solve_x
from mtjax.typing import Array, Inexact

Values = Inexact[Array, "..."]
State = tuple[Parts, Any]  # v = L x + u for each term; and the last x where conjugate gradients start from it
_BALANCED = 100  # iterations in which rho may still change: a rho that changes for ever need not converge


def admm(
    y: Any,
    operator: Operator,
    prior: Prior | Sequence[Prior],
    rho: Any = None,
    iterations: int | None = None,
    tolerance: float | None = None,
    max_iterations: int = 500,
    init: Any = None,
    data: DataTerm | None = None,
    constraint: Prior | None = None,
    balance: bool = False,
    trace: bool = False,
) -> Solution:
    """`argmin_x φ(A x; y) + Σ gᵢ(Lᵢ x)`, the `gᵢ(Lᵢ x)` being priors and a constraint (Boyd et al., 2011).

    `data` is `φ`, `½‖A x − y‖²` unless given; `prior` one prior or several.
    The minimizer does not depend on the penalty `rho` > 0 (a number, or one for each example), but the speed does; the
    default is what the first prior recommends, mostly ten times its weight, and a constant to derivatives.
    `balance` lets each example double or halve it, in the first hundred iterations, where the primal or the dual
    residual is ten times the other, both relative (Wohlberg, 2017).
    Give `iterations` (default 100: a scan, unrolled gradients, status "iteration_limit") or `tolerance` (a loop of at
    most `max_iterations` in which each example stops by itself; implicit gradients). `init` is an image to start
    from, or an earlier solution to go on from. `residual` is the last change of ADMM's state `v = L x + u`, relative
    to its size. `trace` records the objective and the residual of every iteration.
    How `x` is updated follows from `A` and the `Lᵢ`: see `splitting.make_plan`. ValueError for arguments that
    exclude each other or do not fit.
    """
    problem = pose(y, operator, prior, data, constraint)
    if not problem.functions:
        raise ValueError("prior=[] leaves nothing to split; expected at least one prior or a constraint")
    plan = make_plan(problem, per_example(problem.penalty() if rho is None else rho, problem.like))
    state = initial_state(plan, initial_image(problem, init))
    if not balance:
        return minimize(update, plan, state, init, iterations, tolerance, max_iterations, trace)
    one = jnp.ones((*problem.like.shape[:-3], 1, 1, 1), jnp.finfo(problem.like.dtype).dtype)
    state = (state[0], jax.tree.map(jnp.zeros_like, state[0]), state[1], one, 0 * one)
    more: Any = {"measured": _split, "smooth": (update, _unbalanced)}
    return minimize(balanced_update, plan, state, init, iterations, tolerance, max_iterations, trace, **more)


def initial_state(plan: Plan, image: Values | None) -> State:
    """`v = L x` for the image to start from; without one, 0, or a smooth fill-in where pixels are missing."""
    guess, known = first_guess(plan, image)
    v = analyze(plan, guess)
    if plan.direct:
        return v, None
    start = plan.constant if plan.constant is not None and not known else guess
    return v, start


def update(plan: Plan, state: State) -> tuple[State, Values]:
    """One iteration: the next state, and the `x` that it computed on the way.

    With `v = L x + u`, both `z = prox(v)` and `u = v − z` follow from `v`, so that it is the whole state. The x-update
    needs `z − u = v − 2 u`, the next state `u`: `z` itself is never made.
    """
    v, start = state
    u = [term.function.remainder(part, 1 / term.rho) for term, part in zip(plan.terms, v, strict=True)]
    x, parts = solve_x(plan, jax.tree.map(lambda a, b: a - 2 * b, v, u), start)
    return (jax.tree.map(jnp.add, u, parts), None if start is None else x), x


def balanced_update(plan: Plan, state: Any) -> tuple[Any, Values]:
    """`update` with a penalty that adapts; state: (z, u, start, factor of rho, iterations done).

    `u` is the multiplier divided by rho, so that it changes against rho.
    """
    z, u, start, factor, count = state
    now = plan.scaled(factor)
    x, parts = solve_x(now, jax.tree.map(jnp.subtract, z, u), start)
    v = jax.tree.map(jnp.add, parts, u)
    new = [term.function.prox(part, 1 / term.rho) for term, part in zip(now.terms, v, strict=True)]
    u = jax.tree.map(jnp.subtract, v, new)
    primal = _ratio(jax.tree.map(jnp.subtract, parts, new), new)
    dual = _ratio(jax.tree.map(jnp.subtract, new, z), u)
    change = jnp.where(primal > 10 * dual, 2.0, jnp.where(dual > 10 * primal, 0.5, 1.0)).astype(factor.dtype)
    change = jnp.where(count < _BALANCED, change, 1)
    u = jax.tree.map(lambda a: a / change, u)
    return (new, u, None if start is None else x, factor * change, count + 1), x


def _ratio(change: Any, size: Any) -> Values:
    tiny = jnp.finfo(jax.tree.leaves(size)[0].dtype).tiny
    return jnp.sqrt(dot(change, change) / jnp.maximum(dot(size, size), tiny))


def _split(state: Any) -> Any:
    return state[:2]


def _unbalanced(state: Any) -> State:
    """The state of `update`, for the penalty of the plan."""
    z, u, start, factor, _ = state
    return jax.tree.map(lambda a, b: a + factor * b, z, u), start

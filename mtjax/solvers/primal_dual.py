"""Primal-dual methods: every operator is applied, and its adjoint, once an iteration; nothing is ever inverted."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from mtjax.physics.operator import Operator, total
from mtjax.pytree import pytree, static
from mtjax.solvers.bounds import curvature, squared_norm
from mtjax.solvers.data_terms import DataTerm
from mtjax.solvers.priors import Prior
from mtjax.solvers.problem import Problem, first_image, minimize, pose
from mtjax.solvers.proximal import per_example
from mtjax.solvers.solution import Solution
from mtjax.solvers.splitting import Fidelity, Term
from mtjax.typing import Array, Inexact

Values = Inexact[Array, "..."]
State = tuple[Values, list[Any]]  # x; and for each term its multiplier divided by its dual step
_BELOW = 0.99  # how much of the step that a gradient allows is taken: convergence needs less than all


@pytree
class Steps:
    """The terms, whose `rho` are the dual steps, and the primal step."""

    problem: Problem
    terms: tuple[Term, ...]
    step: Values
    relaxation: Values
    gradient: bool = static()


def pdhg(
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
    gradient: bool = False,
    trace: bool = False,
) -> Solution:
    """`argmin_x φ(A x; y) + Σ gᵢ(Lᵢ x)` and a constraint on `x`, for any operators: primal-dual hybrid gradients.

    Chambolle and Pock (2011), with `φ` and all `gᵢ` in the dual; `gradient` takes a smooth `φ` by its gradient instead
    (Condat, 2013; Vũ, 2013). The image never leaves the constraint.
    `step` is that of the image, `τ` > 0; the dual ones follow from it, each as long as is certain to converge:
    `σᵢ = (1/τ − c) / (m ‖Lᵢ‖²)` for m terms, `c` being half the Lipschitz constant of the gradient, if one is taken
    (then `τ` is reduced to what that allows). By default `σ` of the first prior is the `rho` that it recommends to
    `admm`. `relaxation`, in (0, 2), goes beyond each iterate above 1. Both are numbers, or one for each example; the
    minimizer depends on neither.
    Other arguments are as in `admm`. `residual` is the last change of image and multipliers, relative to their size.
    ValueError likewise, and where a gradient is asked of a data term that has none.
    """
    problem = pose(y, operator, prior, data, constraint)
    check_relaxation(relaxation)
    steps = _plan(problem, step, per_example(relaxation, problem.like), gradient)
    state = initial_state(problem, steps.terms, init)
    return minimize(update, steps, state, init, iterations, tolerance, max_iterations, trace)


def check_relaxation(relaxation: Any) -> None:
    """ValueError for a number that is not between 0 and 2."""
    if isinstance(relaxation, int | float) and not 0 < relaxation < 2:
        raise ValueError(f"relaxation={relaxation} does not converge; expected more than 0 and less than 2")


def dual_terms(problem: Problem, gradient: bool = False) -> list[tuple[Operator, Any]]:
    """`(L, g)` of the data term, unless a gradient is taken of it, and of the priors."""
    priors = [(prior.analysis, prior) for prior in problem.priors]
    return priors if gradient else [(problem.operator, Fidelity(problem.data, problem.y)), *priors]


def initial_state(problem: Problem, terms: Sequence[Term], init: Any) -> State:
    """The image to start from, a plain interpolation unless given, and multipliers 0."""
    image = first_image(problem, init)
    return image, [jax.tree.map(jnp.zeros_like, jax.eval_shape(term.operator, image)) for term in terms]


def update(steps: Steps, state: State) -> tuple[State, Values]:
    """One iteration: the next state, and its image before relaxation."""
    x, u = state
    pull = [term.rho * term.operator.adjoint(part) for term, part in zip(steps.terms, u, strict=True)]
    if steps.gradient:
        problem = steps.problem
        pull.append(problem.operator.adjoint(problem.data.gradient(problem.operator(x), problem.y)))
    image = steps.problem.constrain(x - steps.step * total(pull), steps.step)
    new = multipliers(steps.terms, 2 * image - x, u)
    relaxed = jax.tree.map(lambda a, b: b + steps.relaxation * (a - b), (image, new), (x, u))
    return relaxed, image


def multipliers(terms: Sequence[Term], x: Values, u: list[Any]) -> list[Any]:
    """`v − prox(v)` for `v = u + L x`: by Moreau, the dual update divided by the dual step."""
    v = [jax.tree.map(jnp.add, part, term.operator(x)) for term, part in zip(terms, u, strict=True)]
    return [term.function.remainder(part, 1 / term.rho) for term, part in zip(terms, v, strict=True)]


def _plan(problem: Problem, step: Any, relaxation: Values, gradient: bool) -> Steps:
    """Steps that are certain to converge: `1/τ − Σ σᵢ ‖Lᵢ‖²` is `c`, or a little more (Condat, 2013)."""
    like = problem.like
    pairs = dual_terms(problem, gradient)
    least = jnp.zeros((), jnp.finfo(like.dtype).dtype)
    if gradient:
        least = curvature(problem.data, problem.operator).astype(least.dtype) / (2 * _BELOW * (2 - relaxation))
    if step is None:
        like_admm = problem.penalty() * (norm(problem.functions[0].analysis) if problem.functions else 1)
        room = per_example(len(pairs) * like_admm, like)
    else:
        room = jnp.maximum(1 / per_example(step, like) - least, least / 100)
    terms = [Term(op, function, (room / (len(pairs) * norm(op))).astype(least.dtype)) for op, function in pairs]
    return Steps(problem, tuple(terms), 1 / (least + room), relaxation, gradient)


def norm(operator: Operator) -> Values:
    """`squared_norm`, without zeros to divide by."""
    return jnp.maximum(squared_norm(operator), 1e-12)

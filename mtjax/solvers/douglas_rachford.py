"""Douglas-Rachford splitting in the space of the image and all its analyses."""

from collections.abc import Sequence
from typing import Any

import jax

from mtjax.physics.operator import Identity, Operator
from mtjax.pytree import pytree
from mtjax.solvers.data_terms import DataTerm
from mtjax.solvers.primal_dual import check_relaxation
from mtjax.solvers.priors import Prior
from mtjax.solvers.problem import Problem, first_image, minimize, pose
from mtjax.solvers.proximal import per_example
from mtjax.solvers.solution import Solution
from mtjax.solvers.splitting import Parts, Plan, Term, analyze, fidelity, plan_of_terms, solve_x
from mtjax.typing import Array, Inexact

Values = Inexact[Array, "..."]
State = tuple[Parts, Any]  # s for (x, A x, L₁ x, ...); and the last x where conjugate gradients start from it


@pytree
class _Constraint:
    """The constraint of a problem, or the lack of one, as a term of the image."""

    problem: Problem

    def prox(self, v: Values, t: Values) -> Values:
        """The nearest image that satisfies it."""
        return self.problem.constrain(v, t)


@pytree
class _Graph:
    """The x-update's plan, and how far to go."""

    plan: Plan
    relaxation: Values

    @property
    def problem(self) -> Problem:
        """That of the plan."""
        return self.plan.problem


def douglas_rachford(
    y: Any,
    operator: Operator,
    prior: Prior | Sequence[Prior],
    rho: Any = None,
    relaxation: Any = 1.8,
    iterations: int | None = None,
    tolerance: float | None = None,
    max_iterations: int = 500,
    init: Any = None,
    data: DataTerm | None = None,
    constraint: Prior | None = None,
    trace: bool = False,
) -> Solution:
    """`argmin_x φ(A x; y) + Σ gᵢ(Lᵢ x)` and a constraint on `x`, by proximal maps and projections onto a graph.

    Lions and Mercier (1979) in the product space of `(x, z₀, z₁, ...)`: all functions at once by their proximal maps,
    and then the nearest point with `z₀ = A x`, `zᵢ = Lᵢ x`, which takes `(I + AᴴA + Σ LᵢᴴLᵢ)⁻¹` (Raguet, Fadili and
    Peyré, 2013; O'Connor and Vandenberghe, 2014): a division of spectra where all of it is circular, conjugate
    gradients otherwise. The image satisfies the constraint.
    `1 / rho` > 0 is the step of the proximal maps, by default what the first prior recommends, a tenth of it for the
    data term; `relaxation`, in (0, 2), goes beyond each iterate above 1. Both are numbers,
    or one for each example; the minimizer depends on neither.
    Other arguments are as in `admm`. `residual` is the last relative change of the state. ValueError likewise.
    """
    problem = pose(y, operator, prior, data, constraint)
    check_relaxation(relaxation)
    penalty = per_example(problem.penalty() if rho is None else rho, problem.like)
    priors = [Term(each.analysis, each, penalty) for each in problem.priors]
    image = Term(Identity(), _Constraint(problem), penalty)
    plan = plan_of_terms(problem, (image, fidelity(problem, penalty), *priors))
    graph = _Graph(plan, per_example(relaxation, problem.like))
    state = initial_state(plan, init)
    return minimize(update, graph, state, init, iterations, tolerance, max_iterations, trace)


def initial_state(plan: Plan, init: Any) -> State:
    """`(x, A x, L₁ x, ...)` for the image to start from: a plain interpolation unless given."""
    image = first_image(plan.problem, init)
    return analyze(plan, image), None if plan.direct else image


def update(graph: _Graph, state: State) -> tuple[State, Values]:
    """One iteration: reflect at the proximal maps, project onto the graph, go on by the difference."""
    s, start = state
    terms = graph.plan.terms
    near = [term.function.prox(part, 1 / term.rho) for term, part in zip(terms, s, strict=True)]
    x, on_graph = solve_x(graph.plan, jax.tree.map(lambda a, b: 2 * a - b, near, s), start)
    new = jax.tree.map(lambda a, b, c: a + graph.relaxation * (b - c), s, on_graph, near)
    return (new, None if start is None else x), terms[0].function.prox(x, 1 / terms[0].rho)

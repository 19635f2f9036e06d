"""ADMM without an inner solve: the quadratic of the x-update is replaced by a multiple of the identity above it."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from mtjax.physics.operator import Operator, total
from mtjax.pytree import pytree
from mtjax.solvers.data_terms import DataTerm
from mtjax.solvers.primal_dual import State, dual_terms, initial_state, multipliers, norm
from mtjax.solvers.priors import Prior
from mtjax.solvers.problem import Problem, minimize, pose
from mtjax.solvers.proximal import per_example
from mtjax.solvers.solution import Solution
from mtjax.solvers.splitting import DATA, Term
from mtjax.typing import Array, Inexact

Values = Inexact[Array, "..."]


@pytree
class _Steps:
    problem: Problem
    terms: tuple[Term, ...]
    step: Values


def linearized_admm(
    y: Any,
    operator: Operator,
    prior: Prior | Sequence[Prior],
    rho: Any = None,
    step: Any = None,
    iterations: int | None = None,
    tolerance: float | None = None,
    max_iterations: int = 500,
    init: Any = None,
    data: DataTerm | None = None,
    constraint: Prior | None = None,
    trace: bool = False,
) -> Solution:
    """`argmin_x φ(A x; y) + Σ gᵢ(Lᵢ x)` and a constraint on `x`, for any operators, without inverting anything.

    Lin, Liu and Su (2011); Parikh and Boyd (2014), section 4.4.2, for `z = (A x, L₁ x, ...)`, its z-update first.
    `rho` > 0 is the penalty of the priors, by default what the first of them recommends; that of the data term is ten
    times as large. `step` is that of the image, by default the longest that is certain to converge,
    `1 / (10 ρ ‖A‖² + ρ Σ ‖Lᵢ‖²)`, and never longer. Both are numbers, or one for each example; the minimizer depends
    on neither. With multipliers `ρᵢ uᵢ` the iteration is that of `pdhg` in another order.
    Other arguments are as in `admm`, `residual` as in `pdhg`. ValueError likewise.
    """
    problem = pose(y, operator, prior, data, constraint)
    penalty = per_example(problem.penalty() if rho is None else rho, problem.like)
    (first, fidelity), *rest = dual_terms(problem)
    terms = (Term(first, fidelity, DATA * penalty), *(Term(op, function, penalty) for op, function in rest))
    longest = 1 / total([term.rho * norm(term.operator) for term in terms]).astype(penalty.dtype)
    step = longest if step is None else jnp.minimum(per_example(step, problem.like), longest)
    state = initial_state(problem, terms, init)
    return minimize(update, _Steps(problem, terms, step), state, init, iterations, tolerance, max_iterations, trace)


def update(steps: _Steps, state: State) -> tuple[State, Values]:
    """One iteration; with `v = u + L x`, `z` is `prox(v)` and the new `u` is `v − z`."""
    x, u = state
    new = multipliers(steps.terms, x, u)
    beyond = jax.tree.map(lambda a, b: 2 * a - b, new, u)
    pull = [term.rho * term.operator.adjoint(part) for term, part in zip(steps.terms, beyond, strict=True)]
    image = steps.problem.constrain(x - steps.step * total(pull), steps.step)
    return (image, new), image

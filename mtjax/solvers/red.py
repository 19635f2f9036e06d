"""Regularization by denoising."""

from typing import Any

from mtjax.physics.operator import Operator
from mtjax.pytree import pytree
from mtjax.solvers.fixed_point import run
from mtjax.solvers.normal import data_prox
from mtjax.solvers.priors import Denoiser
from mtjax.solvers.problem import Problem, first_image, pose
from mtjax.solvers.proximal import per_example
from mtjax.solvers.solution import Solution
from mtjax.typing import Array, Inexact

Values = Inexact[Array, "..."]


@pytree
class _Plan:
    problem: Problem
    denoise: Any
    weight: Values
    sigma: Values


def red(
    y: Any,
    operator: Operator,
    denoise: Any,
    weight: Any = 0.02,
    sigma: Any = 0.02,
    iterations: int | None = None,
    tolerance: float | None = None,
    max_iterations: int = 500,
    init: Any = None,
    trace: bool = False,
) -> Solution:
    """`Aᴴ(A x − y) + weight · (x − f(x)) = 0` for a denoiser `f`, by `x ← (AᴴA + weight)⁻¹(Aᴴ y + weight · f(x))`.

    The fixed-point form of Romano, Elad and Milanfar (2017). `denoise(image, sigma) -> image` is as in `Denoiser`; it
    always denoises at `sigma`. Where it is linear and symmetric, `f(x) = W x`, the image minimizes `½‖A x − y‖² +
    weight/2 · xᵀ(x − W x)`; in general there is no function that it minimizes, and with a `denoise` that is expansive
    the iteration may not converge. `weight` > 0 and `sigma` are numbers, or one for each example.
    How the linear system is solved follows from `A`: see `data_prox`. `iterations`, `tolerance`, `max_iterations`,
    `init`, `trace` (of the residual) and gradients are as in `admm`; `residual` is the last relative change of the
    image. ValueError likewise.
    """
    f = Denoiser(denoise).denoise
    problem = pose(y, operator, None)
    plan = _Plan(problem, f, per_example(weight, problem.like), per_example(sigma, problem.like))
    options: Any = {"iterations": iterations, "tolerance": tolerance, "max_iterations": max_iterations}
    # There is no objective to record.
    return problem.deliver(run(update, plan, first_image(problem, init), False, **options, trace=trace))


def update(plan: _Plan, x: Values) -> tuple[Values, Values]:
    """One iteration: denoise, then fit the observation."""
    x = data_prox(plan.denoise(x, plan.sigma), plan.problem.y, plan.problem.operator, plan.weight)
    return x, x

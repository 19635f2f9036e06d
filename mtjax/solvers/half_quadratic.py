"""Half-quadratic splitting: penalties that grow instead of multipliers."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mtjax.physics.operator import Operator
from mtjax.pytree import pytree
from mtjax.solvers.data_terms import DataTerm
from mtjax.solvers.priors import Prior
from mtjax.solvers.problem import Problem, first_image, minimize, pose
from mtjax.solvers.proximal import per_example
from mtjax.solvers.solution import Solution
from mtjax.solvers.splitting import Plan, analyze, make_plan, solve_x
from mtjax.typing import Array, Inexact

Values = Inexact[Array, "..."]


@pytree
class _Schedule:
    plan: Plan
    growth: Values

    @property
    def problem(self) -> Problem:
        """That of the plan."""
        return self.plan.problem


def hqs(
    y: Any,
    operator: Operator,
    prior: Prior | Sequence[Prior],
    rho: Any = 1e-2,
    growth: Any = 2.0,
    iterations: int | None = None,
    tolerance: float | None = None,
    max_iterations: int = 500,
    init: Any = None,
    data: DataTerm | None = None,
    constraint: Prior | None = None,
    trace: bool = False,
) -> Solution:
    """`argmin_x φ(A x; y) + Σ gᵢ(zᵢ) + ρ/2 ‖Lᵢ x − zᵢ‖²` by turns over `z` and `x`, with `ρ` growing.

    Geman and Yang (1995). Iteration k (from 0) has the penalty `rho · growthᵏ`; both are numbers, or one for each
    example. Which problem the image solves depends on the schedule: as ρ grows it becomes that of `admm`, approached
    from a smoother one.
    With a non-convex prior (`LpNorm` of the gradient: Krishnan and Fergus, 2009) or a `Denoiser` (`dpir_schedule`) that
    is the point. With a `tolerance` (default: `iterations`, 8), `growth` has to be 1: the penalized problem itself.
    Other arguments are as in `admm`; `residual` is the last relative change of the image. ValueError likewise.
    """
    problem = pose(y, operator, prior, data, constraint)
    if not problem.functions:
        raise ValueError("prior=[] leaves nothing to split; expected at least one prior or a constraint")
    if tolerance is not None and not (isinstance(growth, int | float) and growth == 1):
        raise ValueError(f"growth={growth} with a tolerance: the iteration has no limit; expected growth=1")
    plan = make_plan(problem, per_example(rho, problem.like))
    image = first_image(problem, init)
    one = jnp.ones((*image.shape[:-3], 1, 1, 1), jnp.finfo(image.dtype).dtype)
    iterations = 8 if iterations is None and tolerance is None else iterations
    schedule = _Schedule(plan, per_example(growth, problem.like))
    return minimize(update, schedule, (image, one), init, iterations, tolerance, max_iterations, trace, measured=_image)


def update(schedule: _Schedule, state: tuple[Values, Values]) -> tuple[tuple[Values, Values], Values]:
    """One iteration; state: (x, factor of the penalty)."""
    x, factor = state
    now = schedule.plan.scaled(factor)
    z = [t.function.prox(part, 1 / t.rho) for t, part in zip(now.terms, analyze(now, x), strict=True)]
    x, _ = solve_x(now, z, x)
    return (x, factor * schedule.growth), x


def _image(state: tuple[Values, Values]) -> Values:
    return state[0]


class DenoiserSchedule(NamedTuple):
    """What `hqs` and `Denoiser` need for a schedule of noise levels."""

    weight: Any  # of the Denoiser
    rho: Any
    growth: Any


def dpir_schedule(sigma: Any, iterations: int = 8, start: Any = 49 / 255, strength: Any = 0.23) -> DenoiserSchedule:
    """The schedule of DPIR (Zhang et al., 2021): denoise at levels falling from `start` to the noise's `sigma`.

    The levels are spaced evenly in their logarithms; what was denoised at one of them is then held to with the penalty
    `strength · sigma² / level²` of the next. Use it as
    `hqs(y, A, Denoiser(f, s.weight), s.rho, s.growth, iterations)`. ValueError for fewer than 2 iterations.
    """
    if iterations < 2:
        raise ValueError(f"iterations={iterations} is no schedule; expected at least 2")
    sigma, start, strength = jax.tree.map(lambda v: 1.0 * jnp.asarray(v), (sigma, start, strength))
    growth = (start / sigma) ** (2 / (iterations - 1))
    weight = strength * sigma**2 * growth  # after denoising at one level, `hqs` solves with the next one's penalty
    return DenoiserSchedule(weight, weight / start**2, growth)

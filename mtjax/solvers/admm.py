"""The alternating direction method of multipliers."""

from collections.abc import Sequence
from typing import Any

from mtjax.physics.operator import Operator
from mtjax.solvers.fixed_point import converge, repeat
from mtjax.solvers.priors import Prior
from mtjax.solvers.proximal import distance, per_example
from mtjax.solvers.solution import Solution, as_images, finish, fixed_count, image_like, stopped_status
from mtjax.solvers.splitting import initial_state, make_plan, step, update
from mtjax.typing import Array, Inexact


def admm(
    y: Any,
    operator: Operator,
    prior: Prior | Sequence[Prior],
    rho: Any = 2e-2,
    iterations: int | None = None,
    tolerance: float | None = None,
    max_iterations: int = 500,
    init: Inexact[Array, "..."] | None = None,
) -> Solution:
    """`argmin_x ½‖A x − y‖² + Σ gᵢ(Lᵢ x)`, the `gᵢ(Lᵢ x)` being one prior or several (Boyd et al., 2011).

    The minimizer does not depend on the penalty `rho` > 0 (a number, or one for each example); the speed does.
    Give `iterations` (default 100: a scan, unrolled gradients, status "iteration_limit") or `tolerance` (a loop of at
    most `max_iterations` in which each example stops by itself; implicit gradients). `init` is an image to start
    from. `residual` is the last change of ADMM's state `v = L x + u`, relative to its size.
    How `x` is updated follows from `A` and the `Lᵢ`: see `splitting.make_plan`. ValueError for arguments that
    exclude each other or do not fit.
    """
    count = fixed_count(iterations, tolerance)
    priors = [prior] if isinstance(prior, Prior) else list(prior)
    if not priors:
        raise ValueError("prior=[] leaves nothing to split; expected at least one prior")
    y, plain = as_images(y)
    like = image_like(y, operator)
    start: Any = None if init is None else as_images(init)[0]
    if start is not None and start.shape != like.shape:
        raise ValueError(f"init has shape {start.shape}; expected the image's {like.shape}")
    rho = per_example(rho, like)
    plan = make_plan(y, operator, priors, rho, like)
    state = initial_state(plan, start, like)
    converged: Any = False
    if tolerance is None:
        state = repeat(step, plan, state, count - 1)
    else:
        state, count, converged = converge(step, tolerance, max_iterations, plan, state)
    last, image = update(plan, state)
    residual = distance(last, state)
    return finish(image, plain, stopped_status(residual, converged), count, residual)

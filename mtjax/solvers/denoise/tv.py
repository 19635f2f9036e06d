"""Total variation denoising: the model of Rudin, Osher and Fatemi (1992), solved on its dual."""

from typing import Any

import jax.numpy as jnp

from mtjax.pytree import pytree
from mtjax.solvers.fixed_point import run
from mtjax.solvers.priors import Gradient, TotalVariation
from mtjax.solvers.proximal import dot, per_example, shrink_amount
from mtjax.solvers.solution import Solution, as_images
from mtjax.typing import Array, Inexact

Values = Inexact[Array, "..."]
Dual = tuple[Values, ...]  # (down, right)
_State = tuple[Dual, Dual, Values]
_GRADIENT = Gradient("reflect")


@pytree
class _Plan:
    y: Values
    weight: Values


def denoise_tv(
    y: Any,
    weight: Any = 0.1,
    iterations: int | None = None,
    tolerance: float | None = None,
    max_iterations: int = 2000,
    trace: bool = False,
) -> Solution:
    """`argmin_x ½‖x − y‖² + weight · Σ ‖∇x‖`, each channel by itself, isotropic, no jump across the border.

    Projected gradients on the dual with momentum (Beck and Teboulle, 2009); with a `tolerance`, momentum is restarted
    where it points uphill (O'Donoghue and Candès, 2015). The minimizer is that of
    `skimage.restoration.denoise_tv_chambolle` with the same weight, in the limit of its `eps` going to 0.
    `weight` is a number or one for each example. `iterations` (default 100), `tolerance` and `max_iterations` are as
    in `admm`, and so are the two kinds of gradient; `residual` is the last change of the dual variable, relative to
    its size.
    """
    y, plain = as_images(y)
    plan = _Plan(y, per_example(weight, y))
    return run(
        _accelerated if tolerance is None else _restarted,
        plan,
        _start(y),
        plain,
        iterations=iterations,
        tolerance=tolerance,
        max_iterations=max_iterations,
        trace=trace,
        objective=_objective,
        measured=_dual_of,
        smooth=(_plain, _dual_of),
    )


def _objective(plan: _Plan, x: Values) -> Values:
    misfit = jnp.sum((x - plan.y) ** 2, (-3, -2, -1)) / 2
    return misfit + TotalVariation(plan.weight, boundary="reflect").value(x)


def _dual_of(state: Any) -> Dual:
    return state[0]


def _image(plan: _Plan, dual: Dual) -> Values:
    return plan.y - _GRADIENT.adjoint(dual)


def _descend(plan: _Plan, dual: Dual) -> Dual:
    """One projected gradient step on the dual: `‖p‖ <= weight` at each pixel, step 1/8 as `‖∇‖² <= 8`."""
    p = tuple(part + slope / 8 for part, slope in zip(dual, _GRADIENT(_image(plan, dual)), strict=True))
    kept = shrink_amount(p[0] ** 2 + p[1] ** 2, plan.weight)
    return kept * p[0], kept * p[1]


def _plain(plan: _Plan, dual: Dual) -> tuple[Dual, Values]:
    """`_descend` as an iteration: without momentum, it has the same fixed points, and gradients go through it."""
    new = _descend(plan, dual)
    return new, _image(plan, new)


def _accelerated(plan: _Plan, state: _State) -> tuple[_State, Values]:
    """The step from a point ahead of the last dual variable; state: see `_start`.

    The dual variable is got back from the point ahead, rather than the other way around: each array can then be written
    where it was, without copies.
    """
    dual, ahead, t = state
    longer = (1 + jnp.sqrt(1 + 4 * t * t)) / 2
    m = (t - 1) / longer
    ahead = tuple((1 + m) * p - m * old for p, old in zip(_descend(plan, ahead), dual, strict=True))
    new = tuple((a + m * old) / (1 + m) for a, old in zip(ahead, dual, strict=True))
    return (new, ahead, longer), _image(plan, new)


def _restarted(plan: _Plan, state: _State) -> tuple[_State, Values]:
    """`_accelerated`, but momentum starts anew, for each example, where it pointed uphill."""
    (new, ahead, t), image = _accelerated(plan, state)
    correction = tuple(a - b for a, b in zip(state[1], new, strict=True))
    uphill = dot(correction, tuple(a - b for a, b in zip(new, state[0], strict=True))) > 0
    ahead = tuple(jnp.where(uphill, p, a) for a, p in zip(ahead, new, strict=True))
    return (new, ahead, jnp.where(uphill, 1, t)), image


def _start(y: Values) -> _State:
    """(dual, point ahead, momentum's counter)."""
    zeros = jnp.zeros_like(y)
    return (zeros, zeros), (zeros, zeros), jnp.ones((*y.shape[:-3], 1, 1, 1), y.dtype)

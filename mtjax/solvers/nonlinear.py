"""Least squares for forward models that are not linear: Gauss-Newton, and gradient descent."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from mtjax.physics.nonlinear import Jacobian, NonlinearOperator
from mtjax.physics.operator import Operator
from mtjax.pytree import pytree
from mtjax.solvers.fixed_point import Update, run
from mtjax.solvers.normal import conjugate_gradient
from mtjax.solvers.problem import warm
from mtjax.solvers.proximal import dot, per_example
from mtjax.solvers.solution import Solution, as_images
from mtjax.typing import Array, Inexact

Values = Inexact[Array, "..."]
_HALVINGS = 20
_TINY = 1e-30


@pytree
class Plan:
    """The problem `½‖F(x) − y‖² + weight/2 ‖x‖²`."""

    y: Any
    operator: Operator
    weight: Values


def gauss_newton(
    y: Any,
    operator: Operator,
    weight: Any = 0.0,
    damping: Any = 1e-3,
    iterations: int | None = None,
    tolerance: float | None = None,
    max_iterations: int = 100,
    init: Any = None,
    trace: bool = False,
) -> Solution:
    """`argmin_x ½‖F(x) − y‖² + weight/2 ‖x‖²`, near `init`, by a damped Gauss-Newton method (Levenberg, 1944).

    Each step solves the linearized problem plus `damping/2 ‖step‖²` by conjugate gradients, to 1e-4, and is halved
    until the objective falls, so that this never grows; damping falls fourfold after whole steps and rises after
    shortened ones. `weight` and `damping` are numbers, or one for each example. `init` is an image (complex
    if a complex one is looked for) or an earlier solution to go on from, by default `operator.guess(y)`. Give
    `iterations` (default 20; unrolled gradients) or `tolerance` (each example stops by itself; implicit gradients); an
    example that finds no way down stays. `residual` is the last relative change of the image. ValueError for shapes
    that do not fit.
    """
    plan, start, plain = _prepare(y, operator, weight, init)
    damping = jnp.broadcast_to(per_example(damping, start), (*start.shape[:-3], 1, 1, 1))
    if tolerance is None:
        update, iterations = _newton_update, 20 if iterations is None else iterations
    else:
        update = _newton_until
    return run(
        update, plan, warm(init, (start, damping)), plain, iterations=iterations, tolerance=tolerance,
        max_iterations=max_iterations, trace=trace, objective=_objective_of_each, measured=_image,
    )  # fmt: skip


def gradient_descent(
    y: Any,
    operator: Operator,
    weight: Any = 0.0,
    iterations: int | None = None,
    tolerance: float | None = None,
    max_iterations: int = 500,
    init: Any = None,
    trace: bool = False,
) -> Solution:
    """`argmin_x ½‖F(x) − y‖² + weight/2 ‖x‖²`, near `init`, by steps along the gradient of each example.

    Step lengths are those of Barzilai and Borwein (1988), halved until the objective falls by Armijo's rule; the
    first fits the linearized problem best. Of a magnitude this is the amplitude flow (Wang, Giannakis and Eldar,
    2018). For gradients step lengths count as constants. For the rest see `gauss_newton`; `iterations` is 100 by
    default.
    """
    plan, start, plain = _prepare(y, operator, weight, init)
    gradient = _gradient(plan, start)
    seen = _linearized(operator, start)(gradient)
    curvature = dot(seen, seen) + plan.weight * dot(gradient, gradient)
    state = (start, gradient, dot(gradient, gradient) / jnp.maximum(curvature, _TINY))
    return run(
        _gradient_update if tolerance is None else _gradient_until, plan, warm(init, state), plain,
        iterations=iterations, tolerance=tolerance, max_iterations=max_iterations, trace=trace,
        objective=_objective_of_each, measured=_image,
    )  # fmt: skip


def _prepare(y: Any, operator: Operator, weight: Any, init: Any) -> tuple[Plan, Values, bool]:
    y, plain = as_images(y)
    if init is None:
        start = operator.guess(y) if isinstance(operator, NonlinearOperator) else operator.adjoint(y)
    else:
        start = as_images(init.image if isinstance(init, Solution) else init)[0]
    shapes = jax.tree.map(jnp.shape, y)
    found = operator.output_shape(start.shape)
    if found != shapes:
        raise ValueError(f"y has shape {shapes}; the operator gives {found} of an image of shape {start.shape}")
    return Plan(y, operator, per_example(weight, start)), start, plain


def _newton_update(plan: Plan, state: Any) -> tuple[Any, Values]:
    """One damped step."""
    x, damping = state
    gradient = _gradient(plan, x)
    direction = -_solve(plan, x, damping, gradient, tolerance=1e-4)
    new, share = _descend(plan, x, direction, gradient)
    damping = jnp.where(share == 1, jnp.maximum(damping / 4, 1e-8), damping * 4)
    return (new, damping), new


def _gradient_update(plan: Plan, state: Any) -> tuple[Any, Values]:
    """One step along the gradient, and the length of the next."""
    x, gradient, step = state
    new, share = _descend(plan, x, -step * gradient, gradient)
    slope = _gradient(plan, new)
    moved, turned = new - x, slope - gradient
    curvature = dot(moved, turned)
    longer = dot(moved, moved) / jnp.where(curvature > 0, curvature, 1)
    step = jnp.where(curvature > 0, longer, step * jnp.where(share == 1, 2, jnp.maximum(share, 2.0**-_HALVINGS)))
    return (new, slope, lax.stop_gradient(step)), new


def _implicit(update: Update) -> Update:
    """`update`, whose derivative is that of a whole Gauss-Newton step: right at fixed points, however they are reached.

    There the gradient is 0, so that of the step `−M⁻¹ gradient` only `−M⁻¹ d(gradient)` is left.
    """
    held = jax.custom_jvp(update)

    @held.defjvp
    def derivative(primals: Any, tangents: Any) -> Any:
        (plan, (x, *_)), (_, (moved, *_)) = primals, tangents
        _, turned = jax.jvp(_gradient, (plan, x), (tangents[0], moved))
        moved = moved - _solve(plan, x, 1e-6, turned, tolerance=None)
        (new, *rest), image = update(*primals)
        return ((new, *rest), image), ((moved, *map(jnp.zeros_like, rest)), moved)

    return held


_newton_until, _gradient_until = _implicit(_newton_update), _implicit(_gradient_update)


def _solve(plan: Plan, x: Values, damping: Any, gradient: Values, tolerance: float | None) -> Values:
    """`(JᴴJ + weight + damping)⁻¹ gradient`."""
    jacobian = _linearized(plan.operator, x)

    def normal(v: Values) -> Values:
        return _pull(jacobian, jacobian(v), x) + (plan.weight + damping) * v

    return conjugate_gradient(normal, gradient, tolerance=tolerance, max_iterations=100)[0]


def _descend(plan: Plan, x: Values, direction: Values, gradient: Values) -> tuple[Values, Values]:
    """`x + share · direction` for the largest share 1, ½, ¼, ... with enough descent (Armijo, 1966), or none at all.

    Shares count as constants for gradients. Where the objective is not finite the result is NaN, to be noticed.
    """
    fixed, here, along, slope = lax.stop_gradient((plan, x, direction, gradient))
    now, slope = _objective(fixed, here), dot(slope, along)

    def good(share: Values) -> Any:
        return (_objective(fixed, here + share * along) <= now + 1e-4 * share * slope) | ~jnp.isfinite(now)

    def shorten(carry: Any) -> Any:
        share, _, count = carry
        share = jnp.where(carry[1], share, share / 2)
        return share, good(share), count + 1

    whole = jnp.ones_like(now)
    share, done, _ = lax.while_loop(lambda c: jnp.any(~c[1]) & (c[2] < _HALVINGS), shorten, (whole, good(whole), 0))
    new = jnp.where(done, x + share * direction, x)
    return jnp.where(jnp.isfinite(now), new, jnp.nan), jnp.where(done, share, 0)


def _linearized(operator: Operator, x: Values) -> Operator:
    return operator.linearize(x) if isinstance(operator, NonlinearOperator) else Jacobian(operator, x)


def _pull(jacobian: Operator, r: Any, x: Values) -> Values:
    """`Jᴴ r`; of a real image its real part."""
    back = jacobian.adjoint(r)
    return back if jnp.iscomplexobj(x) else back.real


def _misfit(plan: Plan, x: Values) -> Any:
    return jax.tree.map(jnp.subtract, plan.operator(x), plan.y)


def _gradient(plan: Plan, x: Values) -> Values:
    return _pull(_linearized(plan.operator, x), _misfit(plan, x), x) + plan.weight * x


def _objective(plan: Plan, x: Values) -> Values:
    misfit = _misfit(plan, x)
    return (dot(misfit, misfit) + plan.weight * dot(x, x)) / 2


def _objective_of_each(plan: Plan, x: Values) -> Values:
    return _objective(plan, x)[..., 0, 0, 0]


def _image(state: Any) -> Values:
    return state[0]

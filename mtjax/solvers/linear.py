"""Least squares: with a quadratic penalty, of least norm, and by iterations that are stopped early."""

from typing import Any

import jax
import jax.numpy as jnp

from mtjax.physics.operator import Identity, Operator, Pixels, columns, fourier, inverse_fourier, squared_magnitude
from mtjax.pytree import pytree
from mtjax.solvers import normal
from mtjax.solvers.data_terms import L2
from mtjax.solvers.fixed_point import run
from mtjax.solvers.priors import Prior
from mtjax.solvers.proximal import dot, per_example
from mtjax.solvers.solution import Solution, Status, as_images, finish, image_like, start_image, stopped_status
from mtjax.typing import Array, Inexact

Values = Inexact[Array, "..."]


def tikhonov(y: Any, operator: Operator, weight: Any = 1e-2, analysis: Operator | None = None) -> Solution:
    """`argmin_x ½‖A x − y‖² + weight/2 ‖L x‖²`, for any linear `A` and `L` (Tikhonov, 1963).

    `L` is `analysis` (default: the identity); `weight` > 0 is a number or one for each example. Where `AᴴA` and `LᴴL`
    are circular, and for masks and blur-then-decimate with `L` the identity, this is a closed form; anything else is
    the same minimizer by conjugate gradients, with implicit gradients, and `status` says whether they got there.
    `residual` is that of the normal equations, relative.
    """
    y, plain = as_images(y)
    like = image_like(y, operator)
    weight = per_example(weight, like)
    analysis = Identity() if analysis is None else analysis
    gram, penalty = (part.gram(like.shape, like.dtype) for part in (operator, analysis))
    if gram is not None and penalty is not None:
        spectrum = adjoint_spectrum(y, operator, like) * _inverse(gram + weight * penalty)
        return _exact(inverse_fourier(spectrum, like), plain)
    if isinstance(analysis, Identity) and _pixelwise_or_circular_range(operator, like):
        return _exact(normal.data_prox(jnp.zeros(like.shape, like.dtype), y, operator, weight), plain)
    return _iterative(y, plain, operator, weight, analysis, like)


def adjoint_spectrum(y: Any, operator: Operator, like: jax.ShapeDtypeStruct) -> Values:
    """Spectrum of `Aᴴ y`."""
    transfer = operator.transfer(like.shape, like.dtype)
    return fourier(operator.adjoint(y)) if transfer is None else transfer.conj() * fourier(y)


def spectral_sum(values: Values, like: Any) -> Values:
    """Sum over all frequencies and channels of values on the spectrum of `like`, `[*b, 1, 1, 1]`.

    `like` is an image or its description. Of real images half the frequencies are stored; the others are their mirror
    images.
    """
    height, width, channels = like.shape[-3:]
    count = columns(width, like.dtype)
    values = jnp.broadcast_to(values, (*values.shape[:-3], height, count, channels))
    column = jnp.arange(count)
    times = jnp.ones_like(column)
    if not jnp.issubdtype(like.dtype, jnp.complexfloating):
        times = jnp.where((column > 0) & (2 * column != width), 2, 1) * (2 * column <= width)  # 0: see `split_image`
    return jnp.sum(values * times[:, None].astype(values.dtype), (-3, -2, -1), keepdims=True)


def _inverse(values: Values, floor: Any = 0) -> Values:
    """1 / values where they are above `floor`, else 0."""
    kept = values > floor
    return jnp.where(kept, 1 / jnp.where(kept, values, 1), 0)


def _exact(x: Pixels, plain: bool) -> Solution:
    return finish(x, plain, Status.CONVERGED, 1, jnp.zeros((), jnp.finfo(x.dtype).dtype))


def _pixelwise_or_circular_range(operator: Operator, like: jax.ShapeDtypeStruct) -> bool:
    if operator.diagonal(like.shape, like.dtype) is not None:
        return True
    return operator.range_gram(operator.output_shape(like.shape), like.dtype) is not None


def _iterative(y: Any, plain: bool, operator: Operator, weight: Any, analysis: Operator, like: Any) -> Solution:
    near, penalty = (part.approximate_gram(like.shape, like.dtype) for part in (operator, analysis))
    inverse = None if near is None or penalty is None else _inverse(near + weight * penalty)
    goal = float(jnp.finfo(like.dtype).eps) ** 0.75
    x, iterations, residual = normal.conjugate_gradient(
        lambda x: operator.normal(x) + weight * analysis.normal(x),
        operator.adjoint(y),
        precondition=lambda r: r if inverse is None else inverse_fourier(inverse * fourier(r), r),
        tolerance=goal,
        max_iterations=500,
    )
    return finish(x, plain, stopped_status(residual, residual <= 2 * goal), iterations, residual)


def pseudo_inverse(y: Any, operator: Operator, cutoff: float | None = None) -> Solution:
    """`A⁺ y`: of all images with the least `‖A x − y‖`, the one of least norm (Penrose, 1956).

    Where `A` is pixelwise or has circular `AᴴA` or `AAᴴ`, in closed form; singular values below `cutoff` times the
    largest count as 0 (default: the square root of the machine's precision). Otherwise by conjugate gradients from 0,
    to which `cutoff` does not apply. With a noisy `y` and a blur the result is mostly amplified noise: see `tikhonov`.
    """
    y, plain = as_images(y)
    like = image_like(y, operator)
    shape, dtype = like.shape, like.dtype
    floor = float(jnp.finfo(dtype).eps) if cutoff is None else cutoff**2
    diagonal = operator.diagonal(shape, dtype)
    if diagonal is not None:
        return _exact(
            jnp.broadcast_to(_truncated(squared_magnitude(diagonal), floor) * operator.adjoint(y), shape), plain
        )
    gram = operator.gram(shape, dtype)
    if gram is not None:
        return _exact(inverse_fourier(_truncated(gram, floor) * adjoint_spectrum(y, operator, like), like), plain)
    range_gram = operator.range_gram(operator.output_shape(shape), dtype)
    if range_gram is not None:
        inverse = _truncated(range_gram, floor)
        return _exact(operator.adjoint(inverse_fourier(inverse * fourier(y), y)), plain)
    return conjugate_gradient(y[..., 0] if plain else y, operator, tolerance=float(jnp.finfo(dtype).eps) ** 0.75)


def _truncated(squares: Values, floor: float) -> Values:
    return _inverse(squares, floor * squares.max((-3, -2, -1), keepdims=True))


@pytree
class _Plan:
    operator: Operator
    y: Any
    step: Any = None
    constraint: Any = None


def conjugate_gradient(
    y: Any,
    operator: Operator,
    iterations: int | None = None,
    tolerance: float | None = None,
    max_iterations: int = 500,
    init: Any = None,
    trace: bool = False,
) -> Solution:
    """`argmin_x ‖A x − y‖²` by conjugate gradients on `AᴴA x = Aᴴ y` (CGLS: Hestenes and Stiefel, 1952).

    From 0 it goes towards the solution of least norm; few `iterations` regularize, as noise comes in last. They are
    unrolled; with a `tolerance` each example stops by itself at `‖Aᴴ(y − A x)‖ <= tolerance ‖Aᴴ y‖`, gradients are
    implicit, and there is no `trace`. `residual` is the last relative change of `x` with `iterations`, that of the
    normal equations with a `tolerance`. `init` is an image to start from.
    """
    y, plain = as_images(y)
    like = image_like(y, operator)
    start = start_image(init, like)
    if tolerance is None:
        r = y if init is None else jax.tree.map(jnp.subtract, y, operator(start))
        s = operator.adjoint(r)
        state = (start, r, s, dot(s, s))
        plan = _Plan(operator, y)
        return run(
            _conjugate, plan, state, plain, iterations=iterations, trace=trace, objective=_misfit, measured=_first
        )
    if trace or iterations is not None:
        raise ValueError(
            f"iterations={iterations}, trace={trace} with tolerance={tolerance}; expected iterations alone"
        )
    x, count, residual = normal.conjugate_gradient(
        operator.normal, operator.adjoint(y), start, tolerance=tolerance, max_iterations=max_iterations
    )
    return finish(x, plain, stopped_status(residual, residual <= 2 * tolerance), count, residual, state=x)


def _conjugate(plan: _Plan, state: Any) -> tuple[Any, Values]:
    """State: the image, `y − A x`, the direction, and the squared norm of `Aᴴ(y − A x)`."""
    x, r, p, size = state
    q = plan.operator(p)
    step = size * _inverse(dot(q, q))
    x = x + step * p
    r = jax.tree.map(lambda a, b: a - step * b, r, q)
    s = plan.operator.adjoint(r)
    new = dot(s, s)
    return (x, r, s + new * _inverse(size) * p, new), x


def _first(state: Any) -> Values:
    return state[0]


def _misfit(plan: _Plan, x: Values) -> Values:
    return L2().value(plan.operator(x), plan.y)


def landweber(
    y: Any,
    operator: Operator,
    step: Any = None,
    constraint: Prior | None = None,
    iterations: int | None = None,
    tolerance: float | None = None,
    max_iterations: int = 1000,
    init: Any = None,
    trace: bool = False,
) -> Solution:
    """`x ← P(x + step Aᴴ(y − A x))`, towards `argmin_x ‖A x − y‖²` under the constraint (Landweber, 1951).

    `step` (default `1/‖A‖²`, from the operator's bound) is a number or one for each example, below `2/‖A‖²`;
    `constraint` is a prior whose proximal map is the projection `P`, such as `NonNegative()`. Few iterations
    regularize. `iterations` (default 100), `tolerance`, `init` and `trace` are as in `admm`.
    """
    y, plain = as_images(y)
    like = image_like(y, operator)
    step = per_example(1 / operator.norm_bound() ** 2 if step is None else step, like)
    plan = _Plan(operator, y, step, constraint)
    options: Any = {"iterations": iterations, "tolerance": tolerance, "max_iterations": max_iterations}
    return run(_descend, plan, start_image(init, like), plain, **options, trace=trace, objective=_misfit)


def _descend(plan: _Plan, x: Values) -> tuple[Values, Values]:
    misfit = jax.tree.map(jnp.subtract, plan.y, plan.operator(x))
    x = x + plan.step * plan.operator.adjoint(misfit)
    x = x if plan.constraint is None else plan.constraint.prox(x, plan.step)
    return x, x

"""Choosing the weight of a regularizer from the observation alone: GCV, SURE, and the discrepancy principle.

All scores and weights are per example, and everything here can be compiled:

    weight = best_weight(lambda w: gcv(y, A, lambda y, A: tikhonov(y, A, w), key))
    weight = best_weight(lambda w: sure(y, A, sigma, lambda y, A: tikhonov(y, A, w), key))
    weight = discrepancy(y, A, sigma)
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from mtjax.physics.operator import Identity, Operator, squared_magnitude
from mtjax.solvers.linear import spectral_sum, tikhonov
from mtjax.solvers.proximal import dot, per_example
from mtjax.solvers.solution import Solution, as_images, image_like
from mtjax.typing import Array, Float, PRNGKeyArray, Shaped

PerExample = Float[Array, "..."]
_GOLDEN = (5**0.5 - 1) / 2


def degrees_of_freedom(y: Any, operator: Operator, weight: Any, analysis: Operator | None = None) -> PerExample:
    """Trace of the matrix that takes `y` to `A tikhonov(y, A, weight, analysis)`: `[*b]`.

    Its eigenvalues are `a / (a + weight · l)` with those of `AᴴA` and `LᴴL`. ValueError where these are not known: see
    the closed forms of `tikhonov`.
    """
    y, _ = as_images(y)
    like = image_like(y, operator)
    weight = per_example(weight, like)
    analysis = Identity() if analysis is None else analysis
    shape, dtype = like.shape, like.dtype
    gram, penalty = operator.gram(shape, dtype), analysis.gram(shape, dtype)
    if gram is not None and penalty is not None:
        return spectral_sum(_share(gram, weight * penalty), like)[..., 0, 0, 0]
    if isinstance(analysis, Identity):
        diagonal = operator.diagonal(shape, dtype)
        if diagonal is not None:
            share = _share(squared_magnitude(diagonal), weight)
            return jnp.sum(jnp.broadcast_to(share, (*share.shape[:-3], *shape[-3:])), (-3, -2, -1))
        range_gram = operator.range_gram(operator.output_shape(shape), dtype)
        if range_gram is not None:
            return spectral_sum(_share(range_gram, weight), y)[..., 0, 0, 0]
    name = f"{type(operator).__name__}, analysis={type(analysis).__name__}"
    raise ValueError(f"operator={name}: no closed form; expected operators with spectra, or use sure with a key")


def _share(part: Any, rest: Any) -> Any:
    whole = part + rest
    return jnp.where(whole > 0, part / jnp.where(whole > 0, whole, 1), 0)


def _misfit(y: Any, fitted: Any) -> PerExample:
    difference = jax.tree.map(jnp.subtract, fitted, y)
    return dot(difference, difference)[..., 0, 0, 0]


def _count(y: Any) -> int:
    """Numbers in one example of `y` `[*b, h, w, c]`."""
    return sum(math.prod(leaf.shape[-3:]) for leaf in jax.tree.leaves(y))


def gcv(
    y: Any,
    operator: Operator,
    solve: Callable[[Any, Operator], Solution],
    key: Shaped[PRNGKeyArray, ""] | None = None,
    divergence: PerExample | None = None,
) -> PerExample:
    """Generalized cross-validation of `x = solve(y, A).image`: `[*b]`, to be minimized over the weights in `solve`.

    `n ‖A x − y‖² / (n − div)²`, for white noise of unknown strength (Golub, Heath and Wahba, 1979); `div`, the
    divergence of `A x` with respect to `y`, is given or estimated with `key`, as in `sure` (Girard, 1989).
    """
    y, _ = as_images(y)
    fitted, trace = _fit(y, operator, solve, key, divergence)
    return _count(y) * _misfit(y, fitted) / (_count(y) - trace) ** 2


def sure(
    y: Any,
    operator: Operator,
    sigma: Any,
    solve: Callable[[Any, Operator], Solution],
    key: Shaped[PRNGKeyArray, ""] | None = None,
    divergence: PerExample | None = None,
) -> PerExample:
    """Unbiased estimate of the mean squared error of `A x` for `x = solve(y, A).image`: `[*b]` (Stein, 1981).

    `(‖A x − y‖² + 2 σ² div) / n − σ²`, for white Gaussian noise of standard deviation `sigma` (a number or one for
    each example). With `A` the identity this is the error of the image itself. `div`, the divergence of `A x` with
    respect to `y`, is `divergence` `[*b]` where that is known (`degrees_of_freedom` for `tikhonov`); otherwise it is
    estimated from one random direction drawn with `key`, exactly along it by `jax.jvp` (Ramani, Blu and Unser, 2008,
    who take a difference). `solve` must then be differentiable forwards: with `iterations`, not a `tolerance`.
    """
    y, _ = as_images(y)
    variance = jnp.asarray(sigma, jax.tree.leaves(y)[0].real.dtype) ** 2
    fitted, trace = _fit(y, operator, solve, key, divergence)
    return (_misfit(y, fitted) + 2 * variance * trace) / _count(y) - variance


def _fit(y: Any, operator: Operator, solve: Any, key: Any, divergence: Any) -> tuple[Any, Any]:
    """`A x` for `x = solve(y, A).image`, and the divergence of that with respect to `y`."""
    if (key is None) == (divergence is None):
        raise ValueError(f"key={key}, divergence={divergence}; expected one of the two")

    def fit(y: Any) -> Any:
        return operator(solve(y, operator).image)

    if key is None:
        return fit(y), divergence
    leaves, tree = jax.tree.flatten(y)
    keys = jax.random.split(key, len(leaves))
    signs = [jax.random.rademacher(k, leaf.shape, leaf.dtype) for k, leaf in zip(keys, leaves, strict=True)]
    probe = jax.tree.unflatten(tree, signs)
    fitted, moved = jax.jvp(fit, (y,), (probe,))
    return fitted, dot(probe, moved)[..., 0, 0, 0]


def best_weight(
    score: Callable[[PerExample], PerExample], low: float = 1e-6, high: float = 1e2, points: int = 17, steps: int = 16
) -> PerExample:
    """The weight in [low, high] at which `score(weight)` `[*b]` is least, for each example by itself.

    The best of `points` in equal ratios, then `steps` of golden section between its neighbors (Kiefer, 1953). Scores
    that are not finite never win. ValueError if the range is empty.
    """
    start, stop = _log_range(low, high)
    if points < 3:
        raise ValueError(f"points={points} leaves no room between ends; expected at least 3")
    grid = jnp.linspace(start, stop, points)

    def at(place: Any) -> PerExample:
        value = score(jnp.exp(place))
        return jnp.where(jnp.isfinite(value), value, jnp.inf)

    best = grid[jnp.argmin(lax.map(at, grid), 0)]
    spacing = grid[1] - grid[0]
    a, b = jnp.maximum(best - spacing, start), jnp.minimum(best + spacing, stop)
    c, d = b - _GOLDEN * (b - a), a + _GOLDEN * (b - a)

    def narrow(_: Any, state: Any) -> Any:
        a, b, c, d, at_c, at_d = state
        left = at_c < at_d
        a, b = jnp.where(left, a, c), jnp.where(left, d, b)
        new = jnp.where(left, b - _GOLDEN * (b - a), a + _GOLDEN * (b - a))
        value = at(new)
        c, d = jnp.where(left, new, d), jnp.where(left, c, new)
        return a, b, c, d, jnp.where(left, value, at_d), jnp.where(left, at_c, value)

    a, b, *_ = lax.fori_loop(0, steps, narrow, (a, b, c, d, at(c), at(d)))
    return jnp.exp((a + b) / 2)


def discrepancy(
    y: Any,
    operator: Operator,
    sigma: Any,
    solve: Callable[[Any, Operator, Any], Solution] = tikhonov,
    low: float = 1e-6,
    high: float = 1e2,
    steps: int = 16,
) -> PerExample:
    """The weight at which `‖A x − y‖² = n σ²` for `x = solve(y, A, weight).image`: `[*b]` (Morozov, 1966).

    `sigma` is the noise's standard deviation, a number or one for each example. The misfit must grow with the weight;
    its root is found by regula falsi, safeguarded as in the "Illinois" method (Dowell and Jarratt, 1971), on
    logarithmic scales, in `steps` solves. Where there is none in [low, high], the nearer end. ValueError if the range
    is empty.
    """
    start, stop = _log_range(low, high)
    y, _ = as_images(y)
    dtype = jax.tree.leaves(y)[0].real.dtype
    goal = _count(y) * jnp.asarray(sigma, dtype) ** 2

    def excess(place: PerExample) -> PerExample:
        found = _misfit(y, operator(solve(y, operator, jnp.exp(place)).image))
        return jnp.log(jnp.maximum(found, jnp.finfo(dtype).tiny)) - jnp.log(goal)

    at_start, at_stop = excess(jnp.asarray(start, dtype)), excess(jnp.asarray(stop, dtype))

    def narrow(_: Any, state: Any) -> Any:
        a, b, at_a, at_b, side = state
        gap = at_b - at_a
        new = jnp.where(gap > 0, (a * at_b - b * at_a) / jnp.where(gap > 0, gap, 1), (a + b) / 2)
        value = excess(new)
        above = value > 0
        # An end that stays where it is for a second time counts half, so that the other one moves too.
        at_a = jnp.where(above, jnp.where(side > 0, at_a / 2, at_a), value)
        at_b = jnp.where(above, value, jnp.where(side < 0, at_b / 2, at_b))
        return jnp.where(above, a, new), jnp.where(above, new, b), at_a, at_b, jnp.where(above, 1, -1)

    ends = [jnp.full(at_start.shape, end, dtype) for end in (start, stop)]
    a, b, at_a, at_b, _ = lax.fori_loop(0, steps, narrow, (*ends, at_start, at_stop, jnp.zeros(at_start.shape, int)))
    root = jnp.where(jnp.abs(at_a) < jnp.abs(at_b), a, b)
    root = jnp.where(at_start > 0, start, jnp.where(at_stop < 0, stop, root))
    return jnp.exp(root)


def _log_range(low: float, high: float) -> tuple[Any, Any]:
    if not 0 < low < high:
        raise ValueError(f"low={low}, high={high} is not a range; expected 0 < low < high")
    return jnp.log(low), jnp.log(high)

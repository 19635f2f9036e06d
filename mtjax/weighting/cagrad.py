"""The direction near the mean gradient that serves the worst-served task best."""

import jax
import jax.numpy as jnp

from mtjax.typing import Array, Bool, Float
from mtjax.weighting.base import Weighting
from mtjax.weighting.common import need_nonnegative
from mtjax.weighting.gram import from_gram, normalized
from mtjax.weighting.quadratic import nonnegative_quadratic, restricted_solve

ROUNDS = 100


def cagrad(names: tuple[str, ...], /, *, c: float = 0.4) -> Weighting:
    """Conflict-averse gradient: `max_d minᵢ gᵢ·d` over `‖d − g₀‖ ≤ c ‖g₀‖`, with `g₀` the mean gradient.

    Then `d = g₀ + c ‖g₀‖ g_w / ‖g_w‖` with `g_w` a nonnegative combination of the gradients. For `c = 0` it is the mean
    gradient, for large `c` it has MGDA's direction. A single task gets `(1 + c) g`. Where the ball contains a solution
    of which `g_w` is 0, because no direction improves all tasks, the shortest change of `g₀` that harms none is taken
    and `converged` is False.

    Args:
        names: the tasks, in order.
        c: radius of the ball around the mean gradient, in units of its length; at least 0.

    Raises:
        ValueError: `c` is negative or not finite.

    Source: Liu, Liu, Jin, Stone and Liu, "Conflict-averse gradient descent for multi-task learning", NeurIPS 2021,
    equations 3 and 4.
    """
    del names
    need_nonnegative(c=c)
    return from_gram(lambda gram, present: conflict_averse(gram, present, c))


@jax.jit
def conflict_averse(
    gram: Float[Array, "T T"], present: Bool[Array, "T"], c: float | Float[Array, ""]
) -> tuple[Float[Array, "T"], Bool[Array, ""]]:
    """CAGrad's weights on the gradients, and whether they are a solution.

    For a level `f`, the point nearest to `g₀` with `gᵢ·d ≥ f` for all i is `g₀ + Σ vᵢ gᵢ`, where `v ≥ 0` minimizes
    `½ vᵀ G v − (f − G b)ᵀ v`. Its distance from `g₀` grows with `f`, convexly; CAGrad is the level at which it is the
    radius. While the support of `v` stays, `v` is affine in `f`, so that the squared distance is a parabola whose root
    is known: Newton's method on these pieces, kept between bounds.
    """
    eps = jnp.finfo(gram.dtype).eps
    gram, _ = normalized(gram, present)
    mean = present / jnp.maximum(present.sum(), 1).astype(gram.dtype)
    inner = gram @ mean
    radius = c * jnp.sqrt(jnp.maximum(mean @ inner, 0))
    length = jnp.sqrt(jnp.diagonal(gram))

    def round_(carry):
        level, low, high, best, off, count = carry
        v, solved = nonnegative_quadratic(gram, level - inner, present)
        distance = jnp.sqrt(jnp.maximum(v @ gram @ v, 0))
        # Of a level that no direction reaches, rounding may leave a "solution" whose large terms cancel.
        solved &= distance >= jnp.sqrt(eps) * (v @ length)
        far = ~solved | (distance > radius)
        low, high = jnp.where(far, low, level), jnp.where(far, level, high)
        slope = restricted_solve(gram, jnp.ones_like(v), v > 0)
        slope = jnp.where(v > 0, slope, 0).sum()
        missing = radius**2 - distance**2
        root = level + missing / (v.sum() + jnp.sqrt(jnp.maximum(v.sum() ** 2 + slope * missing, 0)))
        usable = solved & (root > low) & (root < high)
        gap = jnp.where(solved, jnp.abs(distance - radius), jnp.inf)
        best = jnp.where(gap < off, v, best)
        return jnp.where(usable, root, (low + high) / 2), low, high, best, jnp.minimum(gap, off), count + 1

    def unfinished(carry):
        _, low, high, _, off, count = carry
        apart = high - low > 2 * eps * (jnp.abs(low) + jnp.abs(high))
        return (off > 4 * eps * radius) & apart & (count < ROUNDS)

    lowest = jnp.where(present, inner, jnp.inf).min()
    highest = jnp.where(present, inner + radius * length, jnp.inf).min()
    start = highest, lowest, highest, jnp.zeros_like(mean), radius, 0
    *_, v, off, _ = jax.lax.while_loop(unfinished, round_, start)
    converged = off <= jnp.sqrt(eps) * radius
    distance = jnp.sqrt(jnp.maximum(v @ gram @ v, 0))
    exact = converged & (distance > 0)
    return mean + v * jnp.where(exact, radius / jnp.where(exact, distance, 1), 1), converged

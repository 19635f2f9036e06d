"""The small convex quadratic problems inside the methods, solved exactly: active sets, no step size, no tolerance."""

import jax
import jax.numpy as jnp

from mtjax.typing import Array, Bool, Float


def restricted_solve(
    matrix: Float[Array, "T T"], right: Float[Array, "T"], inside: Bool[Array, "T"]
) -> Float[Array, "T"]:
    """The solution of the rows and columns `inside`, 0 elsewhere; not finite where these are singular."""
    block = jnp.where(inside[:, None] & inside[None, :], matrix, jnp.eye(len(right), dtype=matrix.dtype))
    return jnp.linalg.solve(block, jnp.where(inside, right, 0))


@jax.jit
def nonnegative_quadratic(
    matrix: Float[Array, "T T"], linear: Float[Array, "T"], allowed: Bool[Array, "T"]
) -> tuple[Float[Array, "T"], Bool[Array, ""]]:
    """`argmin ½ xᵀ H x − bᵀ x` over `x ≥ 0`, with `x = 0` where it is not allowed to be anything else.

    One variable enters or leaves the support at a time and the problem on the support is solved afresh, so the result
    is exact to rounding after about T rounds, for singular `H` too: variables that depend on those in the support
    never enter it.

    Args:
        matrix: `H`, positive semidefinite.
        linear: `b`.
        allowed: which variables may be positive.

    Returns:
        `x`, and whether it meets the optimality conditions; it does not where the problem is unbounded.

    Source: Lawson and Hanson, "Solving Least Squares Problems", 1974, algorithm NNLS, for normal equations.
    """
    eps = jnp.finfo(matrix.dtype).eps

    def descent(x):
        """How fast the objective falls in each variable, and how large the terms are of which that is the sum."""
        return linear - matrix @ x, jnp.abs(linear) + jnp.abs(matrix) @ jnp.abs(x)

    def round_(carry):
        x, support, count, _ = carry
        trial = restricted_solve(matrix, linear, support)
        finite = jnp.isfinite(trial).all()
        leaving = support & (trial <= 0)
        inside = finite & ~leaving.any()
        # Toward the trial point until the first variable of the support reaches zero, or all the way.
        room = jnp.where(leaving & (x > 0), x / jnp.where(leaving & (x > 0), x - trial, 1), 0)
        room = jnp.where(leaving, room, jnp.inf)
        step = jnp.where(finite, jnp.minimum(room.min(), 1), 0)
        out = leaving & (room <= step)
        shorter = jnp.where(out | ~support, 0, x + step * (jnp.where(finite, trial, x) - x))
        x = jnp.where(inside, trial, shorter)
        fall, size = descent(x)
        candidates = allowed & ~support & (fall > 10 * eps * size)
        entering = (jnp.arange(len(x)) == jnp.argmax(jnp.where(candidates, fall, -jnp.inf))) & candidates
        # A variable that has just entered and cannot grow: what made it enter was rounding error.
        stuck = ~finite | (~inside & (step == 0))
        done = jnp.where(inside, ~candidates.any(), stuck)
        return x, jnp.where(inside, support | entering, support & ~out), count + 1, done

    def unfinished(carry):
        return ~carry[3] & (carry[2] < 5 * len(linear) + 5)

    start = jnp.zeros_like(linear), jnp.zeros_like(allowed), 0, jnp.zeros((), bool)
    x, *_ = jax.lax.while_loop(unfinished, round_, start)
    fall, size = descent(x)
    slack = 1000 * eps * size
    optimal = jnp.where(x > 0, jnp.abs(fall) <= slack, ~allowed | (fall <= slack))
    return x, optimal.all()


def smallest_in_hull(gram: Float[Array, "T T"], present: Bool[Array, "T"]) -> tuple[Float[Array, "T"], Bool[Array, ""]]:
    """`argmin wᵀ G w` over weights that are not negative and sum to 1, and whether it was found.

    Up to its length the solution is that of `argmin vᵀ G v + m (1ᵀ v − 1)²` over `v ≥ 0`: along a ray both are the same
    problem. The minimum lies between 0 and the smallest squared length, which as `m` makes the two terms comparable
    however different the lengths of the gradients are.
    """
    square = jnp.diagonal(gram)
    smallest = jnp.where(present & (square > 0), square, jnp.inf).min()
    scaled = gram / jnp.where(jnp.isfinite(smallest), smallest, 1) + 1
    x, converged = nonnegative_quadratic(scaled, jnp.ones_like(square), present)
    return x / jnp.where(present.any(), x.sum(), 1), converged


def project_simplex(point: Float[Array, "T"], present: Bool[Array, "T"]) -> Float[Array, "T"]:
    """The nearest weights that are not negative, sum to 1, and are 0 for absent tasks.

    Source: Duchi, Shalev-Shwartz, Singer and Chandra, "Efficient projections onto the l1-ball", ICML 2008, figure 1.
    """
    # From the largest downwards: the threshold is then at most 1 away, and large points do not swallow it.
    below = jnp.where(present, point, -jnp.inf)
    below = below - jnp.where(present.any(), below.max(), 0)
    falling = -jnp.sort(-below)
    rank = jnp.arange(1, len(point) + 1)
    threshold = (jnp.cumsum(falling) - 1) / rank
    count = jnp.maximum(jnp.sum(falling > threshold), 1)
    return jnp.where(present, jnp.maximum(below - threshold[count - 1], 0), 0)

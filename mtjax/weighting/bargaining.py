"""Bargaining between tasks: each gains in proportion to a power of what its gradient already contributes."""

import jax
import jax.numpy as jnp

from mtjax.typing import Array, Bool, Float
from mtjax.weighting.base import Weighting
from mtjax.weighting.common import need_positive
from mtjax.weighting.gram import cosines, from_gram

ROUNDS = 500  # for alpha = 0.1; with alpha >= 1 a dozen or two are taken


def nash_mtl(names: tuple[str, ...], /) -> Weighting:
    """The Nash bargaining solution: weights `α > 0` with `G α = 1 / α`, not clipped.

    Each task then gains `gᵢ·d = 1 / αᵢ`, `‖d‖²` is the number of tasks, and `d` does not change when a task's loss is
    multiplied by a constant. A single task gets `g / ‖g‖`. There is no solution, and `converged` is False, where
    nonnegative combinations of the gradients vanish (no direction improves all tasks); a present task with a zero
    gradient gets weight 0 and the others bargain among themselves, `converged` False as well.

    Args:
        names: the tasks, in order.

    Source: Navon, Shamsian, Achituve, Maron, Kawaguchi, Chechik and Fetaya, "Multi-task learning as a bargaining game",
    ICML 2022, equation 3. The authors' code clips `‖d‖` at 1; the paper does not.
    """
    del names
    return from_gram(lambda gram, present: fair(gram, present, 1.0))


def fairgrad(names: tuple[str, ...], /, *, alpha: float = 2.0) -> Weighting:
    """α-fair gains: weights `w > 0` with `G w = w^(-1/alpha)`.

    `alpha = 1` is `nash_mtl`; as it grows the smallest of the gains `gᵢ·d` is all that counts and `d` takes MGDA's
    direction, as it shrinks all weights become 1. A single task gets weight `‖g‖^(-2 alpha / (1 + alpha))`. Where there
    is no solution it is as in `nash_mtl`.

    Args:
        names: the tasks, in order.
        alpha: positive; the authors use 1 and 2. Not 1 by default, because that is `nash_mtl`.

    Raises:
        ValueError: `alpha` is not positive or not finite.

    Source: Ban and Ji, "Fair resource allocation in multi-task learning", ICML 2024, equation 6.
    """
    del names
    need_positive(alpha=alpha)
    return from_gram(lambda gram, present: fair(gram, present, alpha))


@jax.jit
def fair(
    gram: Float[Array, "T T"], present: Bool[Array, "T"], alpha: float | Float[Array, ""]
) -> tuple[Float[Array, "T"], Bool[Array, ""]]:
    """The solution `w > 0` of `G w = w^(-1/alpha)`, and whether it is one.

    Each weight is written as `wᵢ = nᵢ^(-2a/(1+a)) βᵢ`, the solution of the task alone times a factor, and
    `γᵢ = dᵢ βᵢ` with `dᵢ = nᵢ^((1-a)/(1+a))`. With the cosines `C` the problem is then `C γ = d (γ/d)^(-1/a)`, whose
    left side is free of all lengths: the gradient of `½ γᵀ C γ − Σ dᵢ² φ(γᵢ/dᵢ)`, strictly convex. Newton's steps are
    divided by 1 plus the largest relative decrease of a variable (times 1/a for small a), which makes the objective
    fall in every step and costs nothing of the quadratic convergence.
    """
    eps = jnp.finfo(gram.dtype).eps
    cosine, norms, usable = cosines(gram, present)
    cosine = cosine + jnp.diag((~usable).astype(gram.dtype))
    mean = jnp.exp(jnp.where(usable, jnp.log(norms), 0).sum() / jnp.maximum(usable.sum(), 1))
    relative = jnp.where(usable, norms / mean, 1)
    power = 1 / jnp.asarray(alpha, gram.dtype)
    d = relative ** ((power - 1) / (power + 1))
    caution = jnp.maximum(power, 1)

    def round_(carry):
        gamma, before, _, count = carry
        gain = d * (gamma / d) ** -power
        error = cosine @ gamma - gain
        step = -jnp.linalg.solve(cosine + jnp.diag(power * gain / gamma), error)
        change = jnp.max(jnp.abs(step) / gamma)
        decrease = jnp.max(jnp.maximum(-step / gamma, 0))
        # Where steps ought to square, they do not halve: what is left of them is rounding error.
        stalled = (caution * before < 0.25) & (change > before / 2)
        return gamma + step / (1 + caution * decrease), change, stalled, count + 1

    def unfinished(carry):
        gamma, change, stalled, count = carry
        # Beyond this, the curvature on which the solution rests is rounding error: there is none.
        bounded = jnp.max(gamma / d) < 1 / jnp.sqrt(eps)
        return (change > jnp.sqrt(eps)) & ~stalled & bounded & (count < ROUNDS)

    # The best multiple of the solution without conflict.
    total = jnp.where(usable, d**2, 0).sum()
    together = jnp.maximum(jnp.where(usable, d, 0) @ cosine @ jnp.where(usable, d, 0), 1e-2 * total)
    together, total = jnp.where(usable.any(), together, 1), jnp.where(usable.any(), total, 1)
    start = jnp.where(usable, d * (total / together) ** (1 / (1 + power)), d)
    carry = start, jnp.full((), jnp.inf, gram.dtype), jnp.zeros((), bool), 0
    gamma, change, *_ = jax.lax.while_loop(unfinished, round_, carry)
    beta = gamma / d
    # The last step was short, and what is left of the error is small beside the terms that cancel in it.
    error = jnp.abs(cosine @ gamma - d * beta**-power) / (jnp.abs(cosine) @ gamma)
    converged = (change <= 10 * jnp.sqrt(eps)) & (jnp.max(beta) < 1 / jnp.sqrt(eps)) & (error <= jnp.sqrt(eps)).all()
    converged &= (usable == present).all()
    return jnp.where(usable, norms ** (-2 / (1 + power)) * beta, 0), converged

"""Directions that make the same angle with every task gradient."""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp

from mtjax.typing import Array, Bool, Float
from mtjax.weighting.base import Weighting
from mtjax.weighting.common import preferences
from mtjax.weighting.gram import cosines, from_gram, negligible, shares


def conflict_free(names: tuple[str, ...], /, *, preference: Mapping[str, float] | Sequence[float] = ()) -> Weighting:
    """ConFIG: `d = (Σ gᵢ·u) u`, where the unit vector `u` has the same cosine with every gradient.

    `u` is `U⁺ p` made a unit vector, with `U` the unit gradients: for dependent gradients the least-squares solution,
    and `converged` is False where the cosines cannot be had, as for opposite gradients, for which `d` may be 0. A
    present task with a zero gradient gets weight 0 and `converged` is False too.

    Args:
        names: the tasks, in order.
        preference: wanted cosines up to a factor, by task name or one number per task; positive.

    Raises:
        ValueError: a preference that does not fit the tasks.

    Source: Liu, Chu and Thuerey, "ConFIG: towards conflict-free training of physics informed neural networks", arXiv
    2408.11104, equations 2 and 3.
    """
    values = preferences(preference, names)

    def solve(gram: Float[Array, "T T"], present: Bool[Array, "T"]):
        cosine, norms, usable = cosines(gram, present)
        wanted = jnp.where(usable, shares(values, present, gram.dtype), 0)
        onto, reached, equal = combination(cosine, wanted)
        square = jnp.maximum(onto @ reached, 0)
        length = jnp.sum(norms * reached) / jnp.where(square > 0, square, 1)
        return jnp.where(usable, length * onto / norms, 0), equal & (usable == present).all()

    return from_gram(solve)


def imtl_g(names: tuple[str, ...], /) -> Weighting:
    """IMTL-G: weights of sum 1 for which `d` has the same projection onto every gradient.

    The weights are `C⁺ 1 / n`, with cosines `C` and lengths `n`, divided by their sum. That sum may come close to 0, or
    be negative: then the published `d` is very long, or leads uphill for all tasks. Where it is 0 to rounding the
    weights are divided by the sum of their absolute values instead and `converged` is False; so it is where equal
    projections cannot be had. A present task with a zero gradient gets weight 0, `converged` False.

    Args:
        names: the tasks, in order.

    Source: Liu, Li, Kuang, Xue, Chen, Yang, Liao and Zhang, "Towards impartial multi-task learning", ICLR 2021,
    equation 5; the closed form for dependent gradients through the pseudo-inverse.
    """
    del names

    def solve(gram: Float[Array, "T T"], present: Bool[Array, "T"]):
        cosine, norms, usable = cosines(gram, present)
        onto, _, equal = combination(cosine, usable.astype(gram.dtype))
        shortest = jnp.where(usable, norms, jnp.inf).min()
        weights = jnp.where(usable, onto * jnp.where(usable.any(), shortest, 1) / norms, 0)
        total, size = weights.sum(), jnp.abs(weights).sum()
        defined = jnp.abs(total) > negligible(gram.dtype) * size
        divisor = jnp.where(defined, total, jnp.where(size > 0, size, 1))
        return weights / divisor, defined & equal & (usable == present).all()

    return from_gram(solve)


def combination(
    cosine: Float[Array, "T T"], wanted: Float[Array, "T"]
) -> tuple[Float[Array, "T"], Float[Array, "T"], Bool[Array, ""]]:
    """The combination of unit gradients whose inner products with them are as wanted.

    Returns:
        The combination `a`, of least norm; what it reaches, `C a`; and whether that is what was wanted.
    """
    eigenvalues, vectors = jnp.linalg.eigh(cosine)
    counts = eigenvalues > negligible(cosine.dtype) * jnp.max(eigenvalues)
    along = jnp.where(counts, vectors.T @ wanted, 0)
    onto = vectors @ (along / jnp.where(counts, eigenvalues, 1))
    reached = vectors @ along
    slack = jnp.sqrt(jnp.finfo(cosine.dtype).eps) * jnp.max(jnp.abs(wanted))
    return onto, reached, (jnp.abs(reached - wanted) <= slack).all()

"""What the methods share that see the task gradients through their inner products `Gᵢⱼ = gᵢ·gⱼ` alone."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp

from mtjax.typing import Array, Bool, Float
from mtjax.weighting.base import Signals, Weighting

Solve = Callable[[Float[Array, "T T"], Bool[Array, "T"]], tuple[Float[Array, "T"], Bool[Array, ""]]]


class Cosines(NamedTuple):
    """A Gram matrix taken apart, `Gᵢⱼ = nᵢ cᵢⱼ nⱼ`.

    cosines: 1 on the diagonal of the usable tasks; 0 in the rows and columns of the others.
    norms: lengths of the gradients; 1 for tasks that are not usable, so that one may divide by them.
    usable: present, and with a gradient that is not zero.
    """

    cosines: Float[Array, "T T"]
    norms: Float[Array, "T"]
    usable: Bool[Array, "T"]


def cosines(gram: Float[Array, "T T"], present: Bool[Array, "T"]) -> Cosines:
    """The cosines between task gradients and their lengths."""
    square = jnp.diagonal(gram)
    usable = present & (square > 0)
    norms = jnp.sqrt(jnp.where(usable, square, 1))
    # One division after the other: the product of two lengths may leave the range of float32 where the cosine does not.
    inside = gram / norms[:, None] / norms[None, :]
    inside = jnp.where(usable[:, None] & usable[None, :], inside, 0)
    return Cosines(jnp.where(jnp.eye(len(square), dtype=bool), usable.astype(gram.dtype), inside), norms, usable)


def normalized(gram: Float[Array, "T T"], present: Bool[Array, "T"]) -> tuple[Float[Array, "T T"], Float[Array, ""]]:
    """The Gram matrix divided by the mean squared length of the present gradients, and that mean (1 if it is 0)."""
    mean = jnp.where(present, jnp.diagonal(gram), 0).sum() / jnp.maximum(present.sum(), 1)
    mean = jnp.where(mean > 0, mean, 1)
    return gram / mean, mean


def negligible(dtype) -> float:
    """The fraction of the largest eigenvalue below which an eigenvalue is rounding error."""
    return 100 * float(jnp.finfo(dtype).eps)


def shares(preference: Sequence[float], present: Bool[Array, "T"], dtype) -> Float[Array, "T"]:
    """The preferences divided by their sum over the tasks that are present; 0 for the others."""
    kept = jnp.where(present, jnp.asarray(preference, dtype), 0)
    return kept / jnp.where(present.any(), kept.sum(), 1)


def from_gram(solve: Solve) -> Weighting:
    """The weighting without memory whose weights, and whether they are a solution, are `solve(gram, present)`."""

    def update(signals: Signals, state):
        del state
        assert signals.gram is not None
        weights, converged = solve(signals.gram, signals.present)
        return jnp.where(signals.present, weights, 0), {"converged": converged}

    return Weighting(init=lambda _=None: {"converged": jnp.ones((), bool)}, update=update, needs="gram")

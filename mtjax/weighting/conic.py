"""Projections onto the cone of directions that harm no task."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

from mtjax.typing import Array, Bool, Float
from mtjax.weighting.base import Weighting
from mtjax.weighting.common import preferences
from mtjax.weighting.gram import cosines, from_gram, shares
from mtjax.weighting.quadratic import nonnegative_quadratic


def upgrad(names: tuple[str, ...], /, *, preference: Mapping[str, float] | Sequence[float] = ()) -> Weighting:
    """Each gradient is projected onto `{d : gᵢ·d ≥ 0 for all i}`, then they are averaged.

    Without conflict `d` is the mean. `d` is linear in the length of each gradient, and is 0 where only directions
    harming some task are left. A present task with a zero gradient keeps its preference as weight.

    Args:
        names: the tasks, in order.
        preference: weights of the average, by task name or one number per task; positive, normalized over the present
            tasks.

    Raises:
        ValueError: a preference that does not fit the tasks.

    Source: Quinton and Rey, "Jacobian descent for multi-objective optimization", arXiv 2406.16232, equation 4 and
    proposition 1.
    """
    values = preferences(preference, names)

    def solve(gram: Float[Array, "T T"], present: Bool[Array, "T"]):
        cosine, norms, usable = cosines(gram, present)
        # With unit gradients: the projection of gradient i is Σⱼ yⱼ gⱼ / nⱼ times its length, y ≥ eᵢ.
        added, converged = jax.vmap(nonnegative_quadratic, (None, 0, None))(cosine, -cosine, usable)
        p = shares(values, present, gram.dtype)
        return p + (p[:, None] * norms[:, None] / norms[None, :] * added).sum(0), converged.all()

    return from_gram(solve)


def dualproj(names: tuple[str, ...], /, *, preference: Mapping[str, float] | Sequence[float] = ()) -> Weighting:
    """The mean gradient projected onto `{d : gᵢ·d ≥ 0 for all i}`.

    Without conflict `d` is the mean. A present task with a zero gradient keeps its preference as weight.

    Args:
        names: the tasks, in order.
        preference: weights of the mean, by task name or one number per task; positive, normalized over the present
            tasks.

    Raises:
        ValueError: a preference that does not fit the tasks.

    Source: Lopez-Paz and Ranzato, "Gradient episodic memory for continual learning", NeurIPS 2017, equation 11.
    """
    values = preferences(preference, names)

    def solve(gram: Float[Array, "T T"], present: Bool[Array, "T"]):
        cosine, norms, usable = cosines(gram, present)
        p = shares(values, present, gram.dtype)
        relative = jnp.where(usable, norms / jnp.where(usable, norms, 0).max(initial=0), 1)
        added, converged = nonnegative_quadratic(cosine, -cosine @ (p * relative), usable)
        return p + added / relative, converged

    return from_gram(solve)

"""How a metric is carried from examples to a data set: as a sum and a count, so that every example counts once."""

import jax.numpy as jnp

from mtjax.typing import Array, Bool, Float, Inexact, Int, PerExample, Scalar

Pair = tuple[Float[Array, "B *k"], Float[Array, "B *k"]]


def counted(values: PerExample, valid: Bool[Array, "B"] | None = None) -> Pair:
    """The pair (sum, count) [B] of a metric with one value per example; examples that are not `valid` count zero.

    A value that is not counted becomes 0 in the sum, also where it was NaN or infinite.
    """
    if valid is None:
        return values, jnp.ones_like(values)
    return jnp.where(valid, values, 0), valid.astype(values.dtype)


def finish(total: Inexact[Array, "*k"] | Int[Array, "*k"], count: Inexact[Array, "*k"] | Int[Array, "*k"]) -> Scalar:
    """The metric, from sums and counts added over examples: the mean of total / count over the entries counted.

    Shapes [] for metrics of one number, [K] for those per class; a class that was never counted is left out of the
    mean. NaN if nothing was counted at all: there is no value then.
    """
    seen = count > 0
    ratio = jnp.where(seen, total / jnp.where(seen, count, 1), 0)
    classes = jnp.sum(seen)
    return jnp.where(classes > 0, jnp.sum(ratio) / jnp.maximum(classes, 1), jnp.nan)

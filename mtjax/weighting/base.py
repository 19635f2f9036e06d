"""The one idea of this package: a weighting is a pair of pure functions over explicit state, in the manner of Optax."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax

from mtjax.pytree import pytree
from mtjax.typing import Array, Bool, Float, Key

Needs = Literal["losses", "gram", "gradients", "halves"]
LEVELS = ("features", "parameters")


@pytree
class Signals:
    """What a weighting may look at in one step; of what it does not declare that it needs, None.

    losses: mean loss of each task over its valid examples of the global batch, 0 where it has none.
    present: whether the task has any valid example in the global batch.
    gram: inner products of the gradients of these losses, float32; 0 in the rows and columns of absent tasks.
    cross: inner products of the gradients on one half of the batch (rows) with those on the other half (columns).
    gradients: the gradients themselves, a pytree with leaves `[T, ...]`; 0 for absent tasks.
    key: of this step, for methods that draw something.
    """

    losses: Float[Array, "T"]
    present: Bool[Array, "T"]
    gram: Float[Array, "T T"] | None = None
    cross: Float[Array, "T T"] | None = None
    gradients: Any = None
    key: Key[Array, ""] | None = None


class Weighting(NamedTuple):
    """`init(gradients) -> state` and `update(signals, state) -> (weights, state)`; weights are 0 for absent tasks.

    init: takes the gradients, or their shapes, where the state holds something of their size; otherwise nothing.
    needs: what `update` reads beside the losses: "gram", "gradients", or "halves" (`cross`, and the gradients' Gram
        matrix).
    levels: where these gradients may be taken: at the features that tasks share, or at the shared parameters.
    direction: `(gradients, weights, state) -> direction` from the state after the update, for methods whose direction
        is not the sum of the gradients times the weights.
    later: `(losses, state) -> state`, for methods that look at the same batch again after the step.

    A state that is a dict with the key "converged" tells whether the method solved its own small problem; it is logged.
    """

    init: Callable[..., Any]
    update: Callable[[Signals, Any], tuple[Float[Array, "T"], Any]]
    needs: Needs = "losses"
    levels: tuple[str, ...] = LEVELS
    direction: Callable[[Any, Float[Array, "T"], Any], Any] | None = None
    later: Callable[[Float[Array, "T"], Any], Any] | None = None


def weighted_sum(gradients: Any, weights: Float[Array, "T"]) -> Any:
    """`Σᵢ wᵢ gᵢ`, for gradients with leaves `[T, ...]`."""
    return jax.tree.map(lambda leaf: jax.numpy.tensordot(weights.astype(leaf.dtype), leaf, 1), gradients)

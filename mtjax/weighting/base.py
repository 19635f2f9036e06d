"""The one idea of this package: a weighting is a pair of pure functions over explicit state, in the manner of Optax."""

from collections.abc import Callable
from typing import Any, NamedTuple

from mtjax.pytree import pytree
from mtjax.typing import Array, Bool, Float


@pytree
class Signals:
    """What a weighting may look at in one step.

    losses: mean loss of each task over its valid examples of the global batch, 0 where it has none.
    present: whether the task has any valid example in the global batch.
    """

    losses: Float[Array, "T"]
    present: Bool[Array, "T"]


class Weighting(NamedTuple):
    """`init() -> state` and `update(signals, state) -> (weights, state)`; weights are 0 for absent tasks."""

    init: Callable[[], Any]
    update: Callable[[Signals, Any], tuple[Float[Array, "T"], Any]]

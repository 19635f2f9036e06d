"""How T task losses become one update.

One convention holds for every method: training minimizes `Σᵢ wᵢ Lᵢ` with the weights held constant, so the encoder
receives `Σᵢ wᵢ ∇Lᵢ` and each head `wᵢ ∇Lᵢ`. `Lᵢ` is the mean over the task's valid examples of the global batch. A
task without any has weight 0 and is left out of the method's own problem, not counted as a loss of 0. Weights are used
as the method publishes them: `equal` is the mean, `fixed` is what was asked for, `uncertainty` is `½ exp(-sᵢ)`.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from mtjax.registry import lookup
from mtjax.typing import Array, Float
from mtjax.weighting.base import Signals, Weighting
from mtjax.weighting.constant import equal, fixed
from mtjax.weighting.uncertainty import uncertainty

WEIGHTINGS = {"equal": equal, "fixed": fixed, "uncertainty": uncertainty}


def make(kind: str, num_tasks: int | None = None, *, names: Sequence[str] = (), **params: Any) -> Weighting:
    """The weighting called `kind` for `num_tasks` tasks, or for the named ones.

    Raises:
        ValueError: an unknown kind or parameter, or neither a number of tasks nor names.
    """
    names = tuple(names) or tuple(str(i) for i in range(num_tasks or 0))
    if not names or (num_tasks is not None and num_tasks != len(names)):
        raise ValueError(f"a weighting needs at least one task, got num_tasks={num_tasks} and names={names}")
    return lookup(WEIGHTINGS, kind, "weighting.kind")(names, **params)


def combine(
    kind: str, jacobian: Float[Array, "T P"], *, losses: Float[Array, "T"] | None = None, **params: Any
) -> Float[Array, "P"]:
    """The direction that a method makes of the task gradients: applied once, from its initial state, all tasks present.

    Args:
        kind: name of the method.
        jacobian: one gradient per row.
        losses: the task losses, for methods that read them; 1 for every task if not given.
        **params: the method's parameters.
    """
    num_tasks = jacobian.shape[0]
    weighting = make(kind, num_tasks, **params)
    losses = jnp.ones(num_tasks, jacobian.dtype) if losses is None else losses
    weights, _ = weighting.update(Signals(losses, jnp.ones(num_tasks, bool)), weighting.init())
    return weights.astype(jacobian.dtype) @ jacobian


__all__ = ["WEIGHTINGS", "Signals", "Weighting", "combine", "equal", "fixed", "make", "uncertainty"]

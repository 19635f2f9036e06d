"""Everything that one step hands to the next, and that a checkpoint therefore holds."""

from typing import Any

import jax
import jax.numpy as jnp

from mtjax.pytree import pytree
from mtjax.typing import Array, Int, Key, Params


@pytree
class State:
    """The state of training.

    step: the number of steps made, skipped ones included; step k is a function of the seed and k.
    params: parameters of the model.
    optimizer: state of the Optax transformation.
    weighting: state of the weighting.
    totals: by task, the sums of loss and of valid examples since the epoch began.
    skipped: steps that changed nothing because something was not finite; `skipped_in_row`: those at the end.
    key: the run's key; never changes.
    """

    step: Int[Array, ""]
    params: Params
    optimizer: Any
    weighting: Any
    totals: dict[str, Array]
    skipped: Int[Array, ""]
    skipped_in_row: Int[Array, ""]
    key: Key[Array, ""]


def create(params: Params, optimizer: Any, balancing: Any, num_tasks: int, seed: int) -> State:
    """The state before the first step."""
    # One array per counter: a donated buffer may not appear twice.
    return State(
        step=jnp.zeros((), jnp.int32),
        params=params,
        optimizer=optimizer.init(params),
        weighting=balancing.init(params, num_tasks),
        totals={"loss": jnp.zeros(num_tasks), "count": jnp.zeros(num_tasks)},
        skipped=jnp.zeros((), jnp.int32),
        skipped_in_row=jnp.zeros((), jnp.int32),
        key=jax.random.key(seed),
    )

"""Everything that one step hands to the next, and that a checkpoint therefore holds."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

from mtjax.pytree import pytree
from mtjax.train.spikes import no_history
from mtjax.typing import Array, Int, Key, Params


@pytree
class State:
    """The state of training.

    step: the number of steps made, skipped ones included; step k is a function of the seed and k.
    params: parameters of the model.
    optimizer: state of the Optax transformation.
    weighting: state of the weighting.
    totals: by task, the sums of loss and of valid examples since the epoch began.
    skipped: steps that changed nothing because something was not finite, or a loss a spike; `skipped_in_row`: those at
    the end.
    key: the run's key; never changes.
    average: of the parameters over the updates made, as `averaged` takes it; empty where the run keeps none.
    spikes: what the losses have lately been; empty where the run believes them all.
    """

    step: Int[Array, ""]
    params: Params
    optimizer: Any
    weighting: Any
    totals: dict[str, Array]
    skipped: Int[Array, ""]
    skipped_in_row: Int[Array, ""]
    key: Key[Array, ""]
    average: Params = dataclasses.field(default_factory=dict)
    spikes: dict[str, Array] = dataclasses.field(default_factory=dict)

    @property
    def evaluated(self) -> Params:
        """The parameters that are evaluated and used: the average, or where there is none those of the last step."""
        return self.average or self.params


def create(
    params: Params,
    optimizer: Any,
    balancing: Any,
    num_tasks: int,
    seed: Any,
    averaging: bool = False,
    spikes: bool = False,
) -> State:
    """The state before the first step; with `averaging` an average of the parameters is kept, with `spikes` losses."""
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
        average=jax.tree.map(jnp.copy, params) if averaging else {},
        spikes=no_history(num_tasks) if spikes else {},
    )


def averaged(average: Params, params: Params, decay: float, updates: Int[Array, ""]) -> Params:
    """The exponential moving average after one more update, of which there have then been so many, 1 or more.

    After k updates, those of update i weigh `decay^(k - i)`, over the sum of all weights; where the average began has
    no part in it. Source: Polyak and Juditsky, SIAM J. Control Optim. 1992; the correction for the beginning is that
    of Kingma and Ba, "Adam", ICLR 2015, section 3.
    """
    # (1 - decay) / (1 - decay^k), without the cancellation of float32 where the decay is close to 1.
    rate = (decay - 1) / jnp.expm1(updates * math.log(decay))
    return jax.tree.map(lambda old, new: old + rate.astype(old.dtype) * (new - old), average, params)

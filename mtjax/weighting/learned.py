"""One parameter per task, learned beside the network, says how much the task's loss counts."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from mtjax.typing import Array, Float
from mtjax.weighting.base import Signals, Weighting
from mtjax.weighting.common import kept, need_positive, positive

PerTask = Float[Array, "T"]


def uncertainty(names: tuple[str, ...], /, *, lr: float = 1e-2, init: float = 0.0) -> Weighting:
    """Minimizes `Σ ½ exp(-sᵢ) Lᵢ + ½ sᵢ` over the log-variances `s` too; the weight of task i is `½ exp(-sᵢ)`.

    The log-variances have their own Adam, so neither the learning rate nor the weight decay of the network touches
    them. A task that is absent keeps its log-variance, its moments and their count.

    Args:
        names: the tasks, in order.
        lr: learning rate of the log-variances.
        init: their first value.

    Raises:
        ValueError: a learning rate that is not positive.

    Source: Kendall, Gal and Cipolla, "Multi-task learning using uncertainty to weigh losses", CVPR 2018, equation 10.
    """
    return _learned(
        names, "log_variance", lr, init, lambda s: 0.5 * jnp.exp(-s), lambda weights, losses: 0.5 - weights * losses
    )


def imtl_l(names: tuple[str, ...], /, *, lr: float = 1e-2, init: float = 0.0) -> Weighting:
    """Minimizes `Σ exp(sᵢ) Lᵢ - sᵢ` over the log-weights `s` too; the weight of task i is `exp(sᵢ)`.

    The log-weights have their own Adam, so neither the learning rate nor the weight decay of the network touches them.
    A task that is absent keeps its log-weight, its moments and their count.

    Args:
        names: the tasks, in order.
        lr: learning rate of the log-weights.
        init: their first value.

    Raises:
        ValueError: a learning rate that is not positive.

    Source: Liu et al., "Towards impartial multi-task learning", ICLR 2021, the loss balance IMTL-L.
    """
    return _learned(names, "log_weight", lr, init, jnp.exp, lambda weights, losses: weights * losses - 1)


def _learned(
    names: tuple[str, ...],
    name: str,
    lr: float,
    init: float,
    weights_of: Callable[[PerTask], PerTask],
    slope: Callable[[PerTask, PerTask], PerTask],
) -> Weighting:
    """A weighting whose parameters, `name` in its state, follow the slope of an objective by Adam.

    `weights_of(parameters)`; `slope(weights, losses)`. The weights are those from before the step.
    """
    need_positive(lr=lr)
    optimizer = optax.adam(lr)

    def start(_=None):
        values = jnp.full(len(names), init)
        # One optimizer per task: its count of steps is then that of the task's own.
        return {name: values, "optimizer": jax.vmap(optimizer.init)(values)}

    def update(signals: Signals, state):
        values = state[name]
        weights = weights_of(values.astype(signals.losses.dtype))
        gradient = slope(weights, positive(signals.losses)).astype(values.dtype)
        step, moments = jax.vmap(optimizer.update)(gradient, state["optimizer"])
        moved = {name: values + step, "optimizer": moments}
        return jnp.where(signals.present, weights, 0), kept(signals.present, moved, state)

    return Weighting(init=start, update=update)

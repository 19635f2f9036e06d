"""Homoscedastic uncertainty: each task's noise level is learned beside the network."""

import jax
import jax.numpy as jnp
import optax

from mtjax.weighting.base import Signals, Weighting
from mtjax.weighting.common import kept, need_positive, positive


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
    need_positive(lr=lr)
    optimizer = optax.adam(lr)

    def start(_=None):
        log_variance = jnp.full(len(names), init)
        # One optimizer per task: its count of steps is then that of the task's own.
        return {"log_variance": log_variance, "optimizer": jax.vmap(optimizer.init)(log_variance)}

    def update(signals: Signals, state):
        log_variance = state["log_variance"]
        weights = 0.5 * jnp.exp(-log_variance.astype(signals.losses.dtype))
        gradient = (0.5 - weights * positive(signals.losses)).astype(log_variance.dtype)
        step, moments = jax.vmap(optimizer.update)(gradient, state["optimizer"])
        moved = {"log_variance": log_variance + step, "optimizer": moments}
        return jnp.where(signals.present, weights, 0), kept(signals.present, moved, state)

    return Weighting(init=start, update=update)

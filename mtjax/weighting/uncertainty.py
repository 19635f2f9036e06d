"""Homoscedastic uncertainty: each task's noise level is learned beside the network."""

import jax
import jax.numpy as jnp
import optax

from mtjax.weighting.base import Signals, Weighting


def uncertainty(names: tuple[str, ...], /, *, lr: float = 1e-2, init: float = 0.0) -> Weighting:
    """Minimizes `Σ ½ exp(-sᵢ) Lᵢ + ½ sᵢ` over the log-variances `s` too; the weight of task i is `½ exp(-sᵢ)`.

    The log-variances have their own Adam, so neither the learning rate nor the weight decay of the network touches
    them. A task that is absent keeps its log-variance and its moments.

    Args:
        names: the tasks, in order.
        lr: learning rate of the log-variances.
        init: their first value.

    Source: Kendall, Gal and Cipolla, "Multi-task learning using uncertainty to weigh losses", CVPR 2018, equation 10.
    """
    optimizer = optax.adam(lr)

    def start(_=None):
        log_variance = jnp.full(len(names), init, jnp.float32)
        return {"log_variance": log_variance, "optimizer": optimizer.init(log_variance)}

    def update(signals: Signals, state):
        weights = jnp.where(signals.present, 0.5 * jnp.exp(-state["log_variance"]), 0)
        gradient = jnp.where(signals.present, 0.5 - weights * signals.losses, 0)
        step, moments = optimizer.update(gradient, state["optimizer"])
        moved = {"log_variance": state["log_variance"] + step, "optimizer": moments}
        kept = jax.tree.map(lambda new, old: jnp.where(signals.present, new, old) if new.ndim else new, moved, state)
        return weights, kept

    return Weighting(init=start, update=update)

"""Weights learned so that all tasks train at the same pace."""

import jax
import jax.numpy as jnp
import optax

from mtjax.typing import Array, Bool, Float
from mtjax.weighting.base import Signals, Weighting
from mtjax.weighting.common import kept, need_nonnegative, need_positive


def gradnorm(names: tuple[str, ...], /, *, alpha: float = 1.5, lr: float = 0.025) -> Weighting:
    """GradNorm: the weights follow the gradient of `Σᵢ |wᵢ ‖gᵢ‖ − n̄ rᵢ^α|`, with `n̄` and `r` held constant.

    `n̄` is the mean of `wᵢ ‖gᵢ‖`, and `rᵢ` is task i's loss relative to the first one that was seen, relative to the
    mean of that over the tasks: a task that lags behind is given a longer gradient. The weights have an Adam of their
    own, which sees lengths in units of their mean, so nothing depends on the scale of the losses; they stay at least 0
    and are renormalized so that those of the present tasks sum to their number. In the step the weights are the ones
    from before the change. The weight, the first loss and the moments of an absent task stand still.

    Args:
        names: the tasks, in order.
        alpha: how strongly the pace is made equal; 0 makes the lengths equal. At least 0.
        lr: learning rate of the weights.

    A task whose first loss was not positive has no relative loss; it counts as 1.

    Raises:
        ValueError: `alpha` is negative, or `lr` is not positive.

    Source: Chen, Badrinarayanan, Lee and Rabinovich, "GradNorm", ICML 2018, equations 1 and 2, algorithm 1. There the
    lengths are those at the last shared layer: `level="features"` is nearest to it.
    """
    need_positive(lr=lr)
    need_nonnegative(alpha=alpha)
    optimizer = optax.adam(lr)

    def start(_=None):
        ones = jnp.ones(len(names))
        # One optimizer per task, with its own count of steps.
        moments = jax.vmap(optimizer.init)(ones)
        return {"weights": ones, "first": ones, "seen": jnp.zeros(len(names), bool), "optimizer": moments}

    def update(signals: Signals, state):
        assert signals.gram is not None
        present, dtype = signals.present, signals.gram.dtype
        first = jnp.where(state["seen"] | ~present, state["first"], signals.losses)
        share = jnp.where(present, state["weights"], 0).sum() / jnp.maximum(present.sum(), 1)
        weights = jnp.where(present, state["weights"] / jnp.where(share > 0, share, 1), 0).astype(dtype)
        lengths = jnp.sqrt(jnp.where(present, jnp.diagonal(signals.gram), 0))
        slope = pace_gradient(weights, lengths, signals.losses.astype(dtype), first.astype(dtype), present, alpha)
        step, moments = jax.vmap(optimizer.update)(slope.astype(state["weights"].dtype), state["optimizer"])
        assert isinstance(step, jax.Array)
        stepped = jnp.where(present, jnp.maximum(weights + step, 0), 0)
        # Renormalized to the share of the total that these tasks had, so that the absent ones keep theirs.
        stepped = stepped * share * present.sum() / jnp.where(stepped.sum() > 0, stepped.sum(), 1)
        moved = {"weights": stepped, "first": first, "seen": present, "optimizer": moments}
        return weights, kept(present, moved, state)

    return Weighting(init=start, update=update, needs="gram")


def pace_gradient(
    weights: Float[Array, "T"],
    lengths: Float[Array, "T"],
    losses: Float[Array, "T"],
    first: Float[Array, "T"],
    present: Bool[Array, "T"],
    alpha: float,
) -> Float[Array, "T"]:
    """The gradient of GradNorm's objective with respect to the weights, lengths in units of their mean."""

    def mean(values):
        average = jnp.where(present, values, 0).sum() / jnp.maximum(present.sum(), 1)
        return jnp.where(average > 0, average, 1)

    lengths = lengths / mean(lengths)
    relative = jnp.where(first > 0, jnp.maximum(losses, 0) / jnp.where(first > 0, first, 1), 1)
    target = mean(weights * lengths) * (relative / mean(relative)) ** alpha
    off = weights * lengths - target
    # At rest the sign of rounding error would move the weights by whole steps of Adam.
    off = jnp.where(jnp.abs(off) > 10 * jnp.finfo(off.dtype).eps * target, off, 0)
    return jnp.where(present, jnp.sign(off) * lengths, 0)

"""FAMO: all losses should fall at the same rate, told from losses alone."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import optax

from mtjax.typing import Array, Float
from mtjax.weighting.base import Signals, Weighting
from mtjax.weighting.common import kept, need_nonnegative, need_positive, per_task, positive, softmax


def famo(
    names: tuple[str, ...],
    /,
    *,
    lr: float = 0.025,
    decay: float = 1e-3,
    floor: float | Mapping[str, float] | Sequence[float] = 0.0,
) -> Weighting:
    """Fast adaptive multi-task optimization: weights `c zᵢ/Dᵢ` with sum 1, `z = softmax(w)`, `D = L - floor`.

    After the step, `later` takes the losses of the same batch. With `δ = log D - log D'` the logits `w` make a step of
    Adam along `Jᵀ δ`, `J` the Jacobian of the softmax over the present tasks, so that tasks that progressed less gain
    weight. Absent tasks keep their logit, moments and count. A loss less than 1e-8 above its floor, or below it, counts
    as 1e-8 above it.

    Args:
        names: the tasks, in order.
        lr: learning rate of the logits.
        decay: their weight decay, part of the gradient that Adam sees, as in the authors' code.
        floor: the smallest possible loss: one number, or by name (0 for a task left out), or in order.

    Raises:
        ValueError: a learning rate that is not positive, a negative decay, floors that fit no task.

    Source: Liu, Feng, Stone and Liu, "FAMO: fast adaptive multitask optimization", NeurIPS 2023, algorithm 1.
    """
    need_positive(lr=lr)
    need_nonnegative(decay=decay)
    floors = per_task([float(floor)] * len(names) if isinstance(floor, int | float) else floor, names, "floor", 0.0)
    optimizer = optax.chain(optax.add_decayed_weights(decay), optax.adam(lr))

    def start(_=None):
        logits = jnp.zeros(len(names))
        return {
            "logits": logits,
            "optimizer": jax.vmap(optimizer.init)(logits),  # one per task, with its own count of steps
            "losses": jnp.ones(len(names)),
            "present": jnp.zeros(len(names), bool),
        }

    def gap(losses: Float[Array, "T"]) -> Float[Array, "T"]:
        return positive(losses - jnp.asarray(floors, losses.dtype))

    def update(signals: Signals, state):
        logits = state["logits"].astype(signals.losses.dtype)
        # c z/D is itself a softmax, which no D can make overflow.
        weights = softmax(logits - jnp.log(gap(signals.losses)), signals.present)
        losses = kept(signals.present, signals.losses, state["losses"])
        return weights, {**state, "losses": losses, "present": signals.present}

    def later(losses: Float[Array, "T"], state):
        logits, present = state["logits"], state["present"]
        progress = jnp.log(gap(state["losses"].astype(losses.dtype)) / gap(losses)).astype(logits.dtype)
        z = softmax(logits, present)
        # Σⱼ zⱼ (δᵢ - δⱼ), not δᵢ - Σⱼ zⱼ δⱼ: Adam would blow up the rounding error that remains of equal progress.
        gradient = z * ((progress[:, None] - progress) @ z)
        step, moments = jax.vmap(optimizer.update)(gradient, state["optimizer"], logits)
        moved = {"logits": logits + step, "optimizer": moments}
        old = {"logits": logits, "optimizer": state["optimizer"]}
        return {**state, **kept(present, moved, old)}

    return Weighting(init=start, update=update, later=later)

"""Methods that compare the task gradients of two independent batches, here the halves of one.

The product of a gradient with itself overestimates what it should measure by its noise; that of two independent
gradients does not.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import optax

from mtjax.typing import Array, Bool, Float
from mtjax.weighting.base import Signals, Weighting
from mtjax.weighting.common import kept, need_nonnegative, need_positive, preferences
from mtjax.weighting.gram import shares
from mtjax.weighting.quadratic import project_simplex

# Two halves of a batch have no features in common, so their gradients can be compared at the parameters only.
LEVEL = ("parameters",)


def modo(names: tuple[str, ...], /, *, lr: float = 1e-3, rho: float = 0.1) -> Weighting:
    """MoDo: MGDA's weights by stochastic steps, `λ ← Π(λ − γ (J₁ J₂ᵀ λ + ρ λ))` with the projection on the simplex.

    The weights are `λ` after the step and sum to 1. Those of absent tasks stand still.

    Args:
        names: the tasks, in order.
        lr: `γ`, in units of one over squared gradient length.
        rho: `ρ`, pull towards equal weights, in units of squared gradient length; at least 0.

    Raises:
        ValueError: `lr` is not positive or `rho` is negative.

    Source: Chen, Fernando, Ying and Chen, "Three-way trade-off in multi-objective learning", NeurIPS 2023, equation 6.
    """
    need_positive(lr=lr)
    need_nonnegative(rho=rho)

    def update(signals: Signals, state):
        assert signals.cross is not None
        weights = among_present(state["weights"].astype(signals.cross.dtype), signals.present)
        weights = project_simplex(weights - lr * (signals.cross @ weights + rho * weights), signals.present)
        return weights, {"weights": back_among_all(weights, state["weights"], signals.present)}

    return Weighting(init=lambda _=None: {"weights": even(names)}, update=update, needs="halves", levels=LEVEL)


def sdmgrad(
    names: tuple[str, ...],
    /,
    *,
    regularization: float = 0.3,
    preference: Mapping[str, float] | Sequence[float] = (),
    lr: float = 5.0,
    momentum: float = 0.5,
    steps: int = 20,
) -> Weighting:
    """SDMGrad: `d = Σ (wᵢ + λ pᵢ) gᵢ / (1 + λ)`, with `w` in the simplex making `‖d‖` small.

    `w` goes `steps` steps of projected gradient descent with momentum in every update, from where it was, along
    `A (w + λ p)` with `A = J₁ J₂ᵀ` in units of the squared mean gradient length. The weights sum to 1. Those of absent
    tasks stand still.

    Args:
        names: the tasks, in order.
        regularization: `λ`, pull towards the preferred weights; 0 is MGDA's problem. At least 0.
        preference: `p`, by task name or one number per task; positive, normalized over the present tasks.
        lr: step size of `w`.
        momentum: its momentum, from 0 at the start of every update.
        steps: how many, at least 1.

    Raises:
        ValueError: a parameter out of its range, or a preference that does not fit the tasks.

    Source: Xiao, Ban and Ji, "Direction-oriented multi-objective learning", NeurIPS 2023, equation 6 and algorithm 1;
    values from the authors' code.
    """
    need_positive(lr=lr, steps=steps)
    need_nonnegative(regularization=regularization, momentum=momentum)
    values = preferences(preference, names)

    def update(signals: Signals, state):
        assert signals.cross is not None and signals.gram is not None
        present = signals.present
        # The Gram matrix's diagonal, where the authors take that of the product: half-batch products may be negative.
        lengths = jnp.sqrt(jnp.where(present, jnp.diagonal(signals.gram), 0))
        unit = lengths.sum() / jnp.maximum(present.sum(), 1)
        unit = jnp.where(unit > 0, unit, 1)
        products = signals.cross / unit / unit
        p = shares(values, present, products.dtype)

        def step(carry, _):
            w, velocity = carry
            velocity = momentum * velocity + products @ (w + regularization * p)
            return (project_simplex(w - lr * velocity, present), velocity), None

        w = among_present(state["weights"].astype(products.dtype), present)
        (w, _), _ = jax.lax.scan(step, (w, jnp.zeros_like(w)), None, length=steps)
        weights = (w + regularization * p) / (1 + regularization)
        return weights, {"weights": back_among_all(w, state["weights"], present)}

    return Weighting(init=lambda _=None: {"weights": even(names)}, update=update, needs="halves", levels=LEVEL)


def auto_lambda(
    names: tuple[str, ...],
    /,
    *,
    primary: Sequence[str] = (),
    lr: float = 1e-4,
    virtual_lr: float = 1e-4,
    init: float = 0.1,
) -> Weighting:
    """Auto-λ: weights under which a step on one half of the batch lowers the primary tasks' loss on the other.

    After a virtual step `θ − η Σ λᵢ gᵢ¹` the primary loss on the second half has, to first order in `η`, the derivative
    `−η gᵢ¹ · Σ_primary gⱼ²` in `λᵢ`; the weights follow it by Adam, and stay at least 0. The weights of the step are
    those after the change. Those of absent tasks stand still, all of them if no primary task is present.

    Args:
        names: the tasks, in order.
        primary: names of the tasks that count; none means all.
        lr: learning rate of the weights.
        virtual_lr: `η`. Adam makes it immaterial unless `η gᵢ·gⱼ` comes near 1e-8.
        init: first weight of every task.

    Raises:
        ValueError: a primary task that is none, or a parameter that is not positive.

    Source: Liu, James, Davison and Johns, "Auto-Lambda: disentangling dynamic task relationships", TMLR 2022, equations
    4 to 6. There the derivative is a finite difference on a second batch; here it is the limit of that.
    """
    if unknown := sorted(set(primary) - set(names)):
        raise ValueError(f"primary has {unknown[0]!r}, which is not a task; the tasks are {', '.join(names)}")
    need_positive(lr=lr, virtual_lr=virtual_lr, init=init)
    counts = [not primary or name in primary for name in names]
    optimizer = optax.adam(lr)

    def start(_=None):
        weights = jnp.full(len(names), init)
        # One optimizer per task, with its own count of steps.
        return {"weights": weights, "optimizer": jax.vmap(optimizer.init)(weights)}

    def update(signals: Signals, state):
        assert signals.cross is not None
        aims = signals.present & jnp.asarray(counts)
        slope = -virtual_lr * jnp.where(aims, signals.cross, 0).sum(1)
        step, moments = jax.vmap(optimizer.update)(slope.astype(state["weights"].dtype), state["optimizer"])
        moved = {"weights": jnp.maximum(state["weights"] + step, 0), "optimizer": moments}
        state = kept(signals.present & aims.any(), moved, state)
        return jnp.where(signals.present, state["weights"], 0).astype(signals.cross.dtype), state

    return Weighting(init=start, update=update, needs="halves", levels=LEVEL)


def even(names: tuple[str, ...]) -> Float[Array, "T"]:
    """Equal weights that sum to 1."""
    return jnp.full(len(names), 1 / len(names))


def among_present(weights: Float[Array, "T"], present: Bool[Array, "T"]) -> Float[Array, "T"]:
    """Weights in the simplex of the present tasks; equal ones if the absent tasks have it all."""
    kept = jnp.where(present, weights, 0)
    equal = present / jnp.maximum(present.sum(), 1).astype(weights.dtype)
    return jnp.where(kept.sum() > 0, kept / jnp.where(kept.sum() > 0, kept.sum(), 1), equal)


def back_among_all(
    weights: Float[Array, "T"], before: Float[Array, "T"], present: Bool[Array, "T"]
) -> Float[Array, "T"]:
    """Weights of the present tasks, times what they had of the whole before; the absent ones' as they were."""
    whole = jnp.where(present, before, 0).sum()
    return jnp.where(present, whole * weights.astype(before.dtype), before)

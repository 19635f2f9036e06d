"""Methods that keep, for each task, something of the size of its gradient: its mean, or the root of its energy.

They work at the shared parameters only: features of another batch have nothing to do with those of this one. `init`
needs the gradients, or their shapes.
"""

from typing import Any

import jax
import jax.numpy as jnp

from mtjax.typing import Array, Bool, Float
from mtjax.weighting.base import Signals, Weighting, weighted_sum
from mtjax.weighting.common import EPSILON, by_task, kept, need_nonnegative, need_positive, positive, softmax
from mtjax.weighting.quadratic import project_simplex
from mtjax.weighting.two_batches import among_present, back_among_all


def excess_mtl(names: tuple[str, ...], /, *, lr: float = 1e-2) -> Weighting:
    """Weights that grow with a task's excess risk: `wᵢ ∝ wᵢ exp(lr êᵢ)`, with sum 1 over the present tasks.

    The excess `êᵢ = Σ g² / √(Σ_τ g²)`, over coordinates and over steps, takes AdaGrad's diagonal for the Hessian. It
    is divided by its first value that is not 0, and by no less than 1e-8 of itself. Not equivariant to rotations of
    the parameters. An absent task keeps its sums and its weight relative to others.

    Args:
        names: the tasks, in order.
        lr: step of the multiplicative update.

    Raises:
        ValueError: a step that is not positive; `init` without gradients.

    Source: He et al., "Robust multi-task learning with excess risks", ICML 2024, algorithm 1: weights sum to 1 as
    there (times T in LibMTL); the division by the first value is from the authors' code.
    """
    need_positive(lr=lr)

    def start(gradients: Any = None):
        root = buffers(gradients, names, "excess_mtl")
        return {"root": root, "first": jnp.zeros(len(names)), "log_weight": jnp.zeros(len(names))}

    def update(signals: Signals, state):
        present = signals.present
        # √(Σ_τ g²) by hypotenuses, since squares would leave the range of float32.
        added = jax.tree.map(lambda root, g: jnp.hypot(root, g.astype(root.dtype)), state["root"], signals.gradients)
        root = kept(present, added, state["root"])
        terms = jax.tree.map(lambda g, r: g * (g / jnp.where(r > 0, r, 1)), signals.gradients, root)
        excess = sum(jnp.sum(term, tuple(range(1, term.ndim))) for term in jax.tree.leaves(terms))
        first = kept(present, jnp.where(state["first"] > 0, state["first"], excess), state["first"])
        ratio = jnp.where(first > 0, excess / jnp.where(first > 0, first, 1), 0)
        # Not normalized in the state: each task's part is then its own, whoever else is present.
        moved = state["log_weight"] + lr * jnp.minimum(ratio, 1 / EPSILON)
        log_weight = kept(present, moved, state["log_weight"])
        weights = softmax(log_weight, present).astype(signals.losses.dtype)
        return weights, {"root": root, "first": first, "log_weight": log_weight}

    return Weighting(init=start, update=update, needs="gradients", levels=("parameters",))


def moco(
    names: tuple[str, ...],
    /,
    *,
    beta: float = 0.5,
    beta_sigma: float = 0.5,
    gamma: float = 0.1,
    gamma_sigma: float = 0.5,
    rho: float = 0.0,
) -> Weighting:
    """MGDA on tracked gradients: `Y ← Y - β(Y - g̃)`, `λ ← Π(λ - γ(Y Yᵀ + ρ I) λ)`, direction `Yᵀ λ`; `Π` onto Σλ = 1.

    `g̃ᵢ = Lᵢ gᵢ / ‖gᵢ‖`, where a loss below 1e-8 counts as 1e-8. In a task's step t the rates are `beta / t^beta_sigma`
    and, with the largest t among those present, `gamma / t^gamma_sigma`. Absent tasks keep their buffer, their count,
    and their share of `λ`; the present ones share the rest, and their weights are these shares scaled to sum 1.

    Args:
        names: the tasks, in order.
        beta: first rate of the buffer.
        beta_sigma: how fast that rate decays.
        gamma: first rate of `λ`.
        gamma_sigma: how fast that rate decays.
        rho: ℓ₂ regularization of `λ`.

    Raises:
        ValueError: a rate that is not positive, a negative decay or regularization; `init` without gradients.

    Source: Fernando et al., "Mitigating gradient bias in multi-objective learning: a provably convergent approach",
    ICLR 2023, algorithm 1. `Π` is the paper's projection (LibMTL takes a softmax, which stays near equal weights);
    `g̃`, where the paper has the plain gradient, and the decays are from the authors' code.
    """
    need_positive(beta=beta, gamma=gamma)
    need_nonnegative(beta_sigma=beta_sigma, gamma_sigma=gamma_sigma, rho=rho)

    def start(gradients: Any = None):
        buffer = buffers(gradients, names, "moco")
        return {
            "buffer": buffer,
            "count": jnp.zeros(len(names), jnp.int32),
            "share": jnp.full(len(names), 1 / len(names)),
        }

    def update(signals: Signals, state):
        present = signals.present
        count = state["count"] + present
        steps = jnp.maximum(count, 1).astype(signals.losses.dtype)
        length = norms(signals.gradients)
        target = scaled(signals.gradients, positive(signals.losses) / jnp.where(length > 0, length, 1))
        buffer = averaged(present, target, 1 - beta / steps**beta_sigma, state["buffer"])

        weights = among_present(state["share"], present)
        rate = gamma / jnp.max(steps, where=present, initial=1) ** gamma_sigma
        weights = project_simplex(weights - rate * (gram(buffer) @ weights + rho * weights), present)
        share = back_among_all(weights, state["share"], present)
        return weights.astype(signals.losses.dtype), {"buffer": buffer, "count": count, "share": share}

    return Weighting(init=start, update=update, needs="gradients", levels=("parameters",), direction=of_buffer)


def db_mtl(names: tuple[str, ...], /, *, beta: float = 0.9, sigma: float = 0.0) -> Weighting:
    """Dual balancing: gradients of log-losses, tracked and brought to one length, `Σ (max ‖Y‖ / ‖Yᵢ‖) Yᵢ`.

    In a task's step t, `Y ← g + (beta / t^sigma) (Y - g)` with `g = ∇L/L`; `Y` begins at 0 and no bias is corrected,
    which a common length makes unnecessary while all tasks are present. The weights are the ratios of lengths; the
    largest is over the tasks present. Losses must be positive; one below 1e-8 counts as 1e-8. Absent tasks keep their
    buffer and their count.

    Args:
        names: the tasks, in order.
        beta: first weight of the old buffer.
        sigma: how fast that weight decays.

    Raises:
        ValueError: a beta outside [0, 1), a negative sigma; `init` without gradients.

    Source: Lin et al., "Dual-balancing for multi-task learning", arXiv 2308.12029, algorithm 1.
    """
    need_nonnegative(beta=beta, sigma=sigma)
    if beta >= 1:
        raise ValueError(f"beta must be below 1, got {beta}")

    def start(gradients: Any = None):
        return {"buffer": buffers(gradients, names, "db_mtl"), "count": jnp.zeros(len(names), jnp.int32)}

    def update(signals: Signals, state):
        present = signals.present
        count = state["count"] + present
        steps = jnp.maximum(count, 1).astype(signals.losses.dtype)
        target = scaled(signals.gradients, 1 / positive(signals.losses))
        buffer = averaged(present, target, beta / steps**sigma, state["buffer"])
        length = jnp.where(present, norms(buffer), 0)
        ratio = jnp.where(length > 0, length.max() / jnp.where(length > 0, length, 1), 1)
        weights = jnp.where(present, ratio, 0).astype(signals.losses.dtype)
        return weights, {"buffer": buffer, "count": count}

    return Weighting(init=start, update=update, needs="gradients", levels=("parameters",), direction=of_buffer)


def of_buffer(gradients: Any, weights: Float[Array, "T"], state: Any) -> Any:
    """The direction of methods that follow the tracked gradients: these times the weights, in the gradients' dtypes."""
    total = weighted_sum(state["buffer"], weights)
    return jax.tree.map(lambda leaf, like: leaf.astype(like.dtype), total, gradients)


def buffers(gradients: Any, names: tuple[str, ...], method: str) -> Any:
    """Zeros like the gradients `[T, ...]`, at least float32."""
    if gradients is None:
        raise ValueError(f"{method} keeps something of the gradients' size: init needs them or their shapes, got None")
    for leaf in jax.tree.leaves(gradients):
        if leaf.shape[:1] != (len(names),):
            raise ValueError(f"gradients must have leaves [{len(names)}, ...], one row per task, got {leaf.shape}")
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.promote_types(leaf.dtype, jnp.float32)), gradients)


def scaled(gradients: Any, factors: Float[Array, "T"]) -> Any:
    """Each task's gradient times its factor."""
    return jax.tree.map(lambda leaf: leaf * by_task(factors, leaf), gradients)


def averaged(present: Bool[Array, "T"], new: Any, memory: Float[Array, "T"], old: Any) -> Any:
    """`new + memory (old - new)` for present tasks."""
    mean = jax.tree.map(lambda g, y: g.astype(y.dtype) + by_task(memory, y) * (y - g.astype(y.dtype)), new, old)
    return kept(present, mean, old)


def norms(gradients: Any) -> Float[Array, "T"]:
    """The length of each task's gradient, relative to its largest element, so that no square leaves float32's range."""
    leaves = [leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32)) for leaf in jax.tree.leaves(gradients)]
    axes = [tuple(range(1, leaf.ndim)) for leaf in leaves]
    largest = jnp.stack([jnp.max(jnp.abs(leaf), ax, initial=0) for leaf, ax in zip(leaves, axes, strict=True)]).max(0)
    unit = jnp.where(largest > 0, largest, 1)
    squares = [jnp.sum((leaf / by_task(unit, leaf)) ** 2, ax) for leaf, ax in zip(leaves, axes, strict=True)]
    return largest * jnp.sqrt(jnp.stack(squares).sum(0))


def gram(gradients: Any) -> Float[Array, "T T"]:
    """The inner products of the tasks' gradients."""

    def products(leaf: Float[Array, "T ..."]) -> Float[Array, "T T"]:
        axes = tuple(range(1, leaf.ndim))
        return jnp.tensordot(leaf, leaf, (axes, axes), precision="highest")

    return jnp.stack([products(leaf) for leaf in jax.tree.leaves(gradients)]).sum(0)

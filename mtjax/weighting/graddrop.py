"""GradDrop: where tasks disagree about a coordinate's sign, chance lets one sign through."""

from typing import Any

import jax
import jax.numpy as jnp

from mtjax.typing import Array, Float
from mtjax.weighting.base import Signals, Weighting


def graddrop(names: tuple[str, ...], /, *, leak: float = 0.0) -> Weighting:
    """Gradient sign dropout: each coordinate of the direction sums the gradients of one sign only.

    The positive ones with probability `P = ½ (1 + Σᵢgᵢ / Σᵢ|gᵢ|)`, otherwise the negative ones; so the mean over the
    draws is `P Σ gᵢ⁺ - (1-P) Σ gᵢ⁻`. With `leak`, the direction is that share of the plain sum and the rest of this.
    The weights are 1 for each present task; what is drawn hangs on the step's key, which the state carries from the
    update to the direction.

    At `level="features"` this is the paper's place, but here each element of each example draws for itself: the paper
    multiplies the gradients by the sign of the feature and sums over the batch before it compares signs.

    Args:
        names: the tasks, in order.
        leak: from 0 (one sign only) to 1 (the plain sum).

    Raises:
        ValueError: a leak outside [0, 1]; in `update`, signals without a key.

    Source: Chen et al., "Just pick a sign: optimizing deep multitask models with gradient sign dropout", NeurIPS 2020,
    equation 1 and algorithm 1.
    """
    del names
    if not 0 <= leak <= 1:
        raise ValueError(f"leak must be between 0 and 1, got {leak}")

    def update(signals: Signals, state):
        if signals.key is None:
            raise ValueError("graddrop draws what it drops: signals.key must be a key, got None")
        return signals.present.astype(signals.losses.dtype), {**state, "key": signals.key}

    def direction(gradients: Any, weights: Float[Array, "T"], state):
        def drop(index: int, leaf: Float[Array, "T ..."]) -> Float[Array, "..."]:
            dtype = jnp.promote_types(leaf.dtype, jnp.float32)
            plus = jnp.tensordot(weights.astype(dtype), jnp.maximum(leaf, 0).astype(dtype), 1)
            minus = jnp.tensordot(weights.astype(dtype), jnp.maximum(-leaf, 0).astype(dtype), 1)
            both = plus + minus
            purity = jnp.where(both > 0, plus / jnp.where(both > 0, both, 1), 0)  # P, as P = Σg⁺ / Σ|g|
            draw = jax.random.uniform(jax.random.fold_in(state["key"], index), leaf.shape[1:], dtype)
            picked = jnp.where(draw < purity, plus, -minus)
            return (leak * (plus - minus) + (1 - leak) * picked).astype(leaf.dtype)

        leaves, structure = jax.tree.flatten(gradients)
        return jax.tree.unflatten(structure, [drop(index, leaf) for index, leaf in enumerate(leaves)])

    return Weighting(
        init=lambda _=None: {"key": jax.random.key(0)}, update=update, needs="gradients", direction=direction
    )

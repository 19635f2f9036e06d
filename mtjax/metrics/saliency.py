"""Metrics of a map of what stands out: probabilities and targets in {0, 1}, `[B, H, W]` each."""

import jax
import jax.numpy as jnp
import numpy as np

from mtjax.metrics.accumulate import Pair
from mtjax.typing import Array, Float

LEVELS = 256
BETA2 = 0.3  # precision weighs more than recall (Achanta et al. 2009)

Map = Float[Array, "B H W"]


def mean_absolute_error(probability: Map, target: Map) -> Pair:
    """The mean absolute difference of each picture."""
    return jnp.mean(jnp.abs(probability - target), axis=(1, 2)), jnp.ones(len(target))


def level_counts(probability: Map, target: Map) -> tuple[Float[Array, "B 256"], Float[Array, "B 256"]]:
    """By gray level 0 ... 255 of the map: salient pixels that got it, and others; what `max_f` adds up."""
    level = jnp.clip(jnp.floor(probability * (LEVELS - 1)), 0, LEVELS - 1).astype(jnp.int32)
    count = jax.vmap(lambda level, weights: jnp.bincount(level.reshape(-1), weights.reshape(-1), length=LEVELS))
    salient = (target > 0.5).astype(jnp.float32)
    return count(level, salient), count(level, 1 - salient)


def max_f(salient: np.ndarray, others: np.ndarray) -> float:
    """The largest F-beta over thresholds 1 ... 255, beta² = 0.3, pixels of all pictures pooled; NaN if none is salient.

    NumPy arrays [N, 256], as from `level_counts`. Source: Achanta et al., "Frequency-tuned salient region detection",
    CVPR 2009, section 4.2.
    """
    right, wrong = (np.cumsum(counts.sum(0, dtype=np.float64)[::-1])[::-1] for counts in (salient, others))
    if right[0] == 0:
        return float("nan")
    # (1 + β²) P R / (β² P + R), with P = right / found and R = right / all
    return float(np.max((1 + BETA2) * right[1:] / (BETA2 * right[0] + (right + wrong)[1:])))

"""Metrics of labels that do not exclude each other: logits and targets in {0, 1}, `[B, K]` each."""

import jax.numpy as jnp
import numpy as np

from mtjax.metrics.accumulate import Pair
from mtjax.typing import Array, Float

Labels = Float[Array, "B K"]


def exact_match(logits: Labels, target: Labels) -> Pair:
    """The share of examples with every label right, where a logit above 0 says yes."""
    right = jnp.all((logits > 0) == (target > 0.5), axis=-1)
    return right.astype(jnp.float32), jnp.ones(len(logits))


def micro_f1(logits: Labels, target: Labels) -> Pair:
    """F1 = 2 TP / (2 TP + FP + FN) of all answers to all examples together, [B] each."""
    twice, said = macro_f1(logits, target)
    return twice.sum(-1), said.sum(-1)


def macro_f1(logits: Labels, target: Labels) -> Pair:
    """F1 of each class over the data set, [B, K] each; classes neither given nor present are left out of the mean."""
    given, true = (logits > 0).astype(jnp.float32), (target > 0.5).astype(jnp.float32)
    return 2 * given * true, given + true


def mean_average_precision(scores: np.ndarray, target: np.ndarray) -> float:
    """The mean over classes that occur of `average_precision`; NaN if none does. NumPy arrays [N, K]."""
    occurs = np.flatnonzero(target.any(0))
    return float(np.mean([average_precision(scores[:, k], target[:, k]) for k in occurs])) if len(occurs) else np.nan


def average_precision(scores: np.ndarray, target: np.ndarray) -> float:
    """Σ (recallₙ - recallₙ₋₁) precisionₙ over thresholds from the highest score down; equal scores enter together.

    NumPy arrays [N]; at least one target is 1.
    """
    order = np.argsort(-scores, kind="stable")
    scores, right = scores[order], np.cumsum(target[order] > 0.5)
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)  # of each run of equal scores
    recall, precision = right[last] / right[-1], right[last] / (last + 1)
    return float(np.sum(np.diff(recall, prepend=0) * precision))

"""Metrics of one label per example, as (sum, count) pairs. A label below 0 marks an example without one."""

import jax
import jax.numpy as jnp

from mtjax.metrics.accumulate import Pair
from mtjax.typing import Array, Float, Int

Logits = Float[Array, "B K"]
Labels = Int[Array, "B"]


def accuracy(logits: Logits, labels: Labels) -> Pair:
    """The share of examples whose highest score is their label's."""
    return top_k_accuracy(logits, labels, k=1)


def top_k_accuracy(logits: Logits, labels: Labels, *, k: int) -> Pair:
    """The share of examples whose label is among the `k` highest scores; of equal ones the lower class comes first."""
    if not 1 <= k <= logits.shape[-1]:
        raise ValueError(f"k must be from 1 to the number of classes, {logits.shape[-1]}; got {k}")
    _, best = jax.lax.top_k(logits, k)
    count = (labels >= 0).astype(logits.dtype)
    return jnp.any(best == labels[:, None], axis=-1) * count, count


def precision(logits: Logits, labels: Labels) -> Pair:
    """Macro precision, [B, K] each: of the examples given a class, those that have it.

    Classes never given are left out of the mean.
    """
    predicted, true = _one_hot(logits, labels)
    return predicted * true, predicted


def recall(logits: Logits, labels: Labels) -> Pair:
    """Macro recall, [B, K] each: of the examples that have a class, those given it.

    Classes without examples are left out of the mean.
    """
    predicted, true = _one_hot(logits, labels)
    return predicted * true, true


def f1(logits: Logits, labels: Labels) -> Pair:
    """Macro F1 = 2 TP / (2 TP + FP + FN), [B, K] each; classes neither given nor present are left out."""
    predicted, true = _one_hot(logits, labels)
    return 2 * predicted * true, predicted + true


def _one_hot(logits: Logits, labels: Labels) -> tuple[Float[Array, "B K"], Float[Array, "B K"]]:
    classes = logits.shape[-1]
    counts = (labels >= 0)[:, None].astype(logits.dtype)
    predicted = jax.nn.one_hot(jnp.argmax(logits, axis=-1), classes, dtype=logits.dtype) * counts
    return predicted, jax.nn.one_hot(labels, classes, dtype=logits.dtype)

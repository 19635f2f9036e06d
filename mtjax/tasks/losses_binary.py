"""Losses of answers that are each yes or no: labels that do not exclude each other, maps of one thing.

`(logits [B, ...], target [B, ...]) -> [B]`, targets in {0, 1}.
"""

import jax
import jax.numpy as jnp

from mtjax.typing import Array, Float, PerExample

Answers = Float[Array, "B *shape"]


def bce(logits: Answers, target: Answers, /) -> PerExample:
    """The mean binary cross-entropy."""
    return _mean(jax.nn.softplus(logits) - logits * target)


def binary_focal(logits: Answers, target: Answers, /, *, gamma: float = 2.0, alpha: float = 0.25) -> PerExample:
    """The mean of `sigmoid_focal`."""
    return _mean(sigmoid_focal(logits, target, gamma=gamma, alpha=alpha))


def soft_iou(logits: Answers, target: Answers, /) -> PerExample:
    """1 - Σpt / (Σp + Σt - Σpt), with 1 added above and below the line, so that nothing found in nothing is right.

    Source: Rahman and Wang, "Optimizing intersection-over-union in deep neural networks for image segmentation", ISVC
    2016, equation 3.
    """
    axes = tuple(range(1, target.ndim))
    probability = jax.nn.sigmoid(logits)
    common = jnp.sum(probability * target, axes)
    return 1 - (common + 1) / (jnp.sum(probability + target, axes) - common + 1)


def sigmoid_focal(
    logits: Float[Array, "*s"], target: Float[Array, "*s"], *, gamma: float = 2.0, alpha: float = 0.25
) -> Float[Array, "*s"]:
    """Each binary cross-entropy times (1 - p)^gamma for the true side's probability p, and `alpha` of it for ones.

    Source: Lin et al., "Focal loss for dense object detection", ICCV 2017, equation 5.
    """
    if gamma < 0 or not 0 <= alpha <= 1:
        raise ValueError(f"gamma must be 0 or more and alpha in [0, 1], got {gamma} and {alpha}")
    wrong = (1 - 2 * target) * logits  # the logit of the other side
    side = alpha * target + (1 - alpha) * (1 - target)
    # (1 - p)^gamma as an exponential: a power below 1 has no finite slope where a sure and right answer makes it 0.
    return side * jnp.exp(gamma * jax.nn.log_sigmoid(wrong)) * jax.nn.softplus(wrong)


def _mean(values: Answers) -> PerExample:
    return jnp.mean(values, axis=tuple(range(1, values.ndim)))

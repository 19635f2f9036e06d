"""Losses: `(prediction, target) -> [B]`, one value per example. Logits go in, not probabilities.

Gradients are finite everywhere, also where prediction and target are equal and where a class or a boundary is absent.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from mtjax.metrics.image import ms_ssim, ssim
from mtjax.metrics.segmentation import known
from mtjax.registry import ConfigError, accepted, lookup, nearest
from mtjax.tasks.losses_binary import bce, binary_focal, soft_iou
from mtjax.tasks.losses_geometry import cosine, depth_edges, end_point, silog
from mtjax.tasks.losses_image import frequency, gradient
from mtjax.typing import Array, Float, Int, PerExample

Values = Float[Array, "B *shape"]
Logits = Float[Array, "B *shape K"]
Labels = Int[Array, "B *shape"]
Images = Float[Array, "B H W C"]
Loss = Callable[[Any, Any], PerExample]


def l1(prediction: Values, target: Values, /) -> PerExample:
    """The mean absolute difference."""
    return _mean(jnp.abs(prediction - target))


def l2(prediction: Values, target: Values, /) -> PerExample:
    """The mean squared difference."""
    return _mean(jnp.square(prediction - target))


def charbonnier(prediction: Values, target: Values, /, *, epsilon: float = 1e-3) -> PerExample:
    """The mean of sqrt(difference² + epsilon²) (Charbonnier et al. 1994): L1, but smooth below `epsilon`."""
    return _mean(jnp.sqrt(jnp.square(prediction - target) + epsilon**2))


def ssim_loss(prediction: Images, target: Images, /) -> PerExample:
    """1 - SSIM; see `mtjax.metrics.ssim`."""
    return 1 - ssim(prediction, target)


def ms_ssim_loss(prediction: Images, target: Images, /) -> PerExample:
    """1 - MS-SSIM, with as many scales as the image has room for; see `mtjax.metrics.ms_ssim`."""
    return 1 - ms_ssim(prediction, target)


def cross_entropy(logits: Logits, labels: Labels, /, *, smoothing: float = 0.0) -> PerExample:
    """The mean cross-entropy over labels that are known: neither below 0 nor 255. 0 if an example has none.

    `smoothing` moves that share of each target's mass evenly to all K classes (Szegedy et al. 2016).
    """
    if not 0 <= smoothing < 1:
        raise ValueError(f"smoothing must be in [0, 1), got {smoothing}")
    log_probability = jax.nn.log_softmax(logits)
    wrong = -_at_label(log_probability, labels)
    return _mean_known((1 - smoothing) * wrong - smoothing * jnp.mean(log_probability, axis=-1), labels)


def focal(logits: Logits, labels: Labels, /, *, gamma: float = 2.0) -> PerExample:
    """The cross-entropy, each term times (1 - p)^gamma for the label's probability p (Lin et al. 2017, eq. 4)."""
    if gamma < 0:
        raise ValueError(f"gamma must be 0 or more, got {gamma}")
    log_probability = _at_label(jax.nn.log_softmax(logits), labels)
    # 1 - p is 0 for a sure and right prediction; a power below 1 has no finite slope there.
    doubt = jnp.maximum(-jnp.expm1(log_probability), jnp.finfo(logits.dtype).eps)
    return _mean_known(-(doubt**gamma) * log_probability, labels)


def dice(logits: Logits, labels: Labels, /, *, smooth: float = 1.0) -> PerExample:
    """1 - the soft Dice overlap 2 Σpt / (Σp + Σt) (Milletari et al. 2016), mean over the classes in the example.

    `smooth` is added above and below the fraction line. Void labels count nowhere; 0 if an example has no known label.
    """
    classes = logits.shape[-1]
    counts = known(labels)[..., None].astype(logits.dtype)
    probability = jax.nn.softmax(logits) * counts
    true = jax.nn.one_hot(labels, classes, dtype=logits.dtype) * counts
    axes = tuple(range(1, logits.ndim - 1))
    overlap = 2 * jnp.sum(probability * true, axes) + smooth
    loss = 1 - overlap / (jnp.sum(probability, axes) + jnp.sum(true, axes) + smooth)
    present = jnp.any(true > 0, axis=axes)
    return jnp.sum(loss * present, axis=-1) / jnp.maximum(jnp.sum(present, axis=-1), 1)


def balanced_bce(logits: Values, target: Values, /) -> PerExample:
    """Binary cross-entropy in which boundary and rest weigh the same in each example (Xie and Tu 2015, eq. 2).

    The share of the rarer side is taken to be at least 5 %, so that an image without any boundary still teaches. The
    result is the weighted mean over pixels.
    """
    axes = tuple(range(1, target.ndim))
    rest = jnp.clip(jnp.mean(1 - target, axis=axes, keepdims=True), 0.05, 0.95)
    weight = rest * target + (1 - rest) * (1 - target)
    entropy = jax.nn.softplus(logits) - logits * target
    return jnp.sum(weight * entropy, axis=axes) / jnp.sum(weight, axis=axes)


LOSSES: dict[str, Loss] = {
    "balanced_bce": balanced_bce,
    "bce": bce,
    "binary_focal": binary_focal,
    "charbonnier": charbonnier,
    "cosine": cosine,
    "cross_entropy": cross_entropy,
    "depth_edges": depth_edges,
    "dice": dice,
    "end_point": end_point,
    "focal": focal,
    "frequency": frequency,
    "gradient": gradient,
    "l1": l1,
    "l2": l2,
    "ms_ssim": ms_ssim_loss,
    "silog": silog,
    "soft_iou": soft_iou,
    "ssim": ssim_loss,
}


def build(spec: str | Mapping[str, Any]) -> Loss:
    """The loss that a config names: "l1"; `{"kind": "focal", "gamma": 1}`; a weighted sum `{"l1": 1, "ssim": 0.2}`.

    Raises:
        ConfigError: an unknown name or parameter, with the nearest one, or an empty sum.
    """
    if isinstance(spec, str):
        return lookup(LOSSES, spec, "loss")
    if "kind" in spec:
        loss = lookup(LOSSES, spec["kind"], "loss")
        parameters = {name: value for name, value in spec.items() if name != "kind"}
        for name in parameters:
            if name not in accepted(loss):
                raise ConfigError(
                    f"unknown parameter {name!r} of loss {spec['kind']!r}; {nearest(name, accepted(loss))}"
                )
        return functools.partial(loss, **parameters)
    if not spec:
        raise ConfigError("an empty loss; name at least one, as in {'l1': 1.0}")
    terms = [(float(weight), lookup(LOSSES, name, "loss")) for name, weight in spec.items()]

    def weighted_sum(prediction: Any, target: Any, /) -> PerExample:
        return functools.reduce(jnp.add, (weight * loss(prediction, target) for weight, loss in terms))

    return weighted_sum


def _mean(values: Values) -> PerExample:
    return jnp.mean(values, axis=tuple(range(1, values.ndim)))


def _mean_known(values: Values, labels: Labels) -> PerExample:
    axes = tuple(range(1, values.ndim))
    counts = known(labels)
    return jnp.sum(jnp.where(counts, values, 0), axis=axes) / jnp.maximum(jnp.sum(counts, axis=axes), 1)


def _at_label(log_probability: Logits, labels: Labels) -> Values:
    index = jnp.where(known(labels), labels, 0)
    return jnp.take_along_axis(log_probability, index[..., None], axis=-1)[..., 0]

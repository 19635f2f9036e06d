"""A small classifier of the data, trained on the spot: what made images are judged by.

It shares nothing with the network that makes them. Its features stand in for those of a network that is downloaded, so
distances in them compare methods on one data set, and say nothing beside numbers from elsewhere.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from mtjax.data import Source, augment, to_device_batch
from mtjax.data.pipeline import TrainBatches
from mtjax.models.layers import ConvNormAct
from mtjax.typing import Array, Batch, Float, Params, PerExample

WIDTHS = (32, 64, 128)  # channels at strides 2, 4, 8
FEATURES = 64
STEPS, BATCH, RATE = 600, 64, 3e-3
SEED = 0


class Network(nn.Module):
    """Three convolutions, the mean over the picture, and a hidden layer: the features. Then logits of each field."""

    classes: Mapping[str, int]

    @nn.compact
    def __call__(self, image: Float[Array, "B H W C"]) -> tuple[Float[Array, "B d"], dict[str, Float[Array, "B _k"]]]:
        """Returns features, and logits by field."""
        x = 2 * image - 1
        for width in WIDTHS:
            x = ConvNormAct(width, stride=2)(x)
        features = nn.gelu(nn.Dense(FEATURES, name="features")(x.mean((1, 2))))
        return features, {field: nn.Dense(count, name=field)(features) for field, count in self.classes.items()}


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A trained network."""

    network: Network
    params: Params

    @functools.cached_property
    def _apply(self) -> Any:
        return jax.jit(lambda params, image: self.network.apply({"params": params}, image))

    def __call__(self, images: Float[np.ndarray, "N H W C"]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Features `[N, d]` of images in [0, 1], and by field their most likely classes `[N]`."""
        found = []
        for start in range(0, len(images), BATCH):
            part = images[start : start + BATCH]
            filled = np.concatenate([part, np.zeros((BATCH - len(part), *part.shape[1:]), part.dtype)])
            features, logits = jax.device_get(self._apply(self.params, filled))
            best = {field: value.argmax(-1) for field, value in logits.items()}
            found.append(jax.tree.map(lambda x, part=part: x[: len(part)], (features, best)))
        return jax.tree.map(lambda *parts: np.concatenate(parts), *found)


def class_fields(source: Source) -> dict[str, int]:
    """By field of the data that holds one class per picture, the number of classes."""
    info = source.info
    return {field: len(names) for field, names in info.class_names.items() if info.fields.get(field) == ()}


def train_classifier(source: Source, augmentation: Mapping[str, Any], steps: int = STEPS) -> Classifier:
    """A classifier of all class fields of a source, a function of the source alone.

    `augmentation` is `config.data.augment`, of which only what evaluation does too is done.

    Raises:
        ValueError: no field of the source holds a class per picture.
    """
    classes = class_fields(source)
    if not classes:
        raise ValueError(f"{source.info.name} has no field with a class per picture to train a classifier on")
    network = Network(classes)
    optimizer = optax.adam(optax.cosine_decay_schedule(RATE, steps))

    def loss(params: Params, batch: Batch) -> Array:
        said: Any = network.apply({"params": params}, batch["image"])
        _, logits = said
        return sum((_cross_entropy(logits[field], batch, field) for field in classes), jnp.zeros(()))

    @jax.jit
    def update(params: Params, state: Any, batch: Batch) -> tuple[Params, Any]:
        batch = prepared(batch, augmentation)
        changes, state = optimizer.update(jax.grad(loss)(params, batch), state)
        return optax.apply_updates(params, changes), state

    @jax.jit
    def first() -> tuple[Params, Any]:
        params = network.init(jax.random.key(SEED), jnp.zeros((1, *source.info.image_shape)))["params"]
        return params, optimizer.init(params)

    params, state = first()
    batches = TrainBatches(source, min(BATCH, len(source)), SEED)
    try:
        for _ in range(steps):
            params, state = update(params, state, next(batches))
    finally:
        batches.close()
    return Classifier(network, params)


def prepared(batch: Batch, augmentation: Mapping[str, Any]) -> Batch:
    """A batch of the source as evaluation sees it: images in [0, 1], normalized if the config says so."""
    keys = jax.random.split(jax.random.key(SEED), len(batch["image"]))
    return augment(keys, to_device_batch(batch), augmentation, train=False)


def _cross_entropy(logits: Float[Array, "B K"], batch: Batch, field: str) -> Array:
    """The mean over the examples that have the field."""
    valid = batch["valid"][field]
    each: PerExample = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.where(valid, batch[field], 0))
    return jnp.sum(jnp.where(valid, each, 0)) / jnp.maximum(valid.sum(), 1)

"""A trained head as a method of a protocol: on whole pictures of any size, with the protocol's own operator."""

from typing import Any

import jax
import jax.numpy as jnp

from mtjax.compare.protocols.methods import plug_and_play
from mtjax.compare.protocols.protocol import Method
from mtjax.physics import Identity, Observed
from mtjax.registry import ConfigError, nearest
from mtjax.train import Trained


def trained_method(trained: Trained, task: str | None) -> Method:
    """The head of a task that gives an image (default: the only one).

    Whatever operator it was trained with, it is told the protocol's and the noise's true level. One that was trained to
    take away noise alone is, where there is more than noise, the denoiser of DPIR's schedule (plug and play).
    A network of one channel restores those of a picture one by one; one of three sees a gray picture three times.

    Raises:
        ConfigError: there is no such task.
    """
    images = [name for name, known in trained.tasks.items() if known.restored is not None and known.samples is None]
    if task is None and len(images) == 1:
        task = images[0]
    if task not in images:
        raise ConfigError(f"--task={task} is no task of this network that gives an image; {nearest(str(task), images)}")
    observation = trained.tasks[task].observation
    denoises = trained.config.observations[observation].operator.kind == "identity"
    channels = trained.source_info.image_shape[-1]
    part, restored = trained.model.reading(observation), trained.tasks[task].restored
    assert restored is not None

    def apply(params: Any, y: Any, operator: Any, sigma: Any) -> Any:
        level = jnp.broadcast_to(jnp.asarray(sigma, jnp.float32), (len(y), 1, 1, 1))
        observed = Observed(y, operator, level)
        return restored(part.apply(params, {observation: observed})[task])

    def run(params: Any, y: Any, operator: Any, sigma: Any, value: Any) -> Any:
        del value
        if isinstance(operator, Identity) or not denoises:
            return by_channels(lambda batch: apply(params, batch, operator, sigma), y, operator, channels)

        def denoise(image: Any, level: Any) -> Any:
            return by_channels(lambda batch: apply(params, batch, Identity(), level), image, Identity(), channels)

        return plug_and_play(denoise, y, operator, sigma)

    note = f"{trained.tasks[task].head['kind']} head after {trained.step} steps"
    return Method(f"trained: {task}", jax.tree_util.Partial(run, trained.params), channels=channels, note=note)


def by_channels(network: Any, y: Any, operator: Any, channels: int) -> Any:
    """The image `[H, W, C]` from `y` by a network of batches `[B, h, w, channels]`."""
    own = operator.input_shape(y.shape)[-1]
    if own == channels:
        return network(y[None])[0]
    if own != y.shape[-1] or 1 not in (own, channels):
        raise ValueError(f"a network of {channels} channels cannot read {type(operator).__name__} of {own}")
    if channels == 1:
        return jnp.moveaxis(network(jnp.moveaxis(y, -1, 0)[..., None])[..., 0], 0, -1)
    return jnp.mean(network(jnp.repeat(y[None], channels, -1))[0], -1, keepdims=True)

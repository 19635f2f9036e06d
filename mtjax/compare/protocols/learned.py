"""A trained network as a method of a protocol: on whole pictures of any size, with the protocol's own operator."""

from typing import Any

import jax
import jax.numpy as jnp
from flax.errors import ScopeParamShapeError

from mtjax.compare.protocols.methods import plug_and_play
from mtjax.compare.protocols.protocol import CannotError, Method
from mtjax.physics import Identity, Observed, observe
from mtjax.registry import ConfigError, nearest
from mtjax.train import Trained


def trained_method(trained: Trained, task: str | None = None) -> Method:
    """The head of a task that gives an image; without `task` the one for what was observed, or the only one.

    Whatever operator it was trained with, it is told the protocol's and the noise's true level. One that was trained to
    take away noise alone is, where there is more than noise, the denoiser of DPIR's schedule (plug and play).
    A network of one channel restores those of a picture one by one; one of three sees a gray picture three times.

    Raises:
        ConfigError: there is no such task.
    """
    images = [name for name, known in trained.tasks.items() if known.restored is not None and known.samples is None]
    if task is not None and task not in images:
        raise ConfigError(f"--task={task} is no task of this network that gives an image; {nearest(task, images)}")
    if not images:
        raise ConfigError(f"no task of this network gives an image; it has {', '.join(trained.tasks)}")
    names = [task] if task else images
    channels = trained.source_info.image_shape[-1]

    def apply(params: Any, name: str, y: Any, operator: Any, sigma: Any) -> Any:
        observation, restored = trained.tasks[name].observation, trained.tasks[name].restored
        assert restored is not None
        level = jnp.broadcast_to(jnp.asarray(sigma, jnp.float32), (len(y), 1, 1, 1))
        observed = {observation: Observed(y, operator, level)}
        try:
            return restored(trained.model.reading(observation).apply(params, observed)[name])
        except ScopeParamShapeError as error:
            raise CannotError(f"task {name} was trained for another {type(operator).__name__}") from error

    def run(params: Any, y: Any, operator: Any, sigma: Any, value: Any) -> Any:
        del value
        name = head_for(trained, names, y, operator)
        if isinstance(operator, Identity) or not denoises(trained, name):
            return by_channels(lambda batch: apply(params, name, batch, operator, sigma), y, operator, channels)

        def denoise(image: Any, level: Any) -> Any:
            return by_channels(lambda batch: apply(params, name, batch, Identity(), level), image, Identity(), channels)

        return plug_and_play(denoise, y, operator, sigma)

    heads = ", ".join(dict.fromkeys(trained.tasks[name].head["kind"] for name in names))
    note = f"{heads} head after {trained.step} steps"
    name = f"trained {trained.config.model.encoder.kind}: {', '.join(names)}"
    return Method(name, jax.tree_util.Partial(run, trained.params), channels=channels, note=note)


def denoises(trained: Trained, name: str) -> bool:
    """Whether a task was trained on nothing but noise."""
    return trained.config.observations[trained.tasks[name].observation].operator.kind == "identity"


def head_for(trained: Trained, names: list[str], y: Any, operator: Any) -> str:
    """The only task of `names`, or the one whose own observation is made like `y`: by such an operator, as large.

    Raises:
        CannotError: of several tasks none is, or more than one.
    """
    if len(names) == 1:
        return names[0]

    def alike(name: str) -> bool:
        node = trained.config.observations[trained.tasks[name].observation]
        blank = jax.ShapeDtypeStruct((1, *operator.input_shape(y.shape)), jnp.float32)
        keys = jax.random.split(jax.random.key(0), 1)
        try:
            own = jax.eval_shape(lambda image: observe(node, keys, image), blank)
        except ValueError:  # that observation cannot be made of an image of this size
            return False
        return type(own.operator) is type(operator) and own.y.shape == (1, *y.shape)

    found = [name for name in names if alike(name)]
    if len(found) != 1:
        what = f"{type(operator).__name__} of {'×'.join(map(str, y.shape[:2]))} pixels"
        raise CannotError(
            f"{', '.join(found) or 'none'} of the tasks {', '.join(names)} read such a {what}; give --task"
        )
    return found[0]


def by_channels(network: Any, y: Any, operator: Any, channels: int) -> Any:
    """The image `[H, W, C]` from `y` by a network of batches `[B, h, w, channels]`."""
    own = operator.input_shape(y.shape)[-1]
    if own == channels:
        return network(y[None])[0]
    if own != y.shape[-1] or 1 not in (own, channels):
        raise CannotError(f"a network of {channels} channels cannot read {type(operator).__name__} of {own}")
    if channels == 1:
        return jnp.moveaxis(network(jnp.moveaxis(y, -1, 0)[..., None])[..., 0], 0, -1)
    return jnp.mean(network(jnp.repeat(y[None], channels, -1))[0], -1, keepdims=True)

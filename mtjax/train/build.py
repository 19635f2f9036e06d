"""From a config to the things it names."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from mtjax import weighting
from mtjax.data.augment import OFF, checked
from mtjax.data.fields import OBSERVED, SourceInfo
from mtjax.models import ENCODERS, HEADS, SHARINGS, MultiTask
from mtjax.physics import observe
from mtjax.registry import ConfigError, accepted, lookup, nearest
from mtjax.tasks import TASKS, Task
from mtjax.train import optimizers
from mtjax.train.balancing import Balancing
from mtjax.train.step import Experiment

PRECISIONS = {"float32": None, "bfloat16": jnp.bfloat16}


def parameters(node: Mapping[str, Any]) -> dict[str, Any]:
    """A config node without its `kind`, as plain dicts."""
    plain = node.to_dict() if isinstance(node, ConfigDict) else node
    return {key: value for key, value in plain.items() if key != "kind"}


def build_tasks(config: Any, info: SourceInfo) -> dict[str, Task]:
    """The tasks of a config, in its order."""
    return {
        name: lookup(TASKS, node.kind, f"tasks.{name}.kind")(name, info, **parameters(node))
        for name, node in config.tasks.items()
    }


def fused_channels(config: Any, info: SourceInfo, read: set[str]) -> dict[str, int]:
    """By field that the encoder is told by any of the observations `read`, the channels of its maps.

    Raises:
        ConfigError: an observation names a field that the data has not, or fuses one that is no map.
    """
    channels = {}
    for name in sorted(read):
        node = config.observations[name]
        check_clip(name, node, info)
        check_observed(name, node, info, config)
        for key in ("fused", "given"):
            for field in node.get(key, ()):
                if field not in info.fields:
                    raise ConfigError(
                        f"observations.{name}.{key}: {info.name} has no field {field!r}; {nearest(field, info.fields)}"
                    )
                shape = info.fields[field]
                if key == "fused" and len(shape) not in (2, 3):
                    raise ConfigError(f"observations.{name}.fused: {field!r} of shape {shape} is no map; see `given`")
                if key == "fused":
                    channels[field] = (*shape, 1)[2] + 1
    return channels


def check_clip(name: str, node: Any, info: SourceInfo) -> None:
    """Raises a ConfigError where an observation is of a clip that the data has not, or of more or fewer frames."""
    field, operator = node.get("clip"), node["operator"]
    if not field:
        return
    if field not in info.fields:
        raise ConfigError(
            f"observations.{name}.clip: {info.name} has no field {field!r}; {nearest(field, info.fields)}"
        )
    shape = info.fields[field]
    if len(shape) != 4:
        raise ConfigError(f"observations.{name}.clip: {field!r} of shape {shape} is no clip [T, H, W, C]")
    if operator["kind"] != "burst" or operator["frames"] != shape[0]:
        wanted = f'operator=dict(kind="burst", frames={shape[0]})'
        raise ConfigError(f"observations.{name}: a clip of {shape[0]} frames, {field!r}, needs {wanted}")


def check_observed(name: str, node: Any, info: SourceInfo, config: Any) -> None:
    """Raises a ConfigError where an observation cannot be what the data says was observed.

    The data has no such field, or one of another shape than what the operator gives; or augmentation would move the
    image and not what was observed of it.
    """
    field, where = node.get("observed"), f"observations.{name}.observed"
    if not field:
        return
    if field not in info.fields:
        raise ConfigError(f"{where}: {info.name} has no field {field!r}; {nearest(field, info.fields)}")
    if node.get("clip"):
        raise ConfigError(f"{where}={field!r} beside clip={node['clip']!r}: expected only one of them")
    image = jax.ShapeDtypeStruct((1, *info.image_shape), jnp.float32)
    drawn = jax.eval_shape(lambda x: observe(node, jax.random.split(jax.random.key(0), 1), x).y, image)
    if info.fields[field] != drawn.shape[1:] or drawn.ndim != 4:
        both = f"{info.fields[field]}, and the operator {node['operator']['kind']!r} gives {drawn.shape[1:]}"
        raise ConfigError(f"{where}: {field!r} is of shape {both}")
    for key, value in checked(config.data.get("augment", {})).items():
        if value != OFF[key] and (key, field) != ("flip", OBSERVED):
            raise ConfigError(f"data.augment.{key}={value} changes the image, not {field!r}; {where} wants {OFF[key]}")


def build_model(config: Any, tasks: Mapping[str, Task], fused: Mapping[str, int] = {}) -> MultiTask:
    """The encoder, its sharing and a head per task; `fused` as from `fused_channels`."""
    dtype = lookup(PRECISIONS, config.train.precision, "train.precision")
    encoder, sharing = config.model.encoder, config.model.sharing
    heads = {
        name: lookup(HEADS, task.head["kind"], f"tasks.{name}.head.kind")(dtype, task.outputs, **parameters(task.head))
        for name, task in tasks.items()
    }
    return MultiTask(
        encoder=lookup(ENCODERS, encoder.kind, "model.encoder.kind")(dtype, **parameters(encoder)),
        sharing=lookup(SHARINGS, sharing.kind, "model.sharing.kind")(tuple(tasks), **parameters(sharing)),
        heads=heads,
        reads={name: task.observation for name, task in tasks.items()},
        fused=fused,
        remat=config.train.get("remat", False),  # workdirs from before there was such a key
    )


def build_balancing(node: Any, tasks: tuple[str, ...], model: MultiTask) -> Balancing:
    """The weighting of a config, with its wrappers, and how the step serves it."""
    params = parameters(node)
    served = {key: params.pop(key) for key in ("level", "chunk", "low_memory", "every")}
    smoothing, preference = params.pop("smoothing"), params["preference"]
    by_name = isinstance(preference, Mapping)
    preference = {k: float(v) for k, v in preference.items()} if by_name else [float(v) for v in preference]
    params["preference"] = preference
    own = "preference" in accepted(lookup(weighting.WEIGHTINGS, node.kind, "weighting.kind"))
    if not own:
        del params["preference"]
    method = weighting.make(node.kind, names=tasks, **params)
    if preference and not own:
        method = weighting.preferred(method, tasks, preference)
    if smoothing:
        method = weighting.smoothed(method, tasks, smoothing)
    return Balancing(method, **served).check(node.kind, model)


def build(config: Any, info: SourceInfo, num_examples: int) -> Experiment:
    """Everything the step needs.

    Args:
        config: the resolved config.
        info: what is known of the data.
        num_examples: examples in the training split; an epoch is as many steps as they fill batches.
    """
    tasks = build_tasks(config, info)
    read = {task.observation for task in tasks.values()}
    model = build_model(config, tasks, fused_channels(config, info, read))
    return Experiment(
        model=model,
        tasks=tasks,
        observations={name: node for name, node in config.observations.items() if name in read},
        balancing=build_balancing(config.weighting, tuple(tasks), model),
        optimizer=optimizers.make(config.optimizer, config.train.steps, tuple(tasks)),
        augmentation=config.data.get("augment", {}),
        steps_per_epoch=max(num_examples // config.data.batch_size, 1),
    )

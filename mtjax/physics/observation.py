"""One observation `y = A x + e`, and how a training step makes a batch of them from a config's description."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax

from mtjax.physics.frames import Frames
from mtjax.physics.noise import Noise
from mtjax.physics.operator import Operator
from mtjax.pytree import pytree
from mtjax.registry import lookup
from mtjax.typing import Array, Bool, Float, Image, Keys, PRNGKeyArray


@pytree
class Observation:
    """A forward model: `operator`, then `noise`; called as `(key, x) -> y`."""

    operator: Operator
    noise: Noise

    def __call__(self, key: PRNGKeyArray, x: Image, /) -> Any:
        """One draw of `noise(key, A x)`."""
        return self.noise(key, self.operator(x))


@pytree
class Observed:
    """What solvers and networks both read: `y` `[B, h, w, C]`, how it came about, and how noisy it is.

    Networks may be told more than `y`, by the name of a batch's field: `fused` goes into the encoder with it, as maps
    `[B, h, w, c + 1]` whose last channel is 1 where the example has the field, and which are 0 where it has not;
    `given` is for the heads alone, as values `[B, ...]` and whether each example has them `[B]`.
    """

    y: Any
    operator: Operator
    noise_level: Float[Array, "..."]  # standard deviation, broadcastable to [B, 1, 1, 1]
    fused: dict[str, Float[Array, "B h w _c"]] = dataclasses.field(default_factory=dict)
    given: dict[str, tuple[Any, Bool[Array, "B"]]] = dataclasses.field(default_factory=dict)


def observe(spec: Mapping[str, Any], keys: Keys, image: Float[Array, "B *T H W C"], /) -> Observed:
    """Observes a batch as `spec` says: `{"operator": {"kind", ...}, "noise": {"kind", ...}}` (`OPERATORS`, `NOISES`).

    All randomness of example i, of its operator as of its noise, is a function of `keys[i]`. A clip `[B, T, H, W, C]`
    is observed frame by frame, by an operator of kind burst with as many. ValueError, with the nearest name, for an
    unknown kind.
    """
    from mtjax import physics  # the tables stand in the package's __init__, which imports this file

    operator_keys, noise_parameter_keys, noise_keys = (
        jax.vmap(lambda key, part=part: jax.random.fold_in(key, part))(keys) for part in range(3)
    )
    operator = _build(physics.OPERATORS, spec["operator"], "operator", operator_keys, image.shape[-3:])
    noise = _build(physics.NOISES, spec.get("noise", {"kind": "none"}), "noise", noise_parameter_keys)
    clean = operator(image) if image.ndim == 4 else _each_frame(operator, image)
    level = jax.vmap(lambda model, one: model.level(one))(noise, clean)
    y = jax.vmap(lambda model, key, one: model(key, one))(noise, noise_keys, clean)
    return Observed(y, operator, level.reshape(len(image), *(level.shape[1:] or (1, 1, 1))))


def _each_frame(operator: Operator, clip: Float[Array, "B T H W C"]) -> Any:
    if not isinstance(operator, Frames):
        raise ValueError(f"a clip is observed by an operator of kind burst, not by {type(operator).__name__}")
    return operator.of_clip(clip)


def _build(registry: dict[str, Any], spec: Mapping[str, Any], where: str, keys: Keys, *shape: Any) -> Any:
    params = dict(spec)
    return lookup(registry, params.pop("kind"), where)(keys, *shape, **params)

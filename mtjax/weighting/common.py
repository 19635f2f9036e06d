"""What several methods share: losses that have a logarithm, absent tasks left out, and parameters that are checked."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from mtjax.typing import Array, Bool, Float

EPSILON = 1e-8


def positive(losses: Float[Array, "T"]) -> Float[Array, "T"]:
    """The losses, but at least `EPSILON` = 1e-8.

    Methods built on `log L` want positive losses. With this in the place of `L`, a loss that is smaller, zero or
    negative gets the finite weight of 1e-8: the logarithm goes on below it as its own tangent.
    """
    return jnp.maximum(losses, EPSILON)


def by_task(values: Float[Array, "T"], leaf: Array) -> Array:
    """One number per task, with axes and dtype such that it multiplies a leaf `[T, ...]`."""
    return values.reshape(-1, *(1,) * (leaf.ndim - 1)).astype(leaf.dtype)


def kept(present: Bool[Array, "T"], new: Any, old: Any) -> Any:
    """`new` where a task is present, else `old`: pytrees with leaves `[T, ...]`, which keep the dtypes of `old`."""

    def choose(after: Array, before: Array) -> Array:
        chosen = present.reshape(-1, *(1,) * (before.ndim - 1))
        return jnp.where(chosen, after.astype(before.dtype), before)

    return jax.tree.map(choose, new, old)


def softmax(logits: Float[Array, "T"], present: Bool[Array, "T"]) -> Float[Array, "T"]:
    """The softmax over the tasks that are present, 0 for the others; all 0 if there is none."""
    top = jnp.max(logits, where=present, initial=-jnp.inf)
    powers = jnp.where(present, jnp.exp(jnp.where(present, logits - top, 0)), 0)
    return powers / jnp.maximum(powers.sum(), 1)  # the largest power is 1, so the maximum acts on an empty sum alone


def per_task(
    values: Mapping[str, float] | Sequence[float], names: tuple[str, ...], argument: str, default: float = 1.0
) -> list[float]:
    """One finite number for each task, from numbers by name (`default` for a task left out) or in order.

    Raises:
        ValueError: a number for an unknown task, a wrong number of them, or one that is not finite.
    """
    if isinstance(values, Mapping):
        if unknown := sorted(set(values) - set(names)):
            raise ValueError(f"{argument} has {unknown[0]!r}, which is not a task; the tasks are {', '.join(names)}")
        numbers = [float(values.get(name, default)) for name in names]
    else:
        numbers = [float(value) for value in values] or [default] * len(names)
    if len(numbers) != len(names):
        raise ValueError(f"{argument} has {len(numbers)} numbers for {len(names)} tasks: {', '.join(names)}")
    if bad := [number for number in numbers if not math.isfinite(number)]:
        raise ValueError(f"{argument} must be finite numbers, got {bad[0]}")
    return numbers


def preferences(values: Mapping[str, float] | Sequence[float], names: tuple[str, ...]) -> list[float]:
    """Positive preferences, scaled such that their sum is the number of tasks; none means 1 for all.

    Raises:
        ValueError: a preference that is not positive, or as in `per_task`.
    """
    numbers = per_task(values, names, "preference")
    if min(numbers) <= 0:
        raise ValueError(f"preference must be positive numbers, got {min(numbers)}")
    return [len(names) * number / sum(numbers) for number in numbers]


def need_positive(**parameters: float | int) -> None:
    """Raises a ValueError for the first parameter that is not a positive finite number."""
    for name, value in parameters.items():
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name} must be a positive number, got {value}")


def need_nonnegative(**parameters: float | int) -> None:
    """Raises a ValueError for the first parameter that is negative or not finite."""
    for name, value in parameters.items():
        if not (value >= 0 and math.isfinite(value)):
            raise ValueError(f"{name} must be a number that is not negative, got {value}")

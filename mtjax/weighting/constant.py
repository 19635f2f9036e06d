"""Weights that do not look at the losses."""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp

from mtjax.weighting.base import Signals, Weighting


def equal(names: tuple[str, ...], /) -> Weighting:
    """The mean over the tasks that are present: each weight is one over their number."""
    del names

    def update(signals: Signals, state: tuple[()]):
        present = signals.present.astype(signals.losses.dtype)
        return present / jnp.maximum(present.sum(), 1), state

    return Weighting(init=lambda _=None: (), update=update)


def fixed(names: tuple[str, ...], /, *, weights: Mapping[str, float] | Sequence[float] = ()) -> Weighting:
    """Given weights, used as they are.

    Args:
        names: the tasks, in order.
        weights: by task name (a task left out has weight 1), or one number per task; none means 1 for all.

    Raises:
        ValueError: a weight for an unknown task, a wrong number of weights, or a negative one.
    """
    if isinstance(weights, Mapping):
        if unknown := sorted(set(weights) - set(names)):
            raise ValueError(f"weights has {unknown[0]!r}, which is not a task; the tasks are {', '.join(names)}")
        values = [float(weights.get(name, 1.0)) for name in names]
    else:
        values = [float(w) for w in weights] or [1.0] * len(names)
    if len(values) != len(names):
        raise ValueError(f"weights has {len(values)} numbers for {len(names)} tasks: {', '.join(names)}")
    if min(values) < 0:
        raise ValueError(f"weights must not be negative, got {min(values)}")

    def update(signals: Signals, state: tuple[()]):
        return jnp.where(signals.present, jnp.asarray(values, signals.losses.dtype), 0), state

    return Weighting(init=lambda _=None: (), update=update)

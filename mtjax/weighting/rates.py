"""Weights from how fast losses fall, and, as the null hypothesis of all methods, from chance."""

import zlib
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from mtjax.weighting.base import Signals, Weighting
from mtjax.weighting.common import kept, need_positive, positive, softmax


def dwa(names: tuple[str, ...], /, *, window: int = 25, temperature: float = 2.0) -> Weighting:
    """Dynamic weight average: the K present tasks have weights `K softmax(r / temperature)`, `rᵢ` how slowly i learns.

    `rᵢ` is the task's mean loss over its last complete window of steps, divided by that over the window before. It is 1
    until two windows are complete, so that all weights are 1 then. A step in which a task is absent does not count
    for its windows. Losses must be positive; a mean below 1e-8 counts as 1e-8.

    Args:
        names: the tasks, in order.
        window: steps of a window. The paper takes epochs.
        temperature: the larger, the more equal the weights.

    Raises:
        ValueError: a window or a temperature that is not positive.

    Source: Liu, Johns and Davison, "End-to-end multi-task learning with attention", CVPR 2019, equation 7; the window
    of 25 steps is that of Navon et al., ICML 2022.
    """
    need_positive(window=window, temperature=temperature)

    def start(_=None):
        means = {name: jnp.zeros(len(names)) for name in ("total", "last", "before")}
        return {**means, "count": jnp.zeros(len(names), jnp.int32)}

    def update(signals: Signals, state):
        dtype = signals.losses.dtype
        ratio = positive(state["last"].astype(dtype)) / positive(state["before"].astype(dtype))
        rate = jnp.where(state["count"] >= 2 * window, ratio, 1)
        number = signals.present.sum().astype(dtype)
        weights = number * softmax(rate / temperature, signals.present)

        total, count = state["total"] + signals.losses, state["count"] + 1
        full = count % window == 0
        after = {
            "total": jnp.where(full, 0, total),
            "last": jnp.where(full, total / window, state["last"]),
            "before": jnp.where(full, state["last"], state["before"]),
            # Beyond two windows only the place in the window matters, and a count that wraps around cannot overflow.
            "count": jnp.where(count >= 3 * window, count - window, count),
        }
        return weights, kept(signals.present, after, state)

    return Weighting(init=start, update=update)


def rlw(names: tuple[str, ...], /, *, distribution: Literal["normal", "dirichlet"] = "normal") -> Weighting:
    """Random weights, drawn anew in each step, positive and with sum 1 over the tasks present.

    What a task draws depends on the step and on its name, not on the other tasks.

    Args:
        names: the tasks, in order.
        distribution: "normal" for the softmax of standard normal numbers, "dirichlet" for the flat Dirichlet
            distribution, which is uniform over all such weights.

    Raises:
        ValueError: an unknown distribution; in `update`, signals without a key.

    Source: Lin, Ye, Zhang and Tsang, "Reasonable effectiveness of random weighting: a litmus test for multi-task
    learning", TMLR 2022.
    """
    if distribution not in ("normal", "dirichlet"):
        raise ValueError(f"distribution must be 'normal' or 'dirichlet', got {distribution!r}")
    identities = np.asarray([zlib.crc32(name.encode()) for name in names], np.uint32)

    def update(signals: Signals, state: tuple[()]):
        if signals.key is None:
            raise ValueError("rlw draws its weights: signals.key must be a key, got None")
        keys = jax.vmap(jax.random.fold_in, (None, 0))(signals.key, identities)
        dtype = signals.losses.dtype
        if distribution == "normal":
            draws = jax.vmap(lambda key: jax.random.normal(key, (), dtype))(keys)
        else:  # exponential numbers over their sum, by way of their logarithms, which are never all zero
            draws = jax.vmap(lambda key: -jax.random.gumbel(key, (), dtype))(keys)
        return softmax(draws, signals.present), state

    return Weighting(init=lambda _=None: (), update=update)

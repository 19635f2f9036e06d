"""Methods that balance the logarithms of the losses, so that a loss's unit does not matter. Losses must be positive.

A loss below 1e-8, also zero or a negative one, counts as 1e-8: no weight is infinite, but such a loss is not balanced.
"""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp

from mtjax.weighting.base import Signals, Weighting
from mtjax.weighting.common import kept, need_nonnegative, need_positive, positive, preferences, softmax


def log(names: tuple[str, ...], /) -> Weighting:
    """Minimizes `Σ log Lᵢ` (scale-invariant): the weight of task i is `1/Lᵢ`.

    Source: the baseline SI of Navon et al., "Multi-task learning as a bargaining game", ICML 2022, section 5.
    """
    del names

    def update(signals: Signals, state: tuple[()]):
        return jnp.where(signals.present, 1 / positive(signals.losses), 0), state

    return Weighting(init=lambda _=None: (), update=update)


def geometric(names: tuple[str, ...], /) -> Weighting:
    """Minimizes the geometric mean `(Π Lᵢ)^(1/K)` of the K present losses: task i has weight `(Π L)^(1/K) / (K Lᵢ)`.

    Source: Chennupati, Sistu, Yogamani and Rawashdeh, "MultiNet++: multi-stream feature aggregation and geometric loss
    strategy for multi-task learning", CVPR workshops 2019 (GLS).
    """
    del names

    def update(signals: Signals, state: tuple[()]):
        number = jnp.maximum(signals.present.sum(), 1).astype(signals.losses.dtype)
        logs = jnp.where(signals.present, jnp.log(positive(signals.losses)), 0)
        # The mean of logarithms, since a product of losses leaves the range of float32.
        return jnp.where(signals.present, jnp.exp(logs.sum() / number - logs) / number, 0), state

    return Weighting(init=lambda _=None: (), update=update)


def stch(
    names: tuple[str, ...],
    /,
    *,
    mu: float = 1.0,
    warmup: int = 0,
    preference: Mapping[str, float] | Sequence[float] = (),
) -> Weighting:
    """Smooth Tchebycheff: minimizes `K μ log Σ exp(λᵢ log(Lᵢ/nᵢ) / μ)`, a smooth maximum of the K present losses.

    The weight of task i is the derivative of that, `K λᵢ softmax(λ log(L/n) / μ)ᵢ / Lᵢ`. The nadir `nᵢ` is the mean of
    the task's first `warmup` losses, and 1 if there is no warm-up. Until every present task has made its warm-up, the
    weights are `λᵢ/Lᵢ`: those of an infinite `μ`. An absent task keeps its nadir and its count.

    Args:
        names: the tasks, in order.
        mu: smoothness; towards 0 the task with the largest `λᵢ log(Lᵢ/nᵢ)` alone has weight.
        warmup: steps of the warm-up.
        preference: the positive numbers `λ`, by name (1 for a task left out) or in order; scaled to a mean of 1 over
            the tasks present. None means 1 for all.

    Raises:
        ValueError: a `mu` or a preference that is not positive, a negative warm-up, preferences that fit no task.

    Source: Lin et al., "Smooth Tchebycheff scalarization for multi-objective optimization", ICML 2024, in the form of
    the authors' multi-task experiments: log-losses over a nadir, times K, the nadir from a warm-up.
    """
    need_positive(mu=mu)
    need_nonnegative(warmup=warmup)
    wanted = preferences(preference, names)

    def start(_=None):
        return {"total": jnp.zeros(len(names)), "count": jnp.zeros(len(names), jnp.int32)}

    def update(signals: Signals, state):
        losses, present, count = positive(signals.losses), signals.present, state["count"]
        dtype = losses.dtype
        number = present.sum().astype(dtype)
        scale = jnp.where(present, jnp.asarray(wanted, dtype), 0)
        scale = scale * number / jnp.where(number > 0, scale.sum(), 1)
        nadir = positive(jnp.where(count > 0, state["total"] / jnp.maximum(count, 1), 1).astype(dtype))
        share = number * softmax(scale * (jnp.log(losses) - jnp.log(nadir)) / mu, present)
        ready = jnp.all((count >= warmup) | ~present)
        weights = jnp.where(present, scale * jnp.where(ready, share, 1) / losses, 0)
        seen = {"total": state["total"] + signals.losses, "count": count + 1}
        return weights, kept(present & (count < warmup), seen, state)

    return Weighting(init=start, update=update)

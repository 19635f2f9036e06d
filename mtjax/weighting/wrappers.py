"""What can be put around any method: smoother weights, and a preference among tasks."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from mtjax.pytree import replace
from mtjax.typing import Array, Float
from mtjax.weighting.base import Signals, Weighting
from mtjax.weighting.common import by_task, kept, preferences


def smoothed(weighting: Weighting, names: tuple[str, ...], momentum: float = 0.9) -> Weighting:
    """The method with an exponential moving average of its weights in their place (CR-MOGM).

    A task's first weight is taken as it is; after that, `average ← momentum average + (1 - momentum) weight`. An absent
    task has weight 0 and keeps its average. The method's own state is under "inner", but for "converged" if it has it.

    Args:
        weighting: a method whose direction is its weights times the gradients.
        names: the tasks, in order.
        momentum: share of the old average, at least 0 and below 1.

    Raises:
        ValueError: a momentum outside [0, 1), or a method that makes its direction otherwise.

    Source: Zhou et al., "On the convergence of stochastic multi-objective gradient manipulation and beyond", NeurIPS
    2022; in the paper the average begins at equal weights.
    """
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum must be at least 0 and below 1, got {momentum}")
    if weighting.direction is not None:
        raise ValueError("weighting makes a direction of its own; only a method that is all weights can be smoothed")

    def start(gradients: Any = None):
        own = {"average": jnp.zeros(len(names)), "seen": jnp.zeros(len(names), bool)}
        return around(weighting.init(gradients), own)

    def update(signals: Signals, state):
        weights, inner = weighting.update(signals, inside(state))
        mean = momentum * state["average"] + (1 - momentum) * weights
        average = kept(signals.present, jnp.where(state["seen"], mean, weights), state["average"])
        own = {"average": average, "seen": state["seen"] | signals.present}
        return jnp.where(signals.present, average, 0).astype(weights.dtype), around(inner, own)

    inner_later = weighting.later
    if inner_later is None:
        return weighting._replace(init=start, update=update)

    def later(losses: Float[Array, "T"], state):
        return around(inner_later(losses, inside(state)), {key: state[key] for key in ("average", "seen")})

    return weighting._replace(init=start, update=update, later=later)


def around(inner: Any, own: dict[str, Any]) -> dict[str, Any]:
    """The state `own` with that of the method inside; "converged" moves out of it, to where it is looked for."""
    if isinstance(inner, dict) and "converged" in inner:
        rest = {key: value for key, value in inner.items() if key != "converged"}
        return {**own, "inner": rest, "converged": inner["converged"]}
    return {**own, "inner": inner}


def inside(state: dict[str, Any]) -> Any:
    """The state of the method inside, whole again."""
    return {**state["inner"], "converged": state["converged"]} if "converged" in state else state["inner"]


def preferred(
    weighting: Weighting, names: tuple[str, ...], preference: Mapping[str, float] | Sequence[float]
) -> Weighting:
    """The method run on the losses `pᵢ Lᵢ` in the place of `Lᵢ`, with its weights times `p`, so that they fit `Lᵢ`.

    The gradients it sees, and their inner products, are those of `pᵢ Lᵢ` as well. A method that does not mind the
    scale of a loss does not mind a preference either.

    Args:
        weighting: any method.
        names: the tasks, in order.
        preference: the positive numbers `p`, by name (1 for a task left out) or in order; scaled such that their sum is
            the number of tasks.

    Raises:
        ValueError: a preference that is not positive, or that fits no task.
    """
    factors = preferences(preference, names)

    def scale(values: Float[Array, "*b T"]) -> Float[Array, "*b T"]:
        return values * jnp.asarray(factors, values.dtype)

    def scale_products(products: Float[Array, "T T"] | None) -> Float[Array, "T T"] | None:
        return None if products is None else scale(scale(products.T).T)

    def scale_gradients(gradients: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf * by_task(jnp.asarray(factors), leaf), gradients)

    def update(signals: Signals, state):
        seen = replace(
            signals,
            losses=scale(signals.losses),
            gram=scale_products(signals.gram),
            cross=scale_products(signals.cross),
            gradients=scale_gradients(signals.gradients),
        )
        weights, state = weighting.update(seen, state)
        return scale(weights), state

    inner_direction, inner_later = weighting.direction, weighting.later

    def direction(gradients: Any, weights: Float[Array, "T"], state):
        assert inner_direction is not None
        return inner_direction(scale_gradients(gradients), weights / jnp.asarray(factors, weights.dtype), state)

    def later(losses: Float[Array, "T"], state):
        assert inner_later is not None
        return inner_later(scale(losses), state)

    return weighting._replace(
        update=update,
        direction=None if inner_direction is None else direction,
        later=None if inner_later is None else later,
    )

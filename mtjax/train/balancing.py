"""How the step serves a weighting: where gradients are taken, how often, what is logged."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from mtjax.models import MultiTask
from mtjax.registry import ConfigError
from mtjax.typing import Array, Float, Params
from mtjax.weighting import Weighting


def shared_parameters(params: Params) -> Params:
    """The parameters that several tasks use."""
    return {name: params[name] for name in ("encoder", "sharing")}


@dataclasses.dataclass(frozen=True)
class Balancing:
    """A weighting, and how the step serves it.

    weighting: the method.
    level: where task gradients are taken, "features" or "parameters"; the two are different methods.
    chunk: at the parameters, how many tasks go backward together.
    low_memory: at the parameters, keep the Gram matrix of the gradients only.
    every: steps between updates of the weights; in between the last ones are used.
    """

    weighting: Weighting
    level: str = "features"
    chunk: int = 1
    low_memory: bool = False
    every: int = 1

    def init(self, params: Params, num_tasks: int) -> dict[str, Any]:
        """The state before the first step: the method's own, and, if they are used again, the weights and the Gram
        matrix.
        """
        shared = shared_parameters(params)
        stacked = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((num_tasks, *leaf.shape), leaf.dtype), shared)
        state = {"method": self.weighting.init(stacked if self.level == "parameters" else None)}
        if self.every == 1:
            return state
        # Equal ones, which are in use where the first update of the weights is skipped.
        weights = jnp.full(num_tasks, 1 / num_tasks)
        return {**state, "weights": weights, "gram": jnp.zeros((num_tasks, num_tasks))}

    def reported(self, state: dict[str, Any]) -> dict[str, Any]:
        """What of a state is logged: whether the method solved its own problem, if it has one."""
        own = state["method"]
        return {"solved": own["converged"]} if isinstance(own, dict) and "converged" in own else {}

    @property
    def of_gradients(self) -> bool:
        """Whether the method looks at gradients, not at losses alone."""
        return self.weighting.needs != "losses"

    def check(self, kind: str, model: MultiTask) -> "Balancing":
        """Itself; ConfigError, in one line, for a combination that makes no sense."""
        levels, needs = self.weighting.levels, self.weighting.needs
        if self.of_gradients and self.level not in levels:
            raise ConfigError(
                f"weighting.level={self.level!r}: {kind} takes task gradients at the {' or '.join(levels)} only"
            )
        if self.of_gradients and self.level == "features" and not model.shared_features:
            raise ConfigError(
                "weighting.level='features': with this model.sharing each task has features of its own; "
                "expected weighting.level='parameters'"
            )
        if self.low_memory and (self.level == "features" or needs != "gram"):
            raise ConfigError("weighting.low_memory is for weighting.level='parameters' and methods of the Gram matrix")
        if self.every > 1 and self.weighting.direction is not None:
            raise ConfigError(f"weighting.every={self.every}: {kind} gives no weights that could be kept; expected 1")
        return self


def normalized(weights: Float[Array, "T"]) -> Float[Array, "T"]:
    """`w / Σ |w|`; 0 stays 0."""
    size = jnp.abs(weights).sum()
    return weights / jnp.where(size > 0, size, 1)


def diagnostics(gram: Float[Array, "T T"], present: Array) -> dict[str, Array]:
    """What the task gradients say of each other.

    cosine: of each pair, 0 where a gradient is 0. conflict_rate: the share of pairs of present tasks whose cosine is
    negative. norm_ratio: of the longest gradient of a present task to the shortest one.
    """
    tiny = jnp.finfo(gram.dtype).tiny
    norms = jnp.sqrt(jnp.maximum(jnp.diagonal(gram), 0))
    guarded = jnp.maximum(norms, tiny**0.5)
    cosine = gram / guarded[:, None] / guarded[None, :]
    pairs = jnp.triu(present[:, None] & present[None, :], 1)
    shortest = jnp.where(present, guarded, jnp.inf).min()
    return {
        "cosine": cosine,
        "conflict_rate": jnp.sum(pairs & (cosine < 0)) / jnp.maximum(pairs.sum(), 1),
        "norm_ratio": jnp.where(present, norms, 0).max() / jnp.where(present.any(), shortest, 1),
    }

"""What every sharing is: the few answers and functions that `MultiTask` asks of it."""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp

from mtjax.models.pyramid import Pyramid
from mtjax.typing import Params, Scalar


class Sharing(nn.Module):
    """Each task reads the features of its observation as they are: what the sharings build on.

    tasks: their names, in the order of the config. What belongs to one task is a submodule with the task's name in its
    own, such as `task_deblur`: Flax derives first values from that path alone, not from what other tasks there are.
    copies: whether each task has an encoder of its own. Then features are named by task, not by observation, and
    `unit` says how the copies exchange features.
    mixes: whether what a task's head reads depends on the features that other tasks read.
    """

    tasks: tuple[str, ...]

    copies = False
    mixes = False

    def __call__(
        self, features: dict[str, Pyramid], reads: Mapping[str, str], wanted: tuple[str, ...]
    ) -> dict[str, tuple[Pyramid, ...]]:
        """What the head of each wanted task reads, then what its initial heads read if the sharing has such.

        features: pyramids by name; only those on which the wanted tasks depend need be there: their own, or all of them
        if the sharing mixes.
        reads: of every task, the name of the pyramid that it reads.
        wanted: names of tasks.
        """
        return {task: (features[reads[task]],) for task in wanted}

    @nn.nowrap
    def unit(self) -> nn.Module | None:
        """For copies: how they exchange features after a stage; each stage has parameters of its own. None: not at all.

        A module from the features of all tasks, a tuple of `[B, h, w, c]`, to those with which their encoders go on.
        """
        return None

    @nn.nowrap
    def penalty(self, params: Params) -> Scalar:
        """What is added to the training loss, a function of all the model's parameters."""
        del params
        return jnp.zeros(())


def at_least(name: str, value: float | int, least: int) -> None:
    """Raises a ValueError if a parameter of a sharing is too small."""
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")

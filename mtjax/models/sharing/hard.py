"""Hard sharing: every task reads the same features, at most with an offset of its own."""

import flax.linen as nn

from mtjax.models.pyramid import Pyramid
from mtjax.pytree import replace


class Hard(nn.Module):
    """Gives each task the encoder's features, plus a learned offset per channel and task if `task_bias`.

    Source: Caruana, "Multitask learning", Machine Learning 28, 1997.
    """

    tasks: tuple[str, ...]
    task_bias: bool = False

    @nn.compact
    def __call__(self, features: dict[str, Pyramid]) -> dict[str, Pyramid]:
        """Maps the pyramid that each task reads to the one that its head gets."""
        if not self.task_bias:
            return features
        adapted = {}
        for task, pyramid in features.items():
            levels = []
            for i, level in enumerate(pyramid.levels):
                bias = self.param(f"{task}_bias{i}", nn.initializers.zeros, (level.shape[-1],))
                levels.append(level + bias.astype(level.dtype))
            adapted[task] = replace(pyramid, levels=tuple(levels))
        return adapted


def hard(tasks: tuple[str, ...], /, *, task_bias: bool = False) -> Hard:
    """Hard sharing; with `task_bias`, each task adds a learned offset to every channel that it reads."""
    return Hard(tasks, task_bias)

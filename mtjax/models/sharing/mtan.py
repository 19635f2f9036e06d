"""MTAN: each task takes from the shared features what its attention masks let through."""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp

from mtjax.models.layers import ConvNormAct, conv, float32, group_norm
from mtjax.models.pyramid import Pyramid
from mtjax.models.sharing.base import Sharing
from mtjax.pytree import replace


class Masks(nn.Module):
    """One task's masks: `â_l = σ(g([p_l, f(â_{l-1})])) ⊙ p_l` at each level p_l of the pyramid, finest first."""

    @nn.compact
    def __call__(self, pyramid: Pyramid) -> Pyramid:
        """Returns the features that the task attends to."""
        attended: list = []
        for i, level in enumerate(pyramid.levels):
            channels, dtype, x = level.shape[-1], level.dtype, level
            if attended:
                step = pyramid.strides[i] // pyramid.strides[i - 1]
                finer = ConvNormAct(channels, step, dtype, name=f"down{i}")(attended[-1])
                x = jnp.concatenate([level, finer], -1)
            hidden = conv(channels, kernel=1, dtype=dtype, name=f"hidden{i}")(x)
            hidden = nn.gelu(group_norm(channels, dtype, name=f"hidden{i}_norm")(hidden))
            scores = conv(channels, kernel=1, dtype=dtype, name=f"mask{i}")(hidden)
            mask = nn.sigmoid(float32(group_norm(channels, dtype, name=f"mask{i}_norm")(scores)))
            attended.append(mask.astype(dtype) * level)
        return replace(pyramid, levels=tuple(attended))


class MTAN(Sharing):
    """Shared features, and `Masks` for each task."""

    @nn.compact
    def __call__(
        self, features: dict[str, Pyramid], reads: Mapping[str, str], wanted: tuple[str, ...]
    ) -> dict[str, tuple[Pyramid, ...]]:
        """See `Sharing`."""
        return {task: (Masks(name=f"task_{task}")(features[reads[task]]),) for task in wanted}


def mtan(tasks: tuple[str, ...], /) -> MTAN:
    """Attention masks per task (Liu et al., "End-to-end multi-task learning with attention", CVPR 2019)."""
    return MTAN(tasks)

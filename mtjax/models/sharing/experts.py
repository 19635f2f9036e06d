"""What mixtures of experts are made of: experts over a pyramid, gates, and the mixture itself."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from mtjax.models.layers import NormalizedBlock, float32
from mtjax.models.pyramid import Pyramid
from mtjax.pytree import replace
from mtjax.typing import Array, Float


class Expert(nn.Module):
    """A residual block for each level of a pyramid."""

    @nn.compact
    def __call__(self, pyramid: Pyramid) -> Pyramid:
        """Maps a pyramid to one of the same shapes."""
        levels = (NormalizedBlock(x.dtype, name=f"level{i}")(x) for i, x in enumerate(pyramid.levels))
        return replace(pyramid, levels=tuple(levels))


def pooled(pyramid: Pyramid) -> Float[Array, "B c"]:
    """The mean of every channel of every level over the picture, in float32: what gates look at.

    Not the pixels, as in LibMTL: the gates would then belong to one size of picture.
    """
    return jnp.concatenate([float32(x).mean((1, 2)) for x in pyramid.levels], -1)


class Logits(nn.Module):
    """A linear map of pooled features to one score per expert; all alike at first."""

    experts: int

    @nn.compact
    def __call__(self, x: Float[Array, "B c"]) -> Float[Array, "B E"]:
        """Returns scores in float32."""
        return nn.Dense(self.experts, kernel_init=nn.initializers.zeros, name="gate")(x)


def mix(weights: Float[Array, "B E"], experts: Sequence[Pyramid]) -> Pyramid:
    """The sum of the experts' pyramids, weighted for each example."""
    levels = []
    for i, level in enumerate(experts[0].levels):
        w = weights.astype(level.dtype)[:, :, None, None, None]
        levels.append(sum(w[:, e] * expert.levels[i] for e, expert in enumerate(experts)))
    return replace(experts[0], levels=tuple(levels))

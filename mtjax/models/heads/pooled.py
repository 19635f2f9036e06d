"""The head of every task that says something of the whole picture."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from mtjax.models.layers import NormalizedBlock, float32
from mtjax.models.pyramid import Pyramid
from mtjax.physics import Observed
from mtjax.typing import Array, Float


class Pooled(nn.Module):
    """Mean and maximum of every level over the picture, then a two-layer perceptron."""

    outputs: int
    width: int = 128
    dtype: Any = None

    @nn.compact
    def __call__(self, pyramid: Pyramid, observed: Observed) -> Float[Array, "B K"]:
        """Returns `outputs` scores per picture, of any size."""
        del observed
        coarsest = NormalizedBlock(self.dtype)(pyramid.levels[-1])
        pooled = [reduce(x, (1, 2)) for x in (*pyramid.levels[:-1], coarsest) for reduce in (jnp.mean, jnp.max)]
        x = nn.LayerNorm(dtype=self.dtype)(jnp.concatenate(pooled, -1))
        x = nn.gelu(nn.Dense(self.width, dtype=self.dtype, name="hidden")(x))
        zeros = nn.initializers.zeros  # every class alike at first
        return float32(nn.Dense(self.outputs, kernel_init=zeros, dtype=self.dtype, name="out")(x))


def pooled(dtype: Any, outputs: int, /, *, width: int = 128) -> Pooled:
    """Global pooling and a perceptron with `width` hidden units."""
    return Pooled(outputs, width, dtype)

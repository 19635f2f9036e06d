"""The head of every task that says something of each pixel: classes, boundary, depth."""

from typing import Any

import flax.linen as nn

from mtjax.models.layers import ConvNormAct, NormalizedBlock, conv, float32
from mtjax.models.pyramid import Pyramid, shuffle
from mtjax.physics import Observed
from mtjax.typing import Array, Float


class Dense(nn.Module):
    """A convolution and blocks at the finest stride, then one value per output and pixel by sub-pixel rearrangement."""

    outputs: int
    width: int = 32
    depth: int = 0
    dtype: Any = None

    @nn.compact
    def __call__(self, pyramid: Pyramid, observed: Observed) -> Float[Array, "B H W K"]:
        """Returns a map of `outputs` values at the observation's resolution; 0 everywhere at first."""
        del observed
        x = ConvNormAct(self.width, dtype=self.dtype)(pyramid.finest)
        for _ in range(self.depth):
            x = NormalizedBlock(self.dtype)(x)
        x = conv(self.outputs * pyramid.strides[0] ** 2, kernel=1, dtype=self.dtype, zero=True, name="out")(x)
        return float32(pyramid.image(shuffle(x, pyramid.strides[0])))


def dense(dtype: Any, outputs: int, /, *, width: int = 32, depth: int = 0) -> Dense:
    """A fully convolutional head; `depth` residual blocks of `width` channels at the finest stride."""
    return Dense(outputs, width, depth, dtype)

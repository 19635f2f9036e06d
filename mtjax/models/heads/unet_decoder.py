"""The head of pixels with a way up of its own through the whole pyramid."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from mtjax.models.layers import ConvNormAct, conv, float32
from mtjax.models.pyramid import Pyramid, resize, shuffle
from mtjax.physics import Observed
from mtjax.typing import Array, Float


class UNetDecoder(nn.Module):
    """From the coarsest level up: enlarge, put the next finer level beside it, convolve twice.

    At the finest stride, one value per output and pixel by sub-pixel rearrangement. Source: Ronneberger et al.,
    "U-Net", MICCAI 2015.
    """

    outputs: int
    width: int = 32
    dtype: Any = None

    @nn.compact
    def __call__(self, pyramid: Pyramid, observed: Observed) -> Float[Array, "B H W K"]:
        """Returns a map of `outputs` values at the observation's resolution; 0 everywhere at first."""
        del observed
        stride, (*finer, x) = pyramid.strides[0], pyramid.levels
        x = ConvNormAct(self.width, dtype=self.dtype)(x)
        for level in reversed(finer):
            x = jnp.concatenate([resize(x, (level.shape[1], level.shape[2])), level], -1)
            for _ in range(2):
                x = ConvNormAct(self.width, dtype=self.dtype)(x)
        x = conv(self.outputs * stride**2, kernel=1, dtype=self.dtype, zero=True, name="out")(x)
        return float32(pyramid.image(shuffle(x, stride)))


def unet_decoder(dtype: Any, outputs: int, /, *, width: int = 32) -> UNetDecoder:
    """A decoder of `width` channels with lateral connections to every level (U-Net)."""
    return UNetDecoder(outputs, width, dtype)

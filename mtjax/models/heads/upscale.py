"""The super-resolution head: sub-pixel convolution on top of bicubic interpolation."""

from typing import Any

import flax.linen as nn

from mtjax import solvers
from mtjax.models.layers import Blocks, conv, float32
from mtjax.models.pyramid import Pyramid, shuffle
from mtjax.physics import Observed
from mtjax.typing import Array, Float


class Upscale(nn.Module):
    """`bicubic(y) + shuffle(conv(features))`; the operator says by which factor.

    Source: Shi et al., CVPR 2016 (sub-pixel convolution); Lim et al., CVPRW 2017 (EDSR).
    """

    width: int = 32
    depth: int = 3
    dtype: Any = None

    @nn.compact
    def __call__(self, pyramid: Pyramid, observed: Observed) -> Float[Array, "B H W C"]:
        """Returns an image of the shape that the operator takes in."""
        start = solvers.bicubic(observed.y, observed.operator).image
        factor = start.shape[1] // observed.y.shape[1]
        x = Blocks(self.width, self.depth, self.dtype)(pyramid.finest)
        stride = pyramid.strides[0] * factor
        x = conv(start.shape[-1] * stride**2, dtype=self.dtype, zero=True, name="out")(x)
        return start + float32(pyramid.image(shuffle(x, stride), factor))


def upscale(dtype: Any, outputs: int, /, *, width: int = 32, depth: int = 3) -> Upscale:
    """Sub-pixel super-resolution; `depth` residual blocks of `width` channels at the finest stride."""
    del outputs
    return Upscale(width, depth, dtype)

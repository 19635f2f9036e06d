"""The plainest head of pixels: every level scores on its own, and the scores are added."""

from typing import Any

import flax.linen as nn

from mtjax.models.layers import conv, float32
from mtjax.models.pyramid import Pyramid, resize
from mtjax.physics import Observed
from mtjax.typing import Array, Float


class FCN(nn.Module):
    """A 1×1 convolution per level; from the coarsest on, scores are enlarged and the next level's added.

    Source: Long, Shelhamer and Darrell, "Fully convolutional networks for semantic segmentation", CVPR 2015.
    """

    outputs: int
    dtype: Any = None

    @nn.compact
    def __call__(self, pyramid: Pyramid, observed: Observed) -> Float[Array, "B H W K"]:
        """Returns a map of `outputs` values at the observation's resolution; 0 everywhere at first."""
        del observed
        scores = [
            float32(conv(self.outputs, kernel=1, dtype=self.dtype, zero=True, name=f"level{i}")(x))
            for i, x in enumerate(pyramid.levels)
        ]
        total = scores.pop()
        while scores:
            finer = scores.pop()
            total = resize(total, (finer.shape[1], finer.shape[2])) + finer
        return enlarged(total, pyramid)


def enlarged(x: Float[Array, "B h w K"], pyramid: Pyramid) -> Float[Array, "B H W K"]:
    """A map at the finest stride, enlarged bilinearly to the picture, without what padding added to it."""
    stride, (height, width) = pyramid.strides[0], x.shape[1:3]
    return pyramid.image(resize(x, (height * stride, width * stride)))


def fcn(dtype: Any, outputs: int, /) -> FCN:
    """Scores of every level, enlarged and added (FCN)."""
    return FCN(outputs, dtype)

"""The restoring head that reads every level of the pyramid: from the coarsest up, in blocks without activations."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from mtjax.models.encoders.nafnet import NAFBlock
from mtjax.models.heads.refine import beside_features, correction
from mtjax.models.inputs import encoder_input, start_image
from mtjax.models.pyramid import Pyramid, shuffle
from mtjax.physics import Observed
from mtjax.typing import Array, Float


class NAFNetDecoder(nn.Module):
    """The first estimate plus a correction: blocks at each level, sub-pixel rearrangement up to the next finer one.

    Source: Chen et al., "Simple baselines for image restoration", ECCV 2022.
    """

    width: int = 32
    depth: int = 1
    dtype: Any = None

    @nn.compact
    def __call__(self, pyramid: Pyramid, observed: Observed) -> Float[Array, "B H W C"]:
        """Returns an image of the shape that the operator takes in; `start_image` at first."""

        def dense(features: int, name: str) -> nn.Dense:
            return nn.Dense(features, dtype=self.dtype, name=name)

        start = start_image(observed)
        x = jnp.zeros(())
        for level in reversed(range(len(pyramid.levels))):
            x = x + dense(self.width, f"lateral{level}")(pyramid.levels[level])
            if level == 0:  # features are normalized: how bright a pixel is, only the pictures tell
                x = x + dense(self.width, "pixels")(beside_features(encoder_input(observed), pyramid))
            for block in range(self.depth):
                x = NAFBlock(self.dtype, name=f"level{level}_block{block}")(x)
            if level:
                ratio = pyramid.strides[level] // pyramid.strides[level - 1]
                x = shuffle(dense(self.width * ratio**2, f"up{level}")(x), ratio)
        return start + correction(x, pyramid, start, self.dtype)


def nafnet_decoder(dtype: Any, outputs: int, /, *, width: int = 32, depth: int = 1) -> NAFNetDecoder:
    """A decoder over all levels, of `width` channels, with `depth` nonlinear activation free blocks at each."""
    del outputs  # the image that it corrects says how many channels there are
    return NAFNetDecoder(width, depth, dtype)

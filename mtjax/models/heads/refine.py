"""The part that restoring heads share: a residual network that reads pictures and the encoder's features together."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from mtjax.models.layers import Blocks, conv, float32
from mtjax.models.pyramid import Pyramid, pad_to_multiple, shuffle, unshuffle
from mtjax.typing import Array, Float


class Refine(nn.Module):
    """What to add to an image, from the finest features and from pictures at the image's own resolution.

    Works at the finest stride of the pyramid, and starts by adding nothing.
    """

    width: int
    depth: int
    dtype: Any = None

    @nn.compact
    def __call__(
        self, image: Float[Array, "B H W C"], pyramid: Pyramid, pictures: Float[Array, "B H W D"]
    ) -> Float[Array, "B H W C"]:
        """Returns the correction, not the corrected image; `image` only says how many channels that has."""
        x, stride = pyramid.finest, pyramid.strides[0]
        pixels = unshuffle(pad_to_multiple(pictures, pyramid.strides[-1]), stride)
        x = jnp.concatenate([pixels.astype(x.dtype), x], -1)
        x = Blocks(self.width, self.depth, self.dtype)(x)
        correction = conv(image.shape[-1] * stride**2, dtype=self.dtype, zero=True, name="out")(x)
        return float32(pyramid.image(shuffle(correction, stride)))

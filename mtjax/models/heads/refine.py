"""The parts that restoring heads share: pictures at the features' resolution, and features as a change of an image."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from mtjax.models.layers import Blocks, conv, float32
from mtjax.models.pyramid import Pyramid, pad_to_multiple, shuffle, unshuffle
from mtjax.typing import Array, Float


def beside_features(pictures: Float[Array, "B H W D"], pyramid: Pyramid) -> Float[Array, "B h w d"]:
    """Pictures as large as the encoded one, or a whole number of times, with their pixels at the finest stride."""
    scale = pictures.shape[1] // pyramid.size[0]
    padded = pad_to_multiple(pictures, pyramid.strides[-1] * scale)
    return unshuffle(padded, pyramid.strides[0] * scale).astype(pyramid.finest.dtype)


def correction(
    x: Float[Array, "B h w c"], pyramid: Pyramid, image: Float[Array, "B H W C"], dtype: Any = None
) -> Float[Array, "B H W C"]:
    """What to add to an image, from features at the finest stride, by sub-pixel convolution; nothing at first.

    For use in a module's compact method. The image is as large as the encoded picture, or a whole number of times.
    """
    scale = image.shape[1] // pyramid.size[0]
    stride = pyramid.strides[0] * scale
    x = conv(image.shape[-1] * stride**2, dtype=dtype, zero=True, name="out")(x)
    return float32(pyramid.image(shuffle(x, stride), scale))


class Refine(nn.Module):
    """What to add to an image, from the finest features and from pictures at the image's or the features' resolution.

    Works at the finest stride of the pyramid, and starts by adding nothing.
    """

    width: int
    depth: int
    dtype: Any = None

    @nn.compact
    def __call__(
        self, image: Float[Array, "B H W C"], pyramid: Pyramid, pictures: Float[Array, "B h w D"]
    ) -> Float[Array, "B H W C"]:
        """Returns the correction, not the corrected image; `image` only says what shape that has."""
        x = jnp.concatenate([beside_features(pictures, pyramid), pyramid.finest], -1)
        return correction(Blocks(self.width, self.depth, self.dtype)(x), pyramid, image, self.dtype)

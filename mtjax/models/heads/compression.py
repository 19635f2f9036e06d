"""The compression head: from the shared features to a few integers, and from these alone back to the image."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtjax.models.heads.entropy import Factorized, quantize
from mtjax.models.inputs import frames
from mtjax.models.layers import Blocks, ResidualBlock, conv, float32
from mtjax.models.pyramid import Pyramid, pad_to_multiple, shuffle, unshuffle
from mtjax.physics import Observed
from mtjax.typing import Array, Float

GAIN = 4.0  # integers per unit of what the networks work with, so that rounding hides little of it at first


class Bottleneck(nn.Module):
    """An autoencoder whose code is `latents` integers per feature of one level of the pyramid.

    The analysis reads the features and the observation itself, whose brightness the features do not tell; the
    synthesis reads the integers alone, so that they can be stored in place of the image. Source: Ballé et al.,
    "End-to-end optimized image compression", ICLR 2017.
    """

    outputs: int
    latents: int = 16
    level: int = -1
    width: int = 32
    depth: int = 2
    dtype: Any = None

    def setup(self):
        """The parts that a coder uses without each other."""
        self.analysis_blocks = Blocks(self.width, self.depth, self.dtype)
        self.analysis_out = conv(self.latents, dtype=self.dtype)
        self.entropy = Factorized()
        self.synthesis = Synthesis(self.outputs, self.width, self.depth, self.dtype)

    def __call__(self, pyramid: Pyramid, observed: Observed) -> dict[str, Array]:
        """Returns `image` `[B, H, W, C]`, the estimated `bits` `[B]`, and the integers `latent` `[B, h, w, latents]`.

        Raises:
            ValueError: an observation that is no picture of the image's size.
        """
        if frames(observed) > 1 or jnp.shape(observed.y)[1:3] != pyramid.size:
            raise ValueError(f"head bottleneck: an observation {jnp.shape(observed.y)} is not one picture per example")
        features, stride = pyramid.levels[self.level], pyramid.strides[self.level]
        pixels = unshuffle(pad_to_multiple(observed.y, pyramid.strides[-1]), stride)
        x = jnp.concatenate([pixels.astype(features.dtype), features], -1)
        latent = quantize(GAIN * float32(self.analysis_out(self.analysis_blocks(x))))
        # The barrier keeps the compiler from mixing both halves, whose arithmetic is to be that of either alone.
        image = self.image(jax.lax.optimization_barrier(latent), stride)
        return {
            "image": pyramid.image(image),
            "bits": self.entropy(latent),
            "latent": jax.lax.stop_gradient(latent).astype(jnp.int32),
        }

    def image(self, latent: Float[Array, "B h w c"], stride: int) -> Float[Array, "B H W C"]:
        """The image that the integers stand for, `stride` times as large; what pads it is still there."""
        return self.synthesis(latent / GAIN, stride)


class Synthesis(nn.Module):
    """Residual blocks, then sub-pixel convolutions that double the size until the last one gives the image.

    Starts as a gray image. Source: Shi et al., CVPR 2016 (sub-pixel convolution).
    """

    outputs: int
    width: int
    depth: int
    dtype: Any = None

    @nn.compact
    def __call__(self, latent: Float[Array, "B h w c"], stride: int) -> Float[Array, "B H W C"]:
        """Maps integers to an image `stride` times as large."""
        x = Blocks(self.width, self.depth, self.dtype)(latent)
        while stride > 2 and stride % 2 == 0:
            x = ResidualBlock(self.dtype)(shuffle(conv(4 * self.width, dtype=self.dtype)(x), 2))
            stride //= 2
        x = conv(self.outputs * stride**2, dtype=self.dtype, zero=True, name="out")(x)
        return 0.5 + float32(shuffle(x, stride))


def bottleneck(
    dtype: Any, outputs: int, /, *, latents: int = 16, level: int = -1, width: int = 32, depth: int = 2
) -> Bottleneck:
    """A learned codec.

    Args:
        dtype: precision of the convolutions; the latent and its distribution stay in float32.
        outputs: channels of the image.
        latents: integers per feature.
        level: of the pyramid, finest first, whose features the code is made from; -1 is the coarsest, the fewest.
        width: channels inside.
        depth: residual blocks on either side.
    """
    if latents < 1:
        raise ValueError(f"latents must be 1 integer or more, got {latents}")
    return Bottleneck(outputs, latents, level, width, depth, dtype)

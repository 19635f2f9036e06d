"""The restoring head that is shown another picture, and takes its style from there."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from mtjax.models.heads.refine import beside_features, correction
from mtjax.models.inputs import encoder_input, start_image
from mtjax.models.layers import Blocks, ResidualBlock, conv
from mtjax.models.pyramid import Pyramid
from mtjax.physics import Observed
from mtjax.typing import Array, Bool, Float

FIELD = "reference"
Moments = tuple[Float[Array, "B 1 1 c"], Float[Array, "B 1 1 c"]]


class Reference(nn.Module):
    """A residual decoder whose features get mean and deviation of the reference's, in each channel.

    Without a reference an example keeps its own; what stands in its place is not looked at.

    Source: Huang and Belongie, "Arbitrary style transfer in real-time with adaptive instance normalization", ICCV 2017.
    """

    width: int = 32
    depth: int = 3
    dtype: Any = None

    @nn.compact
    def __call__(self, pyramid: Pyramid, observed: Observed) -> Float[Array, "B H W C"]:
        """Returns an image of the shape that the operator takes in; ValueError if nobody gives a reference."""
        if FIELD not in observed.given:
            raise ValueError(f"head 'reference' needs an observation with given=({FIELD!r},)")
        picture, present = observed.given[FIELD]
        picture = jnp.where(present[:, None, None, None], picture, 0)
        style = nn.gelu(conv(self.width, dtype=self.dtype, name="style_in")(picture))
        style = conv(self.width, dtype=self.dtype, name="style_out")(style)

        start = start_image(observed)
        x = jnp.concatenate([beside_features(encoder_input(observed), pyramid), pyramid.finest], -1)
        x = Blocks(self.width, 1, self.dtype)(x)
        x = restyle(x, moments(style), present)
        for _ in range(self.depth):
            x = ResidualBlock(self.dtype)(x)
        return start + correction(x, pyramid, start, self.dtype)


def moments(x: Float[Array, "B h w c"]) -> Moments:
    """Mean and standard deviation of each channel over the picture; the latter is never 0, nor its slope infinite."""
    mean = x.mean((1, 2), keepdims=True)
    return mean, jnp.sqrt(jnp.square(x - mean).mean((1, 2), keepdims=True) + 1e-5)


def restyle(x: Float[Array, "B h w c"], style: Moments, present: Bool[Array, "B"]) -> Float[Array, "B h w c"]:
    """Features with the moments of `style` instead of their own, where an example has a style (AdaIN, eq. 8)."""
    own = moments(x)
    mean, deviation = (
        jnp.where(present[:, None, None, None], new.astype(x.dtype), old) for new, old in zip(style, own, strict=True)
    )
    return deviation * (x - own[0]) / own[1] + mean


def reference(dtype: Any, outputs: int, /, *, width: int = 32, depth: int = 3) -> Reference:
    """A decoder of `width` channels and `depth` residual blocks, in the style of the data's field "reference"."""
    del outputs
    return Reference(width, depth, dtype)

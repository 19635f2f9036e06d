"""The few layers that encoders and heads are made of."""

import math
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from mtjax.registry import ConfigError
from mtjax.typing import Array, Float


def check_sizes(**sizes: int) -> None:
    """Raises a ConfigError that names the first size below 1."""
    for name, value in sizes.items():
        if value < 1:
            raise ConfigError(f"{name.replace('_', ' ')} must be at least 1, got {value}")


def conv(
    features: int, *, kernel: int = 3, stride: int = 1, dtype: Any = None, zero: bool = False, name: str | None = None
) -> nn.Conv:
    """A 'same' convolution with He initialization, or starting at zero so that what it adds is nothing at first."""
    init = nn.initializers.zeros if zero else nn.initializers.he_normal()
    return nn.Conv(features, (kernel, kernel), (stride, stride), kernel_init=init, dtype=dtype, name=name)


class ConvNormAct(nn.Module):
    """A convolution, normalization over groups of channels, and GELU.

    Groups of channels of one image (Wu and He, "Group normalization", ECCV 2018): there are no batch statistics, so
    what is said of an image never depends on the others in its batch, nor on how many devices share it.
    """

    features: int
    stride: int = 1
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w c"]:
        """Maps features to `features` channels, at `1 / stride` of the resolution."""
        x = conv(self.features, stride=self.stride, dtype=self.dtype)(x)
        return nn.gelu(group_norm(self.features, self.dtype)(x))


def group_norm(channels: int, dtype: Any = None, *, zero: bool = False, name: str | None = None) -> nn.GroupNorm:
    """Normalization over 8 groups of channels, or as many as divide them; with `zero` nothing comes out at first."""
    init = nn.initializers.zeros if zero else nn.initializers.ones
    return nn.GroupNorm(math.gcd(8, channels), dtype=dtype, scale_init=init, name=name)


class NormalizedBlock(nn.Module):
    """`gelu(x + norm(conv(gelu(norm(conv(x))))))`: the block of networks that tell what a picture shows.

    Source: He et al., "Deep residual learning for image recognition", CVPR 2016.
    """

    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "B h w c"]) -> Float[Array, "B h w c"]:
        """Maps features to features of the same shape."""
        channels = x.shape[-1]
        y = ConvNormAct(channels, dtype=self.dtype)(x)
        return nn.gelu(x + group_norm(channels, self.dtype)(conv(channels, dtype=self.dtype)(y)))


class ResidualBlock(nn.Module):
    """`x + conv(gelu(conv(x)))`: the block of networks that correct a picture, whose contrast no norm may change.

    The second convolution starts at zero, so a stack of any depth starts as the identity. Source: Lim et al.,
    "Enhanced deep residual networks for single image super-resolution", CVPRW 2017; Zhang et al., "Fixup
    initialization", ICLR 2019.
    """

    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "B h w c"]) -> Float[Array, "B h w c"]:
        """Maps features to features of the same shape."""
        channels = x.shape[-1]
        y = nn.gelu(conv(channels, dtype=self.dtype)(x))
        return x + conv(channels, dtype=self.dtype, zero=True)(y)


class Blocks(nn.Module):
    """A convolution to `width` channels, then `depth` residual blocks."""

    width: int
    depth: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "B h w c"]) -> Float[Array, "B h w d"]:
        """Maps features to `width` channels at the same resolution."""
        x = conv(self.width, dtype=self.dtype)(x)
        for _ in range(self.depth):
            x = ResidualBlock(dtype=self.dtype)(x)
        return x


def float32(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """Predictions leave the network in float32, whatever the precision inside."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))

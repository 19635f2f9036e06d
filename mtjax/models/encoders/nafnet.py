"""A U-shaped network of blocks without activation functions, made for restoring pictures."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype

from mtjax.models.layers import check_sizes
from mtjax.models.pyramid import shuffle, unshuffle
from mtjax.typing import Array, Float


class Depthwise(nn.Module):
    """A 'same' 3×3 convolution of each channel on its own."""

    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "B h w c"]) -> Float[Array, "B h w c"]:
        """Maps features to features of the same shape."""
        (_, h, w, c), lecun = x.shape, nn.initializers.lecun_normal()
        kernel = self.param("kernel", lecun, (3, 3, 1, c), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (c,), jnp.float32)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        # As nine shifted products, which fuse into one pass: with the grouped convolution of XLA, a block and its
        # gradient were measured to take 1.6 times as long on CPU.
        padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        return bias + sum(padded[:, i : i + h, j : j + w] * kernel[i, j, 0] for i in range(3) for j in range(3))


class NAFBlock(nn.Module):
    """`x + β mix(norm(x))`, then `x + γ feed(norm(x))`, halves of the channels multiplied for activation.

    β and γ are one number per channel and start at zero, so a stack of any depth starts as the identity.

    Source: Chen et al., "Simple baselines for image restoration", ECCV 2022.
    """

    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "B h w c"]) -> Float[Array, "B h w c"]:
        """Maps features to features of the same shape."""
        channels = x.shape[-1]

        def dense(features: int, name: str) -> nn.Dense:
            return nn.Dense(features, dtype=self.dtype, name=name)

        def add(x: Float[Array, "B h w c"], y: Float[Array, "B h w c"], name: str) -> Float[Array, "B h w c"]:
            return x + self.param(name, nn.initializers.zeros, (channels,), jnp.float32).astype(y.dtype) * y

        y = nn.LayerNorm(dtype=self.dtype, name="norm1")(x)
        y = gate(Depthwise(self.dtype, name="depthwise")(dense(2 * channels, "expand1")(y)))
        # Simplified channel attention: a channel is scaled by what the whole picture has in all of them.
        y = y * dense(channels, "attention")(y.mean((1, 2), keepdims=True))
        x = add(x, dense(channels, "reduce1")(y), "beta")
        y = nn.LayerNorm(dtype=self.dtype, name="norm2")(x)
        y = gate(dense(2 * channels, "expand2")(y))
        return add(x, dense(channels, "reduce2")(y), "gamma")


def gate(x: Float[Array, "B h w c"]) -> Float[Array, "B h w d"]:
    """The product of the first half of the channels with the second: SimpleGate."""
    first, second = jnp.split(x, 2, -1)
    return first * second


class NAFNet(nn.Module):
    """Blocks at strides `stem, 2 stem, ...`, down by strided convolutions and up by sub-pixel rearrangement.

    Channels double at each stride. The stem moves `stem × stem` blocks of pixels into channels; the paper's is 1. What
    goes from block to block is never normalized, only what a block looks at.

    Source: Chen et al., ECCV 2022.
    """

    width: int = 32
    depths: tuple[int, ...] = (1, 1, 2)
    up: int = 1
    stem: int = 2
    dtype: Any = None

    @property
    def strides(self) -> tuple[int, ...]:
        """Stride of each level that is given, finest first."""
        return tuple(self.stem * 2**level for level in range(len(self.depths)))

    @nn.compact
    def __call__(
        self, x: Float[Array, "B H W C"], between: Callable[[int, Array], Array] | None = None
    ) -> tuple[Float[Array, "B _h _w _c"], ...]:
        """Encodes images whose sides are multiples of the largest stride.

        between: `(stage, features) -> features` of the same shape, called at each stride on the way down; what it
        returns takes the features' place.
        """
        x = nn.Conv(self.width, (3, 3), dtype=self.dtype, name="stem")(unshuffle(x, self.stem))
        down = []
        for level, depth in enumerate(self.depths):
            if level:
                x = nn.Conv(self.width * 2**level, (2, 2), 2, dtype=self.dtype, name=f"down{level}")(x)
            for block in range(depth):
                x = NAFBlock(self.dtype, name=f"down{level}_block{block}")(x)
            x = x if between is None else between(level, x)
            down.append(x)
        levels = [x]
        for level in reversed(range(len(down) - 1)):
            wide = nn.Dense(2 * x.shape[-1], use_bias=False, dtype=self.dtype, name=f"up{level}")(x)
            x = shuffle(wide, 2) + down[level]
            for block in range(self.up):
                x = NAFBlock(self.dtype, name=f"up{level}_block{block}")(x)
            levels.insert(0, x)
        return tuple(levels)


def nafnet(
    dtype: Any, /, *, width: int = 32, depths: tuple[int, ...] = (1, 1, 2), up: int = 1, stem: int = 2
) -> NAFNet:
    """A U-shaped network of nonlinear activation free blocks.

    Args:
        dtype: precision inside, None for that of its input.
        width: channels at the finest stride; they double at each.
        depths: blocks of each stride on the way down, finest first; the last is the bottom.
        up: blocks of each stride on the way up.
        stem: the finest stride.

    Raises:
        ValueError: a size below 1.
    """
    check_sizes(width=width, the_least_of_depths=min(depths, default=0), up=up, stem=stem)
    return NAFNet(width, depths, up, stem, dtype)

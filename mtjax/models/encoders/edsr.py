"""Residual blocks at one resolution, without normalization, made for super-resolution."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn

from mtjax.models.layers import ResidualBlock, check_sizes, conv
from mtjax.models.pyramid import unshuffle
from mtjax.typing import Array, Float


class EDSR(nn.Module):
    """`first + conv(blocks(first))`, `first` a convolution of the picture.

    The head `upscale` with depth 0 is what follows it in the paper. With a stem of 2, blocks of 2×2 pixels are moved
    into channels, for pictures that need not grow.

    Source: Lim et al., "Enhanced deep residual networks for single image super-resolution", CVPRW 2017; blocks that
    start as the identity instead of being scaled by 0.1.
    """

    width: int = 64
    depth: int = 16
    stem: int = 1
    dtype: Any = None

    @property
    def strides(self) -> tuple[int, ...]:
        """Stride of the one level that is given."""
        return (self.stem,)

    @nn.compact
    def __call__(
        self, x: Float[Array, "B H W C"], between: Callable[[int, Array], Array] | None = None
    ) -> tuple[Float[Array, "B _h _w _c"], ...]:
        """Encodes images whose sides are multiples of the stem.

        between: `(stage, features) -> features` of the same shape, called after the first convolution and after each
        block; what it returns takes the features' place, in the sum at the end too.
        """
        between = between or (lambda _, features: features)
        first = x = between(0, conv(self.width, dtype=self.dtype, name="first")(unshuffle(x, self.stem)))
        for block in range(self.depth):
            x = between(block + 1, ResidualBlock(self.dtype, name=f"block{block}")(x))
        return (first + conv(self.width, dtype=self.dtype, name="last")(x),)


def edsr(dtype: Any, /, *, width: int = 64, depth: int = 16, stem: int = 1) -> EDSR:
    """A chain of residual blocks; the defaults are the paper's baseline.

    Args:
        dtype: precision inside, None for that of its input.
        width: channels of each block.
        depth: how many blocks there are.
        stem: the stride of all features.

    Raises:
        ValueError: a size below 1.
    """
    check_sizes(width=width, depth=depth, stem=stem)
    return EDSR(width, depth, stem, dtype)

"""A U-Net-like encoder: down to the coarsest stride and up again, giving features at every one."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn

from mtjax.models.layers import ConvNormAct, NormalizedBlock, check_sizes, conv, group_norm
from mtjax.models.pyramid import resize, unshuffle
from mtjax.typing import Array, Float


class UNet(nn.Module):
    """Residual blocks at strides `stem, 2 stem, ...`, joined from coarse to fine by lateral additions.

    Channels double at each stride. The stem moves `stem × stem` blocks of pixels into channels, so nothing of the image
    is lost while the finest features cost `stem²` times less.

    Source: Ronneberger et al., "U-Net", MICCAI 2015; Lin et al., "Feature pyramid networks", CVPR 2017.
    """

    width: int = 32
    depth: int = 3
    blocks: int = 1
    stem: int = 2
    dtype: Any = None

    @property
    def strides(self) -> tuple[int, ...]:
        """Stride of each level that is given, finest first."""
        return tuple(self.stem * 2**i for i in range(self.depth))

    @nn.compact
    def __call__(
        self, x: Float[Array, "B H W C"], between: Callable[[int, Array], Array] | None = None
    ) -> tuple[Float[Array, "B _h _w _c"], ...]:
        """Encodes images whose sides are multiples of the largest stride.

        between: `(stage, features) -> features` of the same shape, called at each stride on the way down; what it
        returns takes the features' place.
        """
        x = ConvNormAct(self.width, dtype=self.dtype, name="stem")(unshuffle(x, self.stem))
        down = []
        for level in range(self.depth):
            if level:
                x = ConvNormAct(self.width * 2**level, 2, self.dtype, name=f"down{level}")(x)
            for block in range(self.blocks):
                x = NormalizedBlock(self.dtype, name=f"down{level}_block{block}")(x)
            if between is not None:
                x = between(level, x)
            down.append(x)
        levels = [x]
        for level in reversed(range(self.depth - 1)):
            channels = self.width * 2**level
            up = conv(channels, kernel=1, dtype=self.dtype, name=f"up{level}")(levels[0])
            joined = resize(up, down[level].shape[1:3]) + down[level]
            x = nn.gelu(group_norm(channels, self.dtype)(joined))
            for block in range(self.blocks):
                x = NormalizedBlock(self.dtype, name=f"up{level}_block{block}")(x)
            levels.insert(0, x)
        return tuple(levels)


def unet(dtype: Any, /, *, width: int = 32, depth: int = 3, blocks: int = 1, stem: int = 2) -> UNet:
    """A U-Net-like encoder.

    Args:
        dtype: precision inside, None for that of its input.
        width: channels at the finest stride.
        depth: number of strides.
        blocks: residual blocks per stride, on the way down and again on the way up.
        stem: the finest stride.
    """
    check_sizes(width=width, depth=depth, stem=stem)
    return UNet(width=width, depth=depth, blocks=blocks, stem=stem, dtype=dtype)

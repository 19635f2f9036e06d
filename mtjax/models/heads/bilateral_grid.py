"""The color head whose change of color varies across the picture, but never blurs an edge."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from mtjax.models.heads.trilinear import trilinear
from mtjax.models.inputs import start_image
from mtjax.models.layers import check_sizes, conv, float32
from mtjax.models.pyramid import Pyramid, pad_to_multiple
from mtjax.physics import Observed
from mtjax.typing import Array, Float


class BilateralGrid(nn.Module):
    """An affine change of color per pixel, read from a coarse grid over place and brightness.

    The grid has the places of the coarsest level; what counts as brightness, the guide, is learned. Sliced so, the
    change is smooth where the picture is, and jumps where the picture does.

    Source: Gharbi et al., "Deep bilateral learning for real-time image enhancement", SIGGRAPH 2017 (HDRNet).
    """

    bins: int = 8
    width: int = 32
    dtype: Any = None

    @nn.compact
    def __call__(self, pyramid: Pyramid, observed: Observed) -> Float[Array, "B H W 3"]:
        """Returns an image of the shape that the operator takes in; `start_image` at first."""
        start = start_image(observed)
        _, height, width, channels = start.shape
        stride = pyramid.strides[-1] * (height // pyramid.size[0])
        coarse = nn.avg_pool(pad_to_multiple(start, stride), (stride, stride), (stride, stride))
        x = jnp.concatenate([coarse.astype(pyramid.levels[-1].dtype), pyramid.levels[-1]], -1)
        x = nn.gelu(conv(self.width, dtype=self.dtype)(x))
        x = x + nn.Dense(self.width, dtype=self.dtype, name="whole")(x.mean((1, 2), keepdims=True))
        zeros = nn.initializers.zeros
        x = float32(nn.Dense(self.bins * channels * (channels + 1), kernel_init=zeros, dtype=self.dtype, name="out")(x))
        grid = x.reshape(*x.shape[:3], self.bins, channels * (channels + 1))

        guide = nn.gelu(nn.Dense(8, name="guide_hidden")(start))
        guide = nn.sigmoid(nn.Dense(1, name="guide")(guide))[..., 0]
        down, right = ((jnp.arange(size) + 0.5) / stride - 0.5 for size in (height, width))
        place = jnp.broadcast_to(jnp.stack(jnp.meshgrid(down, right, indexing="ij"), -1), (*guide.shape, 2))
        affine = trilinear(grid, jnp.concatenate([place, guide[..., None] * (self.bins - 1)], -1))
        matrix, offset = jnp.split(affine, [channels**2], -1)
        return start + jnp.einsum("bhwij,bhwj->bhwi", matrix.reshape(*guide.shape, channels, channels), start) + offset


def bilateral_grid(dtype: Any, outputs: int, /, *, bins: int = 8, width: int = 32) -> BilateralGrid:
    """Affine changes of color on a grid of `bins` levels of brightness, from `width` channels."""
    del outputs  # the image that it changes says how many channels there are
    check_sizes(bins=bins, width=width)
    return BilateralGrid(bins, width, dtype)

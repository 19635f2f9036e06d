"""A plain vision transformer, with a feature pyramid made of its last map."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtjax.models.layers import check_sizes, conv
from mtjax.models.pyramid import shuffle
from mtjax.typing import Array, Float


def position_codes(height: int, width: int, channels: int) -> Float[Array, "h w c"]:
    """What tells a transformer where a patch lies: sines and cosines of its row, then of its column.

    A quarter of the channels each, with frequencies from 1 down to nearly 1/10000, for any number of patches; it is not
    learned. Source: Vaswani et al., "Attention is all you need", NIPS 2017, in two dimensions as in Chen et al., "An
    empirical study of training self-supervised vision transformers", ICCV 2021.
    """
    frequencies = 10_000.0 ** -(jnp.arange(channels // 4) / (channels // 4))
    rows, columns = (jnp.arange(n)[:, None] * frequencies for n in (height, width))
    by_row, by_column = (jnp.concatenate([jnp.sin(a), jnp.cos(a)], -1) for a in (rows, columns))
    shape = (height, width, channels // 2)
    return jnp.concatenate([jnp.broadcast_to(by_row[:, None], shape), jnp.broadcast_to(by_column[None], shape)], -1)


class TransformerBlock(nn.Module):
    """`x + attend(norm(x))`, then `x + perceptron(norm(x))`, over the patches of one picture.

    small: variance of what each of the two adds, relative to what it reads, at first; with one over their number in the
        network, a stack of any depth starts with no more added than was there.

    The products of queries and keys and their softmax are in float32; they take `B · heads · patches²` numbers.

    Source: Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021; Radford et al., "Language models are
    unsupervised multitask learners", 2019 (the small start).
    """

    heads: int
    mlp_ratio: float = 4.0
    small: float = 1.0
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "B N c"]) -> Float[Array, "B N c"]:
        """Maps features of patches to as many."""
        width, dtype = x.shape[-1], self.dtype
        small = nn.initializers.variance_scaling(self.small, "fan_in", "normal")
        y = nn.LayerNorm(dtype=dtype, name="norm1")(x)
        # Not Flax's attention, which would multiply float32 weights with the values, whatever the precision.
        qkv = nn.DenseGeneral((3, self.heads, width // self.heads), dtype=dtype, name="qkv")(y)
        y = jax.nn.dot_product_attention(*(qkv[:, :, i] for i in range(3)))
        x = x + nn.DenseGeneral(width, axis=(-2, -1), kernel_init=small, dtype=dtype, name="attended")(y)
        y = nn.LayerNorm(dtype=dtype, name="norm2")(x)
        y = nn.gelu(nn.Dense(int(width * self.mlp_ratio), dtype=dtype, name="hidden")(y))
        return x + nn.Dense(width, kernel_init=small, dtype=dtype, name="out")(y)


class SimplePyramid(nn.Module):
    """Maps at `2**up` to `2**-down` times the resolution of one map, `width` channels each.

    Up by transposed 2×2 convolutions that halve the channels, down by strided ones, all from the same map.

    Source: Li et al., "Exploring plain vision transformer backbones for object detection", ECCV 2022 (ViTDet).
    """

    up: int
    down: int
    width: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "B h w c"]) -> tuple[Float[Array, "B _h _w d"], ...]:
        """Returns the maps, finest first."""
        maps = [x]
        for i in range(self.up):
            y = maps[0]
            if i:
                y = nn.gelu(nn.LayerNorm(dtype=self.dtype, name=f"up{i}_norm")(y))
            # Where kernel and stride are equal, nothing overlaps: each pixel gives a block of its own.
            y = nn.Dense(4 * (y.shape[-1] // 2), dtype=self.dtype, name=f"up{i}")(y)
            maps.insert(0, shuffle(y, 2))
        for i in range(self.down):
            maps.append(nn.Conv(x.shape[-1], (2, 2), 2, dtype=self.dtype, name=f"down{i}")(maps[-1]))
        return tuple(self.joined(y, f"level{i}") for i, y in enumerate(maps))

    def joined(self, x: Float[Array, "B h w c"], name: str) -> Float[Array, "B h w d"]:
        """A level of the pyramid: from each pixel alone, then from its neighbors too, normalized both times."""
        x = conv(self.width, kernel=1, dtype=self.dtype, name=f"{name}_in")(x)
        x = nn.LayerNorm(dtype=self.dtype, name=f"{name}_in_norm")(x)
        x = conv(self.width, dtype=self.dtype, name=f"{name}_out")(x)
        return nn.LayerNorm(dtype=self.dtype, name=f"{name}_norm")(x)


class ViT(nn.Module):
    """Patches of `patch × patch` pixels with their position codes, blocks in `stages` groups, then `SimplePyramid`.

    Source: Dosovitskiy et al., ICLR 2021, with position codes for any size and without the class token; Li et al., ECCV
    2022, with attention over the whole picture in all blocks.
    """

    patch: int = 4
    width: int = 64
    depth: int = 4
    heads: int = 2
    mlp_ratio: float = 4.0
    stages: int = 2
    up: int = 1
    down: int = 1
    fpn: int = 32
    dtype: Any = None

    @property
    def strides(self) -> tuple[int, ...]:
        """Stride of each level that is given, finest first."""
        finest = self.patch // 2**self.up
        return tuple(finest * 2**level for level in range(self.up + 1 + self.down))

    @nn.compact
    def __call__(
        self, x: Float[Array, "B H W C"], between: Callable[[int, Array], Array] | None = None
    ) -> tuple[Float[Array, "B _h _w c"], ...]:
        """Encodes images whose sides are multiples of the largest stride.

        between: `(stage, features) -> features` of the same shape, called with the patches as a map after each group of
        blocks; what it returns takes the features' place.
        """
        x = nn.Conv(self.width, (self.patch,) * 2, self.patch, dtype=self.dtype, name="embed")(x)
        x = x + position_codes(x.shape[1], x.shape[2], self.width).astype(x.dtype)
        shape, small = x.shape, 1 / (2 * self.depth)
        for stage in range(self.stages):
            x = x.reshape(shape[0], -1, self.width)
            for block in range(stage * self.depth // self.stages, (stage + 1) * self.depth // self.stages):
                x = TransformerBlock(self.heads, self.mlp_ratio, small, self.dtype, name=f"block{block}")(x)
            x = x.reshape(shape)
            x = x if between is None else between(stage, x)
        x = nn.LayerNorm(dtype=self.dtype, name="norm")(x)
        return SimplePyramid(self.up, self.down, self.fpn, self.dtype, name="pyramid")(x)


def vit(
    dtype: Any,
    /,
    *,
    patch: int = 4,
    width: int = 64,
    depth: int = 4,
    heads: int = 2,
    mlp_ratio: float = 4.0,
    stages: int = 2,
    up: int = 1,
    down: int = 1,
    fpn: int = 32,
) -> ViT:
    """A plain vision transformer with a simple feature pyramid; memory grows with the square of the number of patches.

    Args:
        dtype: precision inside, None for that of its input.
        patch: pixels of a patch, in each direction.
        width: channels inside.
        depth: blocks.
        heads: of the attention, which share the channels.
        mlp_ratio: hidden units of a block's perceptron per channel.
        stages: groups of blocks between which task networks may exchange features.
        up: levels finer than a patch, each by a factor of two.
        down: levels coarser than a patch.
        fpn: channels of every level that is given.

    Raises:
        ValueError: a size below 1, a width that heads or position codes cannot share, more stages than blocks, or a
            patch that cannot be halved `up` times.
    """
    check_sizes(patch=patch, width=width, depth=depth, heads=heads, stages=stages, fpn=fpn)
    for name, value in {"up": up, "down": down}.items():
        if value < 0:
            raise ValueError(f"{name} must be at least 0, got {value}")
    if width % heads or width % 4:
        raise ValueError(f"width must be a multiple of 4 and of the {heads} heads, got {width}")
    if int(width * mlp_ratio) < 1:
        raise ValueError(f"mlp_ratio must give at least 1 hidden unit at width {width}, got {mlp_ratio}")
    if stages > depth:
        raise ValueError(f"stages must be at most depth, {depth}, got {stages}")
    if patch % 2**up or width < 2**up:
        raise ValueError(f"up must be such that patch, {patch}, and width, {width}, can be halved that often, got {up}")
    return ViT(patch, width, depth, heads, mlp_ratio, stages, up, down, fpn, dtype)

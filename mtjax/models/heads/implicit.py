"""Super-resolution to any size: the image as a function of place."""

import itertools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from mtjax.models.heads.refine import beside_features
from mtjax.models.inputs import encoder_input, start_image
from mtjax.models.layers import Blocks, conv, float32
from mtjax.models.pyramid import Pyramid, shuffle
from mtjax.physics import Downsample, Observed, Operator, resize
from mtjax.typing import Array, Float, Int

Neighbor = tuple[Int[Array, "N"], Float[Array, "N"], Float[Array, "N"]]


class Implicit(nn.Module):
    """The first estimate plus a perceptron of the features near a point, where they are, and how large a pixel is.

    Each of the four nearest features answers, weighted by how near it is (bilinearly), so that the answer never jumps.

    Source: Chen et al., "Learning continuous image representation with local implicit image function", CVPR 2021
    (LIIF), with a convolution in place of feature unfolding.
    """

    width: int = 32
    depth: int = 3
    dtype: Any = None

    @nn.compact
    def __call__(
        self, pyramid: Pyramid, observed: Observed, shape: tuple[int, int] | None = None
    ) -> Float[Array, "B H W C"]:
        """Returns an image of the shape that the operator takes in, or of the same scene in `shape` (H, W) pixels."""
        start = start_image(observed)
        sizes = start.shape[1:3]
        if shape is not None:
            start = resize(start, shape)
        x = jnp.concatenate([beside_features(encoder_input(observed), pyramid), pyramid.finest], -1)
        x = Blocks(self.width, self.depth, self.dtype)(x)
        # One feature per pixel of the picture: between wider ones a small perceptron has too much to say.
        x = shuffle(conv(self.width * pyramid.strides[0] ** 2, dtype=self.dtype, name="spread")(x), pyramid.strides[0])

        # The first layer of the perceptron, of features and place together, as the sum of one for each.
        answers = nn.Dense(self.width, dtype=self.dtype, name="features")(x)
        at_place = nn.Dense(self.width, use_bias=False, dtype=self.dtype, name="place")
        hidden = nn.Dense(self.width, dtype=self.dtype, name="hidden")
        positions = [
            pixel_positions(new, size, known, observed.operator)
            for new, size, known in zip(start.shape[1:3], sizes, pyramid.size, strict=True)
        ]
        extent = [known / new for known, new in zip(pyramid.size, start.shape[1:3], strict=True)]
        total = 0.0
        for down, right in itertools.product(*(neighbors(p, n) for p, n in zip(positions, x.shape[1:3], strict=True))):
            offsets = jnp.meshgrid(down[2], right[2], indexing="ij")
            place = jnp.stack([*offsets, *(jnp.full_like(offsets[0], side) for side in extent)], -1)
            one = hidden(nn.gelu(answers[:, down[0]][:, :, right[0]] + at_place(place)))
            total = total + down[1][:, None, None] * right[1][:, None] * nn.gelu(one)
        zeros = nn.initializers.zeros
        # Affine, and the weights sum to 1: the last layer of the mean is the mean of the last layers.
        return start + float32(nn.Dense(start.shape[-1], kernel_init=zeros, dtype=self.dtype, name="out")(total))


def pixel_positions(new: int, size: int, known: int, operator: Operator) -> Float[Array, "N"]:
    """Where on an axis of the observed picture the centers of `new` pixels lie, counted from its first pixel's center.

    The image has `size` pixels there, the picture `known`.
    """
    on_image = (jnp.arange(new) + 0.5) * (size / new)
    factor = size / known
    # Decimation takes the first pixel of each block; other pictures are made of whole blocks.
    return (on_image - 0.5) / factor if isinstance(operator, Downsample) else on_image / factor - 0.5


def neighbors(positions: Float[Array, "N"], count: int) -> tuple[Neighbor, Neighbor]:
    """The features before and after each position on an axis of `count`: index, weight, and the offset from there."""
    before = jnp.floor(positions)
    share = positions - before
    first, second = (jnp.clip(before + side, 0, count - 1) for side in (0, 1))
    return (
        (first.astype(jnp.int32), 1 - share, positions - first),
        (second.astype(jnp.int32), share, positions - second),
    )


def implicit(dtype: Any, outputs: int, /, *, width: int = 32, depth: int = 3) -> Implicit:
    """Super-resolution to any size; `depth` residual blocks of `width` channels, then a perceptron of `width` units."""
    del outputs
    return Implicit(width, depth, dtype)

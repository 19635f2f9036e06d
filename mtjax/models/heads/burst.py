"""The head of multi-frame super-resolution: the frames' features, aligned, fused and put on a finer grid."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from mtjax import solvers
from mtjax.models.heads.refine import beside_features, correction
from mtjax.models.inputs import encoder_input, evidence
from mtjax.models.layers import Blocks, conv
from mtjax.models.pyramid import Pyramid
from mtjax.physics import Observed, Operator
from mtjax.physics.frames import burst_motion, split_frames
from mtjax.physics.warp import grid, sample
from mtjax.typing import Array, Float


class Burst(nn.Module):
    """`shift_and_add(frames) + correction(features)`; the operator says how many frames there are and how they moved.

    Features of each frame are moved onto the first one's grid, and told by how much of a pixel; a softmax over frames,
    by how well each agrees with the first, weighs them. So it takes any number of frames, and the order of all but the
    first does not matter.

    Source: Bhat et al., "Deep burst super-resolution", CVPR 2021 (alignment, and fusion by attention).
    """

    width: int = 32
    depth: int = 3
    dtype: Any = None

    @nn.compact
    def __call__(self, pyramid: Pyramid, observed: Observed) -> Float[Array, "B H W C"]:
        """Returns an image of the shape that the operator takes in; ValueError if that makes no burst."""
        offsets, factor = motion(observed.operator, len(observed.y))
        count = offsets.shape[1]
        start = solvers.shift_and_add(split_frames(observed.y, count), offsets, factor).image

        x = jnp.concatenate([beside_features(encoder_input(observed), pyramid), pyramid.finest], -1)
        x = Blocks(self.width, 1, self.dtype)(x)
        frames = aligned(x.reshape(-1, count, *x.shape[1:]), offsets, pyramid.strides[0])
        x = Fusion(self.width, self.dtype)(frames)

        pixels = beside_features(evidence(start, observed), pyramid)
        x = Blocks(self.width, self.depth, self.dtype)(jnp.concatenate([pixels, x], -1))
        return start + correction(x, pyramid, start, self.dtype)


class Fusion(nn.Module):
    """One map of features from those of all frames."""

    width: int
    dtype: Any = None

    @nn.compact
    def __call__(self, frames: Float[Array, "B T h w c"]) -> Float[Array, "B h w d"]:
        """Each frame's values, weighted at each place by the likeness of its key to the first frame's query."""
        keys = conv(self.width, kernel=1, dtype=self.dtype, name="key")(frames)
        query = conv(self.width, kernel=1, dtype=self.dtype, name="query")(frames[:, :1])
        values = nn.gelu(conv(self.width, dtype=self.dtype, name="value")(frames))
        weights = nn.softmax((query * keys).sum(-1, keepdims=True) / self.width**0.5, axis=1)
        return (weights * values).sum(1)


def motion(operator: Operator, batch: int) -> tuple[Float[Array, "B T 2"], int]:
    """Where the frames of a burst lie, (down, right) in their own pixels, and by which factor the image is finer.

    Raises:
        ValueError: the operator is none as `physics.burst_operator` makes it.
    """
    try:
        offsets, factor = burst_motion(operator)
    except ValueError as error:
        raise ValueError(f"head 'burst': {error}; try 'upscale'") from error
    return jnp.broadcast_to(offsets, (batch, *offsets.shape[-2:])), factor


def aligned(x: Float[Array, "B T h w c"], offsets: Float[Array, "B T 2"], stride: int) -> Float[Array, "B T h w d"]:
    """Features of `stride` pixels on the grid of the image, with two more maps: by what part of a pixel they moved."""
    moved = offsets[:, :, None, None] / stride
    x = sample(x, grid(x.shape[2:4], offsets.dtype) + moved, "linear", "edge").astype(x.dtype)
    phase = offsets - jnp.round(offsets)
    phase = jnp.broadcast_to(phase[:, :, None, None], (*x.shape[:-1], 2)).astype(x.dtype)
    return jnp.concatenate([x, phase], -1)


def burst(dtype: Any, outputs: int, /, *, width: int = 32, depth: int = 3) -> Burst:
    """Multi-frame super-resolution; `depth` residual blocks of `width` channels after the fusion."""
    del outputs
    return Burst(width, depth, dtype)

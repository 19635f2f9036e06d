"""The head of motion between two frames: where in the other frame a pixel's surroundings are found again."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from mtjax.models.heads.refine import beside_features
from mtjax.models.layers import ConvNormAct, NormalizedBlock, conv, float32
from mtjax.models.pyramid import Pyramid, shuffle
from mtjax.physics import Observed
from mtjax.typing import Array, Float


class Correlation(nn.Module):
    """Features of both frames by the same layers, how alike they are at each displacement, and blocks that read that.

    The map is that of the frame before: of each of its pixels, the way to its place in the observation. It starts at 0.

    Source: Dosovitskiy et al., "FlowNet: learning optical flow with convolutional networks", ICCV 2015 (FlowNetC).
    """

    outputs: int
    width: int = 32
    depth: int = 2
    radius: int = 2
    before: str = "previous"
    dtype: Any = None

    @nn.compact
    def __call__(self, pyramid: Pyramid, observed: Observed) -> Float[Array, "B H W K"]:
        """Returns a map of `outputs` values at the observation's resolution.

        Raises:
            ValueError: the observation is not told the frame before.
        """
        if self.before not in observed.fused:
            raise ValueError(f"head 'correlation' needs an observation with fused=({self.before!r},)")
        before = observed.fused[self.before]
        now = jnp.concatenate([observed.y, jnp.ones((*observed.y.shape[:3], 1), observed.y.dtype)], -1)
        pixels = beside_features(jnp.concatenate([before, now]), pyramid)
        x = ConvNormAct(self.width, dtype=self.dtype)(pixels)
        x = conv(self.width, dtype=self.dtype, name="features")(x)
        before, now = jnp.split(x / jnp.sqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-6), 2)

        x = jnp.concatenate([likeness(before, now, self.radius), before, pyramid.finest], -1)
        x = ConvNormAct(self.width, dtype=self.dtype)(x)
        for _ in range(self.depth):
            x = NormalizedBlock(self.dtype)(x)
        stride = pyramid.strides[0]
        x = conv(self.outputs * stride**2, kernel=1, dtype=self.dtype, zero=True, name="out")(x)
        return float32(pyramid.image(shuffle(x, stride)))


def likeness(before: Float[Array, "B h w c"], now: Float[Array, "B h w c"], radius: int) -> Float[Array, "B h w d"]:
    """The mean over channels of `before(p) · now(p + d)`, for each d of (2 · radius + 1)², rows first; edges repeat."""
    height, width = before.shape[1:3]
    padded = jnp.pad(now, ((0, 0), (radius, radius), (radius, radius), (0, 0)), mode="edge")
    steps = range(2 * radius + 1)
    alike = [
        jnp.mean(before * padded[:, row : row + height, column : column + width], -1)
        for row in steps
        for column in steps
    ]
    return jnp.stack(alike, -1)


def correlation(
    dtype: Any, outputs: int, /, *, width: int = 32, depth: int = 2, radius: int = 2, before: str = "previous"
) -> Correlation:
    """Motion from a cost volume of up to `radius` features in each direction; `before` is the other frame's field."""
    return Correlation(outputs, width, depth, radius, before, dtype)

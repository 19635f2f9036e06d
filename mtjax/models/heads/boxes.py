"""The head that proposes a box, a class and a centerness at every location of every level."""

import functools
import math
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from mtjax.models.layers import ConvNormAct, conv, float32
from mtjax.models.pyramid import Pyramid
from mtjax.physics import Observed
from mtjax.pytree import pytree
from mtjax.registry import ConfigError
from mtjax.typing import Array, Float

PRIOR = 0.01  # of a class at a location at first, so that the many without an object do not drown the few with one
REACH = 8  # strides to a box's farthest side, up to which a level is responsible for it
FARTHEST = 5.0  # largest x in `4 stride exp(x)`, 600 strides: the exponential of a stray output must not overflow


@pytree
class Proposals:
    """What is proposed at the L locations of all levels; lengths in pixels of the picture that was encoded.

    logits: of each class. centerness: logits. boxes: ymin, xmin, ymax, xmax. points: y, x of each location.
    reach: a location is responsible for boxes whose farthest side is farther than the first number and no farther than
    the second. size: height and width of the picture.
    """

    logits: Float[Array, "B L K"]
    centerness: Float[Array, "B L"]
    boxes: Float[Array, "B L 4"]
    points: Float[Array, "B L 2"]
    reach: Float[Array, "B L 2"]
    size: Float[Array, "B 2"]


class Boxes(nn.Module):
    """Two small towers of convolutions, the same at every level: one for classes, one for the four sides.

    Source: Tian et al., "FCOS: fully convolutional one-stage object detection", ICCV 2019; distances are
    `4 stride exp(x)`, which starts every level at the size of box that it is there for.
    """

    classes: int
    width: int = 64
    depth: int = 1
    dtype: Any = None

    @nn.compact
    def __call__(self, pyramid: Pyramid, observed: Observed) -> Proposals:
        """Returns the proposals of all levels, the finest first; no box is likely at first."""
        del observed
        class_tower = [ConvNormAct(self.width, dtype=self.dtype, name=f"class{i}") for i in range(self.depth)]
        side_tower = [ConvNormAct(self.width, dtype=self.dtype, name=f"side{i}") for i in range(self.depth)]
        rare = nn.initializers.constant(math.log(PRIOR / (1 - PRIOR)))
        zeros = nn.initializers.zeros
        to_classes = nn.Conv(self.classes, (3, 3), kernel_init=zeros, bias_init=rare, dtype=self.dtype, name="classes")
        to_sides = conv(5, dtype=self.dtype, zero=True, name="sides")
        parts = []
        for i, (level, stride) in enumerate(zip(pyramid.levels, pyramid.strides, strict=True)):
            alike = conv(self.width, kernel=1, dtype=self.dtype, name=f"level{i}")(level)
            logits = to_classes(functools.reduce(_apply, class_tower, alike))
            sides = to_sides(functools.reduce(_apply, side_tower, alike))
            shortest = float(REACH * pyramid.strides[i - 1] if i else 0)
            longest = math.inf if i + 1 == len(pyramid.levels) else float(REACH * stride)
            parts.append(_proposals(float32(logits), float32(sides), stride, (shortest, longest), pyramid.size))
        joined = {
            name: jnp.concatenate([getattr(part, name) for part in parts], axis=1)
            for name in ("logits", "centerness", "boxes", "points", "reach")
        }
        return Proposals(**joined, size=parts[0].size)


def _apply(x: Array, layer: nn.Module) -> Array:
    return layer(x)  # type: ignore[operator]


def _proposals(
    logits: Float[Array, "B h w K"],
    sides: Float[Array, "B h w 5"],
    stride: int,
    reach: tuple[float, float],
    size: tuple[int, int],
) -> Proposals:
    """The proposals of one level, without those that lie in what padding added to the picture."""
    count = len(logits)
    rows, columns = (-(-length // stride) for length in size)
    logits, sides = (x[:, :rows, :columns].reshape(count, rows * columns, -1) for x in (logits, sides))
    grid = jnp.stack(jnp.meshgrid(jnp.arange(rows), jnp.arange(columns), indexing="ij"), -1)
    points = jnp.broadcast_to((grid.reshape(-1, 2) + 0.5) * stride, (count, rows * columns, 2))
    distances = 4 * stride * jnp.exp(jnp.minimum(sides[..., :4], FARTHEST))
    return Proposals(
        logits=logits,
        centerness=sides[..., 4],
        boxes=jnp.concatenate([points - distances[..., :2], points + distances[..., 2:]], -1),
        points=points,
        reach=jnp.broadcast_to(jnp.array(reach, jnp.float32), points.shape),
        size=jnp.broadcast_to(jnp.array(size, jnp.float32), (count, 2)),
    )


def boxes(dtype: Any, outputs: int, /, *, width: int = 64, depth: int = 1) -> Boxes:
    """Anchor-free boxes at every level (FCOS); two towers of `depth` convolutions with `width` channels."""
    for name, value in (("width", width), ("depth", depth)):
        if value < 1:
            raise ConfigError(f"{name} of a head of boxes must be at least 1, got {value}")
    return Boxes(outputs, width, depth, dtype)

"""The color head that says one color table for the whole picture."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from mtjax.models.heads.trilinear import trilinear
from mtjax.models.inputs import start_image
from mtjax.models.layers import float32
from mtjax.models.pyramid import Pyramid
from mtjax.physics import Observed
from mtjax.registry import ConfigError
from mtjax.typing import Array, Float


class Lut(nn.Module):
    """Each color changed by a 3-D lookup table, a mixture of learned ones by weights that the whole picture tells.

    The tables hold changes of a color and start at zero. Colors beyond [0, 1] change like the nearest within.

    Source: Zeng et al., "Learning image-adaptive 3D lookup tables", TPAMI 2020.
    """

    points: int = 17
    tables: int = 3
    width: int = 64
    dtype: Any = None

    @nn.compact
    def __call__(self, pyramid: Pyramid, observed: Observed) -> Float[Array, "B H W 3"]:
        """Returns an image of the shape that the operator takes in; `start_image` at first."""
        start = start_image(observed)
        # Features are normalized: only the picture itself tells how bright and how colored it is.
        known = [*(x.mean((1, 2)) for x in pyramid.levels), start.mean((1, 2)), jnp.square(start).mean((1, 2))]
        x = nn.gelu(nn.Dense(self.width, dtype=self.dtype, name="hidden")(jnp.concatenate(known, -1)))
        weights = float32(nn.Dense(self.tables, dtype=self.dtype, name="weights")(x))
        tables = self.param("tables", nn.initializers.zeros, (self.tables, *(self.points,) * 3, 3), jnp.float32)
        change = jnp.einsum("bk,kxyzc->bxyzc", weights, tables)
        return start + trilinear(change, jnp.clip(start, 0, 1) * (self.points - 1))


def lut(dtype: Any, outputs: int, /, *, points: int = 17, tables: int = 3, width: int = 64) -> Lut:
    """A color table of `points`³ colors, mixed of `tables` by a perceptron with `width` hidden units."""
    check_color("lut", outputs)
    for name, value, least in (("points", points, 2), ("tables", tables, 1), ("width", width, 1)):
        if value < least:
            raise ConfigError(f"{name} must be at least {least}, got {value}")
    return Lut(points, tables, width, dtype)


def check_color(head: str, outputs: int) -> None:
    """Raises a ConfigError unless images have three channels."""
    if outputs != 3:
        raise ConfigError(f"head {head!r} is for images of 3 channels, got {outputs}")

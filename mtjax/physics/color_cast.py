"""What light and camera settings do to colors: white balance, exposure, tone."""

from typing import Any

import jax.numpy as jnp

from mtjax.physics.nonlinear import Clip, Gamma, NonlinearOperator
from mtjax.physics.operator import Operator, Pixels
from mtjax.physics.sampling import Mask
from mtjax.pytree import pytree


@pytree
class ColorCast(NonlinearOperator):
    """`F(x) = min((gains · x)^gamma, 1)`: each channel scaled, a tone curve, then saturation; nothing below 0.

    `gains` > 0 is white balance times exposure: a number, `[C]`, or per example `[B, 1, 1, C]`. `gamma` > 0, of which
    less than 1 brightens, is a number or `[B, 1, 1, 1]`. What saturates is lost.
    """

    gains: Any
    gamma: Any = 1.0

    def __post_init__(self):
        object.__setattr__(self, "gains", 1.0 * jnp.asarray(self.gains))
        object.__setattr__(self, "gamma", 1.0 * jnp.asarray(self.gamma))

    def __call__(self, x: Pixels, /) -> Pixels:
        """The image as that camera shows it."""
        return Clip()(Gamma(self.gamma)(self.gains.astype(x.dtype) * x))

    def linearize(self, x: Pixels, /) -> Operator:
        """A number per pixel and channel; 0 where the value saturates."""
        gains = self.gains.astype(x.dtype)
        toned = Gamma(self.gamma)
        slope, shown = toned.linearize(gains * x), Clip().linearize(toned(gains * x))
        ones = jnp.ones_like(x)
        return Mask(shown(slope(gains * ones)))

    def guess(self, y: Pixels, /) -> Pixels:
        """The image itself, but for what has saturated."""
        return Gamma(self.gamma).guess(y) / self.gains.astype(y.dtype)

"""Constraints on the image itself, as priors: their value is 0 or infinite, their proximal map the nearest image."""

from typing import Any

import jax.numpy as jnp

from mtjax.physics.operator import Identity, Pixels
from mtjax.pytree import pytree
from mtjax.solvers.priors import Prior
from mtjax.solvers.proximal import per_example
from mtjax.typing import Array, Bool, Float, Inexact

Values = Inexact[Array, "..."]


class Constraint(Prior):
    """A convex set of images; a subclass gives `prox`, the projection, which does not depend on `t`."""

    @property
    def analysis(self) -> Identity:
        """The image itself."""
        return Identity()

    def value(self, x: Pixels, /) -> Float[Array, "..."]:
        """0 in the set, infinite outside, with room for rounding: the root of the precision, 3e-4 in float32."""
        away = jnp.abs(x - self.prox(x, 1.0))
        inside: Bool[Array, "..."] = jnp.all(away <= jnp.finfo(x.dtype).eps ** 0.5, (-3, -2, -1))
        return jnp.where(inside, 0.0, jnp.inf).astype(x.dtype)


@pytree
class Box(Constraint):
    """`low <= x <= high` at every pixel; both are numbers, or one for each example."""

    low: Any = 0.0
    high: Any = 1.0

    def __post_init__(self):
        if isinstance(self.low, int | float) and isinstance(self.high, int | float) and self.low > self.high:
            raise ValueError(f"low={self.low} is above high={self.high}; expected low <= high")
        object.__setattr__(self, "low", 1.0 * jnp.asarray(self.low))
        object.__setattr__(self, "high", 1.0 * jnp.asarray(self.high))

    def prox(self, v: Pixels, t: Any, /) -> Pixels:
        """Clips."""
        del t
        return jnp.clip(v, per_example(self.low, v), per_example(self.high, v))


@pytree
class NonNegative(Constraint):
    """`x >= 0` at every pixel."""

    def prox(self, v: Pixels, t: Any, /) -> Pixels:
        """Negative values become 0."""
        del t
        return jnp.maximum(v, 0)


@pytree
class Simplex(Constraint):
    """The channels of each pixel are not negative and sum to `total` > 0 (abundances, memberships, probabilities)."""

    total: Any = 1.0

    def __post_init__(self):
        object.__setattr__(self, "total", 1.0 * jnp.asarray(self.total))

    def prox(self, v: Pixels, t: Any, /) -> Pixels:
        """Takes the same amount from all channels that stay positive, found by sorting (Held, Wolfe, Crowder, 1974)."""
        del t
        total = per_example(self.total, v)
        falling = jnp.flip(jnp.sort(v, -1), -1)
        rank = jnp.arange(1, v.shape[-1] + 1, dtype=v.dtype)
        positive = falling * rank > jnp.cumsum(falling, -1) - total
        count = jnp.maximum(jnp.sum(positive, -1, keepdims=True), 1)
        amount = (jnp.sum(jnp.where(positive, falling, 0), -1, keepdims=True) - total) / count
        return jnp.maximum(v - amount, 0)

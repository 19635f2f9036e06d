"""How far `z = A x` may be from the observation `y`: the data terms `φ(z; y)` of `φ(A x; y) + Σ gᵢ(Lᵢ x)`.

Each acts on `z` and `y` alike, arrays `[*b, h, w, c]` or tuples of them (of a `Stack`).
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from mtjax.physics.operator import squared_magnitude, total
from mtjax.pytree import pytree
from mtjax.solvers.proximal import dot, per_example, shrink, shrink_amount
from mtjax.typing import Array, Float, Inexact

Values = Inexact[Array, "..."]


class DataTerm:
    """A convex function of `z`, given `y`; subclasses are pytree dataclasses.

    `curvature` is a Lipschitz constant of its gradient, None where there is none.
    """

    curvature: Any = None

    def value(self, z: Any, y: Any, /) -> Float[Array, "..."]:
        """`φ(z; y)` of each example, `[*b]`."""
        raise NotImplementedError

    def prox(self, v: Any, t: Any, y: Any, /) -> Any:
        """`argmin_z t φ(z; y) + ½‖z − v‖²`, for `t` > 0 a number or one for each example."""
        raise NotImplementedError

    def gradient(self, z: Any, y: Any, /) -> Any:
        """Gradient of `φ(·; y)` at `z`; ValueError where `φ` is not differentiable."""
        raise ValueError(f"data={type(self).__name__} has no gradient; use pdhg, admm or douglas_rachford")


def _sums(function: Any, *trees: Any) -> Float[Array, "..."]:
    """`Σ function(...)` over pixels and parts: `[*b]`."""
    return total(jax.tree.leaves(jax.tree.map(lambda *a: jnp.sum(function(*a), (-3, -2, -1)), *trees)))


@pytree
class L2(DataTerm):
    """`½‖z − y‖²`: Gaussian noise."""

    @property
    def curvature(self) -> Array:
        """1."""
        return jnp.ones(())

    def value(self, z: Any, y: Any, /) -> Float[Array, "..."]:
        """Half the squared distance."""
        return _sums(lambda a, b: squared_magnitude(a - b) / 2, z, y)

    def prox(self, v: Any, t: Any, y: Any, /) -> Any:
        """`(v + t y) / (1 + t)`."""
        return jax.tree.map(lambda a, b: (a + t * b) / (1 + t), v, y)

    def gradient(self, z: Any, y: Any, /) -> Any:
        """`z − y`."""
        return jax.tree.map(jnp.subtract, z, y)


@pytree
class WeightedL2(DataTerm):
    """`½ Σ w |z − y|²`: noise of known variance `1 / w` at each pixel, or pixels that do not count.

    `weights` >= 0 broadcast to `y`; a tuple of them for a tuple `y`.
    """

    weights: Any

    def __post_init__(self):
        object.__setattr__(self, "weights", jax.tree.map(lambda w: 1.0 * jnp.asarray(w), self.weights))

    @property
    def curvature(self) -> Array:
        """The largest weight."""
        return jnp.stack([w.max() for w in jax.tree.leaves(self.weights)]).max()

    def value(self, z: Any, y: Any, /) -> Float[Array, "..."]:
        """Half the weighted squared distance."""
        return _sums(lambda a, b, w: w * squared_magnitude(a - b) / 2, z, y, self._like(y))

    def prox(self, v: Any, t: Any, y: Any, /) -> Any:
        """`(v + t w y) / (1 + t w)`."""
        return jax.tree.map(lambda a, b, w: (a + t * w * b) / (1 + t * w), v, y, self._like(y))

    def gradient(self, z: Any, y: Any, /) -> Any:
        """`w (z − y)`."""
        return jax.tree.map(lambda a, b, w: w * (a - b), z, y, self._like(y))

    def _like(self, y: Any) -> Any:
        """The weights, one array for each part of `y`, in its precision."""
        parts = self.weights if jax.tree.structure(self.weights) == jax.tree.structure(y) else None
        if parts is None:
            raise ValueError("weights are not built as y is; expected an array, or a tuple of as many as y has parts")
        return jax.tree.map(lambda w, b: w.astype(jnp.finfo(b.dtype).dtype), parts, y)


@pytree
class L1(DataTerm):
    """`‖z − y‖₁`: outliers, such as salt and pepper."""

    def value(self, z: Any, y: Any, /) -> Float[Array, "..."]:
        """Sum of magnitudes."""
        return _sums(lambda a, b: jnp.abs(a - b), z, y)

    def prox(self, v: Any, t: Any, y: Any, /) -> Any:
        """Soft thresholding about `y`."""
        return jax.tree.map(lambda a, b: b + shrink(a - b, per_example(t, a)), v, y)


@pytree
class Huber(DataTerm):
    """`Σ h(z − y)`, `h(r) = r²/2` up to `delta` and `delta |r| − delta²/2` beyond (Huber, 1964): outliers."""

    delta: Any = 0.05

    def __post_init__(self):
        object.__setattr__(self, "delta", 1.0 * jnp.asarray(self.delta))

    @property
    def curvature(self) -> Array:
        """1."""
        return jnp.ones(())

    def value(self, z: Any, y: Any, /) -> Float[Array, "..."]:
        """Sum of Huber's function."""

        def each(a: Values, b: Values) -> Values:
            delta = per_example(self.delta, a)
            power = squared_magnitude(a - b)
            far = power > delta**2
            size = jnp.sqrt(jnp.where(far, power, 1))
            return jnp.where(far, delta * size - delta**2 / 2, power / 2)

        return _sums(each, z, y)

    def prox(self, v: Any, t: Any, y: Any, /) -> Any:
        """A `1 / (1 + t)` part of small residuals stays; of larger ones, all but `t delta`."""

        def each(a: Values, b: Values) -> Values:
            r = a - b
            taken = jnp.minimum(t / (1 + t), shrink_amount(squared_magnitude(r), t * per_example(self.delta, a)))
            return a - taken * r

        return jax.tree.map(each, v, y)

    def gradient(self, z: Any, y: Any, /) -> Any:
        """`z − y`, no longer than `delta`."""

        def each(a: Values, b: Values) -> Values:
            delta = per_example(self.delta, a)
            power = squared_magnitude(a - b)
            return (a - b) * jnp.where(power > delta**2, delta * lax.rsqrt(jnp.maximum(power, delta**2)), 1)

        return jax.tree.map(each, z, y)


@pytree
class Poisson(DataTerm):
    """`Σ (z + b) − y log(z + b)`, the Kullback-Leibler divergence up to a constant: photon counts.

    `background` `b` >= 0 is what is counted without an image. `y` may be counts, or counts divided by any constant.
    The divergence is taken as it is 0 where `z = y`; it is infinite where `z + b` < 0.
    """

    background: Any = 0.0

    def __post_init__(self):
        object.__setattr__(self, "background", 1.0 * jnp.asarray(self.background))

    def value(self, z: Any, y: Any, /) -> Float[Array, "..."]:
        """The divergence of `z + b` from `y`."""

        def each(a: Values, b: Values) -> Values:
            mean = a + per_example(self.background, a)
            counted = b > 0
            ratio = jnp.where(counted & (mean > 0), mean / jnp.where(counted, b, 1), 1)
            known = mean - b - jnp.where(counted, b, 0) * jnp.log(ratio)
            impossible = (mean < 0) | (counted & (mean <= 0))
            return jnp.where(impossible, jnp.inf, known)

        return _sums(each, z, y)

    def prox(self, v: Any, t: Any, y: Any, /) -> Any:
        """The positive root of a quadratic."""

        def each(a: Values, b: Values) -> Values:
            background = per_example(self.background, a)
            half = (a + background - t) / 2
            root = jnp.sqrt(jnp.maximum(half**2 + t * b, jnp.finfo(a.dtype).tiny))
            # half + root loses its digits where half < 0; there the product of the roots is the better form.
            positive = jnp.where(half >= 0, half + root, t * b / (root + jnp.abs(half)))
            return positive - background

        return jax.tree.map(each, v, y)


@pytree
class L2Ball(DataTerm):
    """The constraint `‖z − y‖ <= radius` on each example: the noise's size is known, no weight is needed."""

    radius: Any

    def __post_init__(self):
        object.__setattr__(self, "radius", 1.0 * jnp.asarray(self.radius))

    def value(self, z: Any, y: Any, /) -> Float[Array, "..."]:
        """0 inside, infinite outside, with room for rounding errors."""
        away = jax.tree.map(jnp.subtract, z, y)
        like = jax.tree.leaves(y)[0]
        size, radius = jnp.sqrt(dot(away, away)), per_example(self.radius, like)
        room = 1e-3 * radius + 10 * jnp.finfo(like.dtype).eps * jnp.sqrt(dot(y, y))
        return jnp.where(size <= radius + room, 0.0, jnp.inf)[..., 0, 0, 0]

    def prox(self, v: Any, t: Any, y: Any, /) -> Any:
        """The nearest point of the ball."""
        away = jax.tree.map(jnp.subtract, v, y)
        squared = dot(away, away)
        radius = per_example(self.radius, jax.tree.leaves(y)[0])
        kept = jnp.where(squared > radius**2, radius * lax.rsqrt(jnp.where(squared > radius**2, squared, 1)), 1)
        return jax.tree.map(lambda r, b: b + kept * r, away, y)

"""Forward models that are not linear: clipping, gamma, JPEG-like quantization, magnitudes; alone or after others."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mtjax.physics.operator import Identity, Measured, Operator, Pixels, Shape, squared_magnitude
from mtjax.physics.sampling import Mask
from mtjax.pytree import pytree
from mtjax.typing import Array, Inexact

# ISO/IEC 10918-1, table K.1: luminance.
_LUMINANCE = np.array([
    [16, 11, 10, 16, 24, 40, 51, 61],
    [12, 12, 14, 19, 26, 58, 60, 55],
    [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62],
    [18, 22, 37, 56, 68, 109, 103, 77],
    [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101],
    [72, 92, 95, 98, 112, 100, 103, 99],
])  # fmt: skip
_INDEX = np.arange(8)
_DCT = np.where(_INDEX == 0, np.sqrt(1 / 8), 0.5)[:, None] * np.cos(np.pi * _INDEX[:, None] * (2 * _INDEX + 1) / 16)


class NonlinearOperator(Operator):
    """A map `F` on images `[..., H, W, C]` that is not linear; subclasses are pytree dataclasses.

    It can be observed like any other operator, claims none of the closed forms of a linear one, and has no adjoint:
    solvers that need one say so. `solvers.gauss_newton` and `solvers.gradient_descent` read its Jacobian instead.
    `outer @ inner` chains it after a linear operator or another of its kind.
    """

    def linearize(self, x: Any, /) -> Operator:
        """The Jacobian of `F` at `x`, as a linear operator."""
        return Jacobian(self, x)

    def guess(self, y: Any, /) -> Any:
        """An image from which to search for one with `F(x) = y`: `y` itself, where nothing better is known."""
        return y

    def adjoint(self, y: Any, /) -> Any:
        """ValueError: there is none."""
        name = type(self).__name__
        raise ValueError(f"operator={name} is not linear and has no adjoint; try gauss_newton or gradient_descent")

    def norm_bound(self) -> Array:
        """ValueError: there is none."""
        raise ValueError(f"operator={type(self).__name__} is not linear and has no norm")

    def __matmul__(self, inner: Operator) -> "Chain":
        return Chain(self, inner)


@pytree
class Jacobian(Operator):
    """The derivative of `function` at `point`, by automatic differentiation; its norm is not known.

    Where `function` is real and `point` complex, `adjoint` is that of real inner products: `Re⟨J v, y⟩ = Re⟨v, Jᴴ y⟩`.
    """

    function: Operator
    point: Inexact[Array, "..."]

    def __call__(self, x: Pixels, /) -> Any:
        """`J x`."""
        return jax.jvp(self.function, (self.point,), (x,))[1]

    def adjoint(self, y: Any, /) -> Pixels:
        """`Jᴴ y`."""
        (x,) = jax.vjp(self.function, self.point)[1](jax.tree.map(jnp.conj, y))
        return x.conj()

    def output_shape(self, image_shape: Shape) -> Any:
        """The function's."""
        return self.function.output_shape(image_shape)

    def input_shape(self, y_shape: Any) -> Shape:
        """The function's."""
        return self.function.input_shape(y_shape)


@pytree
class Chain(NonlinearOperator):
    """`F(x) = outer(inner(x))`, of which either may be linear; written `outer @ inner` where `outer` is not."""

    outer: Operator
    inner: Operator

    def __call__(self, x: Any, /) -> Any:
        """`outer(inner(x))`."""
        return self.outer(self.inner(x))

    def linearize(self, x: Any, /) -> Operator:
        """Product of the Jacobians."""
        inner = self.inner.linearize(x) if isinstance(self.inner, NonlinearOperator) else self.inner
        if isinstance(self.outer, NonlinearOperator):
            return self.outer.linearize(self.inner(x)) @ inner
        return self.outer @ inner

    def guess(self, y: Any, /) -> Any:
        """Back through `outer`, then `inner`: through a linear one by its adjoint, scaled to fit best."""
        for part in (self.outer, self.inner):
            y = part.guess(y) if isinstance(part, NonlinearOperator) else scaled_adjoint(part, y)
        return y

    def output_shape(self, image_shape: Shape) -> Any:
        """Through `inner`, then `outer`."""
        return self.outer.output_shape(self.inner.output_shape(image_shape))

    def input_shape(self, y_shape: Any) -> Shape:
        """Back through `outer`, then `inner`."""
        return self.inner.input_shape(self.outer.input_shape(y_shape))


@pytree
class Clip(NonlinearOperator):
    """Saturation: values below `low` become `low`, those above `high` become `high`.

    Both are numbers, or arrays that broadcast with the image, such as `[B, 1, 1, 1]`. The derivative is 1 where
    `low <= x <= high`, and 0 elsewhere.
    """

    low: Any = 0.0
    high: Any = 1.0

    def __post_init__(self):
        object.__setattr__(self, "low", 1.0 * jnp.asarray(self.low))
        object.__setattr__(self, "high", 1.0 * jnp.asarray(self.high))

    def __call__(self, x: Pixels, /) -> Pixels:
        """`min(max(x, low), high)`."""
        low, high = self.low.astype(x.dtype), self.high.astype(x.dtype)
        return jnp.where(x < low, low, jnp.where(x > high, high, x))

    def linearize(self, x: Pixels, /) -> Operator:
        """1 where nothing was clipped."""
        return Mask(((x >= self.low) & (x <= self.high)).astype(x.dtype))


@pytree
class Gamma(NonlinearOperator):
    """`x^exponent`, and `−|x|^exponent` for negative values, so that it can be undone.

    `exponent` > 0 is a number, or an array that broadcasts with the image. For exponents below 1 the derivative is
    infinite at 0, and is taken as 0 there.
    """

    exponent: Any = 1 / 2.2

    def __post_init__(self):
        object.__setattr__(self, "exponent", 1.0 * jnp.asarray(self.exponent))

    def __call__(self, x: Pixels, /) -> Pixels:
        """`sign(x) · |x|^exponent`."""
        return _signed_power(x, self.exponent.astype(x.dtype))

    def linearize(self, x: Pixels, /) -> Operator:
        """`exponent · |x|^(exponent − 1)`."""
        size, exponent = jnp.abs(x), self.exponent.astype(x.dtype)
        slope = exponent * jnp.where(size > 0, size, 1) ** (exponent - 1)
        return Mask(jnp.where(size > 0, slope, jnp.where(exponent == 1, 1, 0)).astype(x.dtype))

    def guess(self, y: Pixels, /) -> Pixels:
        """The image itself: the inverse power."""
        return _signed_power(y, 1 / self.exponent.astype(y.dtype))


def _signed_power(x: Pixels, exponent: Any) -> Pixels:
    size = jnp.abs(x)
    power = jnp.sign(x) * jnp.where(size > 0, size, 1) ** exponent
    return jnp.where(size > 0, power, jnp.where(exponent == 1, x, 0))


@pytree
class Jpeg(NonlinearOperator):
    """What JPEG of this `quality` (1 to 100) does to each channel: its 8×8 DCT is rounded to multiples of a table.

    The table is the standard's for luminance, scaled as the Independent JPEG Group does. Pixels are repeated at the
    border up to whole blocks. Values are neither clipped nor rounded, and color is not subsampled. `quality` is a
    number, or one for each example as `[B, 1, 1, 1]`. The derivative is taken as 1, as if nothing were rounded
    (straight-through: Bengio et al., 2013).
    """

    quality: Any

    def __post_init__(self):
        object.__setattr__(self, "quality", 1.0 * jnp.asarray(self.quality))

    def __call__(self, x: Pixels, /) -> Pixels:
        """Every block's coefficients rounded to the nearest multiple of the table's entries."""
        return x + lax.stop_gradient(self._quantized(x) - x)

    def linearize(self, x: Pixels, /) -> Operator:
        """The identity."""
        return Identity()

    def _quantized(self, x: Pixels) -> Pixels:
        *batch, height, width, channels = x.shape
        fill = [(0, 0)] * len(batch) + [(0, -height % 8), (0, -width % 8), (0, 0)]
        padded = jnp.pad(255 * x - 128, fill, mode="edge")
        blocks = padded.reshape(*batch, padded.shape[-3] // 8, 8, padded.shape[-2] // 8, 8, channels)
        dct, steps = jnp.asarray(_DCT, x.dtype), self._steps(x.dtype)
        coefficients = jnp.einsum("ui,vj,...aibjc->...aubvc", dct, dct, blocks)
        coefficients = steps * jnp.round(coefficients / steps)
        blocks = jnp.einsum("ui,vj,...aubvc->...aibjc", dct, dct, coefficients)
        return ((blocks.reshape(padded.shape) + 128) / 255)[..., :height, :width, :]

    def _steps(self, dtype: Any) -> Inexact[Array, "..."]:
        """The table for this quality, as `[..., 1, 8, 1, 8, 1]`."""
        quality = jnp.clip(self.quality.astype(dtype), 1, 100)
        scale = jnp.where(quality < 50, 5000 / quality, 200 - 2 * quality)[..., None, None]
        table = jnp.asarray(_LUMINANCE[:, None, :, None], dtype)
        return jnp.clip(jnp.floor((table * scale + 50) / 100), 1, 255)


@pytree
class Magnitude(NonlinearOperator):
    """`F(x) = |A x|`: phase retrieval. Of measured intensities `|A x|²`, `y` is the square root.

    Images are complex or real; what `F(x)` tells is `x` up to a phase `e^{iφ}` or sign. The derivative is taken as 0
    where `A x` is 0.
    """

    operator: Operator

    def __call__(self, x: Pixels, /) -> Any:
        """`|A x|`."""
        return jax.tree.map(lambda z: _magnitude(z)[0], self.operator(x))

    def linearize(self, x: Pixels, /) -> Operator:
        """`v -> Re(phase* · A v)`, with the phase of `A x`."""
        phase = jax.tree.map(lambda z: _magnitude(z)[1], self.operator(x))
        return _InPhase(self.operator, phase)

    def guess(self, y: Any, /) -> Pixels:
        """Spectral initialization: the leading eigenvector of `Aᴴ diag(y²) A` (Candès et al., 2015, section 2.3).

        By 100 power iterations from a fixed random image; measurements of more than three times the mean power are
        left out (Chen and Candès, 2017). Complex if `Aᴴ y` is.
        """
        like = jax.eval_shape(self.operator.adjoint, y)
        power = jax.tree.map(lambda part: part * part, y)
        axes = (-3, -2, -1)
        weights = jax.tree.map(lambda p: jnp.where(p <= 9 * p.mean(axes, keepdims=True), p, 0), power)
        start = jax.random.normal(jax.random.key(0), like.shape[-3:], like.dtype)

        def iterate(_: Any, x: Pixels) -> Pixels:
            x = self.operator.adjoint(jax.tree.map(jnp.multiply, weights, self.operator(x)))
            size = jnp.sqrt(squared_magnitude(x).sum(axes, keepdims=True))
            return x / jnp.where(size > 0, size, 1)

        x = lax.fori_loop(0, 100, iterate, jnp.broadcast_to(start, like.shape))
        return _fit(self(x), y) * x

    def output_shape(self, image_shape: Shape) -> Any:
        """The operator's."""
        return self.operator.output_shape(image_shape)

    def input_shape(self, y_shape: Any) -> Shape:
        """The operator's."""
        return self.operator.input_shape(y_shape)


@pytree
class _InPhase(Operator):
    """`v -> Re(phase* · A v)`: linear over the real numbers."""

    operator: Operator
    phase: Any

    def __call__(self, x: Pixels, /) -> Any:
        """The part of `A v` that is in phase."""
        return jax.tree.map(lambda p, z: (p.conj() * z).real, self.phase, self.operator(x))

    def adjoint(self, y: Any, /) -> Pixels:
        """`Aᴴ(phase · y)`."""
        return self.operator.adjoint(jax.tree.map(jnp.multiply, self.phase, y))

    def norm_bound(self) -> Array:
        """That of `A`."""
        return self.operator.norm_bound()

    def output_shape(self, image_shape: Shape) -> Any:
        """That of `A`."""
        return self.operator.output_shape(image_shape)

    def input_shape(self, y_shape: Any) -> Shape:
        """That of `A`."""
        return self.operator.input_shape(y_shape)


def _magnitude(z: Measured) -> tuple[Measured, Measured]:
    """`|z|`, and `z / |z|` or 0."""
    power = squared_magnitude(z)
    size = jnp.sqrt(jnp.where(power > 0, power, 1))
    return jnp.where(power > 0, size, 0), jnp.where(power > 0, z / size, 0)


def scaled_adjoint(operator: Operator, y: Any) -> Any:
    """The multiple of `Aᴴ y` whose observation comes nearest to `y`."""
    x = operator.adjoint(y)
    return _fit(operator(x), y) * x


def _fit(found: Any, y: Any) -> Any:
    """The factor that brings `found` nearest to `y`, for each example `[*b, 1, 1, 1]`."""

    def dot(a: Any, b: Any) -> Any:
        products = jax.tree.map(lambda p, q: jnp.sum((p.conj() * q).real, (-3, -2, -1), keepdims=True), a, b)
        return sum(jax.tree.leaves(products))

    power = dot(found, found)
    return jnp.where(power > 0, dot(found, y) / jnp.where(power > 0, power, 1), 0)

"""The linear map `A` of a forward model `y = A x + e`: what every operator can do."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from mtjax.physics import split_image
from mtjax.physics.sharding import ROWS, by_example, parts
from mtjax.pytree import pytree
from mtjax.registry import nearest
from mtjax.typing import Array, Inexact

Shape = tuple[int, ...]
Pixels = Inexact[Array, "... H W C"]
Measured = Inexact[Array, "... h w c"]  # an observation, whose size may differ from the image's
Spectrum = Inexact[Array, "... H F C"]

# Images are transformed over height and width.
AXES = (-3, -2)


def fourier(x: Pixels) -> Spectrum:
    """Spectrum of images: the half `[..., H, W // 2 + 1, C]` of real ones, all `[..., H, W, C]` of complex ones.

    Of a batch that is split over devices see `sharding.py`, of images that are, `split_image.py`.
    """
    if parts(ROWS) > 1:
        return split_image.fourier(x)
    return by_example(partial(jnp.fft.fft2 if jnp.iscomplexobj(x) else jnp.fft.rfft2, axes=AXES), x)


def inverse_fourier(spectrum: Spectrum, like: Any) -> Pixels:
    """The images of which this is the spectrum; `like`, an array or its description, has their shape and dtype."""
    if parts(ROWS) > 1:
        return split_image.inverse_fourier(spectrum, like)
    if jnp.issubdtype(like.dtype, jnp.complexfloating):
        return by_example(partial(jnp.fft.ifft2, axes=AXES), spectrum)
    return by_example(partial(jnp.fft.irfft2, s=like.shape[-3:-1], axes=AXES), spectrum)


def zero_border(x: Pixels, margins: Any) -> Inexact[Array, "... h w C"]:
    """Images with so many rows and columns of zeros around: `((top, bottom), (left, right))`.

    They are joined to it, since of what is computed and padded in one go XLA makes slow loops on a CPU.
    """
    for axis, sides in zip(AXES, margins, strict=True):
        if any(sides):
            shapes = [[n if a == axis % x.ndim else size for a, size in enumerate(x.shape)] for n in sides]
            top, bottom = (jnp.zeros(shape, x.dtype) for shape in shapes)
            x = jnp.concatenate([top, x, bottom], axis)
    return x


def columns(width: int, dtype: Any) -> int:
    """How many columns the spectrum of images of this width has."""
    return split_image.columns(width, not jnp.issubdtype(dtype, jnp.complexfloating))


def roll(x: Pixels, shift: int, axis: int) -> Pixels:
    """Images moved by some pixels along -3 (down) or -2 (right); what leaves them comes in on the opposite side."""
    if axis == AXES[0] and parts(ROWS) > 1:
        return split_image.roll(x, shift)
    return jnp.roll(x, shift, axis)


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raises ValueError, with the nearest choice, if `value` is none of `choices`."""
    if value not in choices:
        raise ValueError(
            f"unknown {name} {value!r}, expected one of {', '.join(choices)}; {nearest(str(value), choices)}"
        )


class Operator:
    """A linear map on images `[..., H, W, C]` (leading axes are batch axes); subclasses are pytree dataclasses.

    A subclass gives `__call__` and `norm_bound`; the rest has defaults that are right for a map that keeps the image's
    shape. The *capabilities* (`transfer`, `diagonal`, `gram`, `range_gram`, `split`) tell solvers which closed form
    exists; each answers None where there is none.
    """

    def __call__(self, x: Any, /) -> Any:
        """`A x`."""
        raise NotImplementedError

    def adjoint(self, y: Any, /) -> Any:
        """`Aᴴ y`: by default the exact transpose of `__call__`, conjugated where it is complex."""
        like = jax.ShapeDtypeStruct(self.input_shape(jnp.shape(y)), y.dtype)
        (x,) = jax.linear_transpose(self.__call__, like)(y.conj())
        return x.conj()

    def normal(self, x: Pixels, /) -> Pixels:
        """`AᴴA x`."""
        return self.adjoint(self(x))

    def norm_bound(self) -> Array:
        """A scalar that is certainly not below the largest singular value of `A`."""
        raise NotImplementedError

    def output_shape(self, image_shape: Shape) -> Any:
        """Shape of `A x` for `x` of this full shape `(..., H, W, C)`."""
        return image_shape

    def input_shape(self, y_shape: Any) -> Shape:
        """Shape of `x` for `A x` of this full shape."""
        return y_shape

    def transfer(self, shape: Shape, dtype: Any) -> Spectrum | None:
        """If `A` is a circular convolution of images of this shape: its transfer function (its spectrum)."""
        del shape, dtype
        return None

    def diagonal(self, shape: Shape, dtype: Any) -> Pixels | None:
        """If `A` multiplies each pixel by a number: those numbers, broadcastable to the image."""
        del shape, dtype
        return None

    def gram(self, shape: Shape, dtype: Any) -> Spectrum | None:
        """If `AᴴA` is a circular convolution of images of this shape: its (real) spectrum."""
        transfer = self.transfer(shape, dtype)
        return None if transfer is None else squared_magnitude(transfer)

    def range_gram(self, y_shape: Shape, dtype: Any) -> Spectrum | None:
        """If `AAᴴ` is a circular convolution of observations of this shape: its (real) spectrum."""
        return self.gram(y_shape, dtype)

    def split(self, shape: Shape, dtype: Any) -> "tuple[Operator, Operator] | None":
        """If `A = D B` with `DᴴD` pixelwise (a mask, a crop, a decimation) and `B` circular: the pair `(D, B)`."""
        del shape, dtype
        return None

    def approximate_gram(self, shape: Shape, dtype: Any) -> Spectrum | None:
        """Spectrum of a circular convolution near `AᴴA`, with which to precondition; exact where there is one."""
        return self.gram(shape, dtype)

    def __matmul__(self, inner: "Operator") -> "Operator":
        from mtjax.physics.algebra import Compose
        from mtjax.physics.nonlinear import Chain, NonlinearOperator

        return (Chain if isinstance(inner, NonlinearOperator) else Compose)(self, inner)

    def __mul__(self, scale: Any) -> "Operator":
        from mtjax.physics.algebra import Scaled

        return Scaled(1.0 * jnp.asarray(scale), self)

    __rmul__ = __mul__

    def __add__(self, other: "Operator") -> "Operator":
        from mtjax.physics.algebra import Sum

        return Sum(self, other)


def squared_magnitude(x: Inexact[Array, "..."]) -> Inexact[Array, "..."]:
    """`|x|²`, without the square root that has no gradient at 0."""
    return jnp.real(x) ** 2 + jnp.imag(x) ** 2 if jnp.iscomplexobj(x) else x * x


def total(parts: Sequence[Any]) -> Any:
    """Sum of the parts, or None if there are none or one is None."""
    return None if not parts or any(part is None for part in parts) else sum(parts[1:], parts[0])


@pytree
class Identity(Operator):
    """`A x = x`: denoising."""

    def __call__(self, x: Pixels, /) -> Pixels:
        """`x` itself."""
        return x

    def adjoint(self, y: Pixels, /) -> Pixels:
        """`y` itself."""
        return y

    def norm_bound(self) -> Array:
        """1."""
        return jnp.ones(())

    def transfer(self, shape: Shape, dtype: Any) -> Spectrum:
        """1 at every frequency."""
        return jnp.ones((1, 1, 1), dtype)

    def diagonal(self, shape: Shape, dtype: Any) -> Pixels:
        """1 at every pixel."""
        return jnp.ones((1, 1, 1), dtype)

"""Convolution with a point-spread function, and what the image is taken to be beyond its border."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp

from mtjax.physics.operator import (
    AXES,
    Identity,
    Measured,
    Operator,
    Pixels,
    Shape,
    Spectrum,
    check_choice,
    fourier,
    inverse_fourier,
)
from mtjax.pytree import pytree, replace, static
from mtjax.typing import Array, Float

BOUNDARIES = ("circular", "reflect", "edge", "zero", "valid")
_PAD_MODES = {"reflect": "symmetric", "edge": "edge", "zero": "constant"}


@pytree
class Blur(Operator):
    """Convolution with `kernel`, each channel by itself.

    `kernel` is `[kh, kw]`, one per channel `[kh, kw, C]`, or one per example `[B, kh, kw, 1 or C]`; its center is the
    pixel at floor(n/2), as in `skimage.restoration.wiener`; it is used as given, not normalized.
    `boundary` is what lies beyond the image: itself again ("circular"), its mirror image with the border pixel
    repeated ("reflect", as in `scipy.ndimage`), its border pixels ("edge"), nothing ("zero"); or "valid": only pixels
    whose whole neighborhood is known are observed, so that `y` is smaller than `x` by the kernel's size minus one.
    """

    kernel: Any  # as above; kept as [..., kh, kw, C]
    boundary: str = static(default="circular")

    def __post_init__(self):
        check_choice("boundary", self.boundary, BOUNDARIES)
        kernel = 1.0 * jnp.asarray(self.kernel)
        if kernel.ndim < 2:
            raise ValueError(f"kernel has shape {kernel.shape}; expected [kh, kw], [kh, kw, C] or [B, kh, kw, C]")
        object.__setattr__(self, "kernel", kernel[..., None] if kernel.ndim == 2 else kernel)

    def __call__(self, x: Pixels, /) -> Measured:
        """`[..., H, W, C]` to the same shape, or to `[..., H-kh+1, W-kw+1, C]` where the boundary is "valid"."""
        self._check_fits(x.shape)
        if self.boundary == "circular":
            return inverse_fourier(self._transfer(x.shape, x.dtype) * fourier(x), x)
        if self.boundary != "valid":
            x = self._extended(x)
        blurred = inverse_fourier(self._transfer(x.shape, x.dtype) * fourier(x), x)
        return blurred[self._known(x.shape)]

    def adjoint(self, y: Measured, /) -> Pixels:
        """Exactly `Aᴴ y`, for every boundary."""
        if self.boundary == "circular":
            return inverse_fourier(self._transfer(y.shape, y.dtype).conj() * fourier(y), y)
        wide = replace(self, boundary="circular").adjoint(Crop(self.margins()).adjoint(y))
        if self.boundary == "valid":
            return wide
        (x,) = jax.linear_transpose(self._extended, jax.ShapeDtypeStruct(y.shape, y.dtype))(wide)
        return x

    def output_shape(self, image_shape: Shape) -> Shape:
        """The image's shape, less the border where the boundary is "valid"."""
        self._check_fits(image_shape)
        if self.boundary != "valid":
            return image_shape
        (top, bottom), (left, right) = self.margins()
        *batch, height, width, channels = image_shape
        return (*batch, height - top - bottom, width - left - right, channels)

    def input_shape(self, y_shape: Shape) -> Shape:
        """The shape of `x`."""
        if self.boundary != "valid":
            return y_shape
        (top, bottom), (left, right) = self.margins()
        *batch, height, width, channels = y_shape
        return (*batch, height + top + bottom, width + left + right, channels)

    def transfer(self, shape: Shape, dtype: Any) -> Spectrum | None:
        """DFT of the kernel, its center moved to the origin; None unless the boundary is circular."""
        return self._transfer(shape, dtype) if self.boundary == "circular" else None

    def approximate_gram(self, shape: Shape, dtype: Any) -> Spectrum | None:
        """That of the circular blur, from which the others differ near the border alone."""
        return replace(self, boundary="circular").gram(shape, dtype)

    def split(self, shape: Shape, dtype: Any) -> tuple[Operator, Operator] | None:
        """A "valid" blur is exactly a crop of the circular one; other boundaries have no such form."""
        if self.boundary != "valid":
            return None
        return Crop(self.margins()), replace(self, boundary="circular")

    def norm_bound(self) -> Array:
        """From Young's inequality and, at borders, Schur's test on how often each pixel is read (see below)."""
        size = jnp.abs(self.kernel)
        total = size.sum(AXES)
        if self.boundary == "reflect":
            return jnp.minimum(2 * total, self._parity_parts_size()).max()
        if self.boundary == "edge":
            return jnp.sqrt(total * self._largest_column(size)).max()
        return total.max()

    def _parity_parts_size(self) -> Float[Array, "..."]:
        """Sum of ℓ₁ norms of the kernel's even and odd parts along both axes.

        The mirrored image has four times the energy, and convolution with a kernel of pure parity leaves a quarter of
        it in each quadrant; so the bound holds for each part, and is ‖k‖₁ for a symmetric kernel.
        """
        height, width = self.kernel.shape[-3:-1]
        even = [(0, 0)] * (self.kernel.ndim - 3) + [(0, (height + 1) % 2), (0, (width + 1) % 2), (0, 0)]
        kernel = jnp.pad(self.kernel, even)  # odd sizes, so that flipping keeps the center
        total = jnp.zeros(())
        for vertical, horizontal in itertools.product((1, -1), (1, -1)):
            part = (kernel + vertical * jnp.flip(kernel, -3)) / 2
            part = (part + horizontal * jnp.flip(part, -2)) / 2
            total = total + jnp.abs(part).sum(AXES)
        return total

    def _largest_column(self, size: Float[Array, "..."]) -> Float[Array, "..."]:
        """Largest ‖·‖₁ of a column where border pixels repeat: `d` pixels outwards, one is read `d + 1` times."""

        def weights(count: int) -> list[Any]:
            offset = jnp.arange(count) - count // 2
            inward, outward = jnp.maximum(offset + 1, 0), jnp.maximum(1 - offset, 0)
            return [jnp.ones(count), inward, outward]

        height, width = size.shape[-3:-1]
        columns = [
            (size * rows[:, None, None] * cols[None, :, None]).sum(AXES)
            for rows in weights(height)
            for cols in weights(width)
        ]
        return jnp.stack(columns).max(0)

    def margins(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """How many pixels beyond the image the kernel reads: ((above, below), (left, right))."""
        height, width = self.kernel.shape[-3:-1]
        return (height - 1 - height // 2, height // 2), (width - 1 - width // 2, width // 2)

    def _extended(self, x: Pixels) -> Measured:
        """The image with what is taken to lie around it."""
        return jnp.pad(x, [(0, 0)] * (x.ndim - 3) + [*self.margins(), (0, 0)], mode=_PAD_MODES[self.boundary])

    def _known(self, shape: Shape) -> tuple[Any, ...]:
        """Index of the pixels of a padded image of this shape that a circular blur gets right."""
        (top, bottom), (left, right) = self.margins()
        return (..., slice(top, shape[-3] - bottom), slice(left, shape[-2] - right), slice(None))

    def _transfer(self, shape: Shape, dtype: Any) -> Spectrum:
        (height, width), (rows, columns) = shape[-3:-1], self.kernel.shape[-3:-1]
        self._check_fits(shape)
        fill = [(0, 0)] * (self.kernel.ndim - 3) + [(0, height - rows), (0, width - columns), (0, 0)]
        kernel = jnp.pad(self.kernel.astype(dtype), fill)
        return fourier(jnp.roll(kernel, (-(rows // 2), -(columns // 2)), AXES))

    def _check_fits(self, shape: Shape) -> None:
        rows, columns, channels = self.kernel.shape[-3:]
        if len(shape) < 3:
            raise ValueError(f"x has shape {tuple(shape)}; expected an image [..., H, W, C]")
        if rows > shape[-3] or columns > shape[-2]:
            raise ValueError(f"kernel of {rows}x{columns} pixels is larger than the image of {shape[-3]}x{shape[-2]}")
        if channels not in (1, shape[-1]):
            raise ValueError(f"kernel has {channels} channels; expected 1 or the image's {shape[-1]}")


@pytree
class Crop(Operator):
    """Drops a border: `margins` is ((above, below), (left, right)) in pixels."""

    margins: tuple[tuple[int, int], tuple[int, int]] = static()

    def __call__(self, x: Pixels, /) -> Measured:
        """The inner part."""
        (top, bottom), (left, right) = self.margins
        return x[..., top : x.shape[-3] - bottom, left : x.shape[-2] - right, :]

    def adjoint(self, y: Measured, /) -> Pixels:
        """A border of zeros."""
        return jnp.pad(y, [(0, 0)] * (y.ndim - 3) + [*self.margins, (0, 0)])

    def norm_bound(self) -> Array:
        """1."""
        return jnp.ones(())

    def output_shape(self, image_shape: Shape) -> Shape:
        """Smaller by the margins."""
        (top, bottom), (left, right) = self.margins
        *batch, height, width, channels = image_shape
        return (*batch, height - top - bottom, width - left - right, channels)

    def input_shape(self, y_shape: Shape) -> Shape:
        """Larger by the margins."""
        (top, bottom), (left, right) = self.margins
        *batch, height, width, channels = y_shape
        return (*batch, height + top + bottom, width + left + right, channels)

    def range_gram(self, y_shape: Shape, dtype: Any) -> Spectrum:
        """`AAᴴ` is the identity."""
        return jnp.ones((1, 1, 1), dtype)

    def split(self, shape: Shape, dtype: Any) -> tuple[Operator, Operator] | None:
        """Itself, after nothing."""
        return self, Identity()

"""Which pixels are observed: masks and decimation."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from mtjax.physics.blur import Blur
from mtjax.physics.operator import (
    Identity,
    Measured,
    Operator,
    Pixels,
    Shape,
    Spectrum,
    columns,
    fourier,
    inverse_fourier,
)
from mtjax.pytree import pytree, static
from mtjax.typing import Array


@pytree
class Mask(Operator):
    """`A x = mask · x`: 1 where a pixel is observed, 0 where it is missing (or any weights).

    `mask` is `[H, W]`, `[H, W, 1 or C]`, or per example `[B, H, W, 1 or C]`.
    """

    mask: Any  # as above; kept as [..., H, W, C]

    def __post_init__(self):
        mask = 1.0 * jnp.asarray(self.mask)
        if mask.ndim < 2:
            raise ValueError(f"mask has shape {mask.shape}; expected [H, W], [H, W, C] or [B, H, W, C]")
        object.__setattr__(self, "mask", mask[..., None] if mask.ndim == 2 else mask)

    def __call__(self, x: Pixels, /) -> Pixels:
        """`mask · x`."""
        return self.diagonal(x.shape, x.dtype) * x

    def adjoint(self, y: Pixels, /) -> Pixels:
        """`mask* · y`."""
        return self.diagonal(y.shape, y.dtype).conj() * y

    def norm_bound(self) -> Array:
        """Largest weight."""
        return jnp.abs(self.mask).max()

    def diagonal(self, shape: Shape, dtype: Any) -> Pixels:
        """The mask."""
        if len(shape) < 3 or any(m not in (1, n) for m, n in zip(self.mask.shape[-3:], shape[-3:], strict=True)):
            raise ValueError(f"mask has shape {self.mask.shape}, which does not match the image's {tuple(shape)}")
        if jnp.iscomplexobj(self.mask) and not jnp.issubdtype(dtype, jnp.complexfloating):
            raise ValueError(f"mask is complex, the image is {jnp.dtype(dtype)}; expected a complex image")
        return self.mask.astype(dtype)

    def split(self, shape: Shape, dtype: Any) -> tuple[Operator, Operator] | None:
        """Itself, after nothing."""
        return self, Identity()


@pytree
class Downsample(Operator):
    """Every `factor`-th pixel, from the first on, after an optional circular blur with `kernel` (see `Blur`)."""

    factor: int = static()
    kernel: Any = None

    def __post_init__(self):
        if self.factor < 1 or self.factor != int(self.factor):
            raise ValueError(f"factor={self.factor} is not a decimation; expected an integer of at least 1")
        if self.kernel is not None:
            object.__setattr__(self, "kernel", Blur(self.kernel).kernel)

    def __call__(self, x: Pixels, /) -> Measured:
        """`[..., H, W, C]` to `[..., H/factor, W/factor, C]`."""
        self.output_shape(x.shape)
        return self._blur()(x)[..., :: self.factor, :: self.factor, :]

    def adjoint(self, y: Measured, /) -> Pixels:
        """Zeros between the pixels, then the adjoint of the blur."""
        return self._blur().adjoint(self._spread(y))

    def norm_bound(self) -> Array:
        """The blur's."""
        return self._blur().norm_bound()

    def output_shape(self, image_shape: Shape) -> Shape:
        """Smaller by `factor`, which must divide height and width."""
        *batch, height, width, channels = image_shape
        for name, size in (("height", height), ("width", width)):
            if size % self.factor:
                raise ValueError(f"image {name} {size} is not divisible by factor={self.factor}")
        return (*batch, height // self.factor, width // self.factor, channels)

    def input_shape(self, y_shape: Shape) -> Shape:
        """Larger by `factor`."""
        *batch, height, width, channels = y_shape
        return (*batch, height * self.factor, width * self.factor, channels)

    def range_gram(self, y_shape: Shape, dtype: Any) -> Spectrum:
        """Spectrum of the blur's autocorrelation, decimated: `AAᴴ` is circular although `AᴴA` is not."""
        shape = self.input_shape(y_shape)
        height, width = shape[-3:-1]
        power: Any = self._blur().gram(shape, dtype)
        power = jnp.broadcast_to(power, (*power.shape[:-3], height, columns(width, dtype), power.shape[-1]))
        autocorrelation = inverse_fourier(power, jax.ShapeDtypeStruct(shape, dtype))[
            ..., :: self.factor, :: self.factor, :
        ]
        return fourier(autocorrelation).real

    def split(self, shape: Shape, dtype: Any) -> tuple[Operator, Operator] | None:
        """Decimation after the blur."""
        return Downsample(self.factor), self._blur()

    def _blur(self) -> Operator:
        return Identity() if self.kernel is None else Blur(self.kernel)

    def _spread(self, y: Measured) -> Pixels:
        gap = (0, self.factor - 1, self.factor - 1)
        return lax.pad(y, jnp.zeros((), y.dtype), [(0, 0, 0)] * (y.ndim - 3) + [gap, gap, (0, 0, 0)])

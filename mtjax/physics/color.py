"""What a camera does to color: the Bayer mosaic of its sensor, and mixing of channels."""

from typing import Any

import jax.numpy as jnp
from jax import lax

from mtjax.physics.operator import Identity, Measured, Operator, Pixels, Shape, Spectrum, check_choice
from mtjax.physics.sensing import spectral_norm
from mtjax.pytree import pytree, static
from mtjax.typing import Array

PATTERNS = ("rggb", "bggr", "grbg", "gbrg")


@pytree
class Mosaic(Operator):
    """A Bayer sensor (Bayer, 1976): each pixel measures red, green or blue, `[..., H, W, 3]` to `[..., H, W, 1]`.

    `pattern` names the colors of the top left 2 × 2 pixels, row by row: "rggb", "bggr", "grbg" or "gbrg".
    """

    pattern: str = static(default="rggb")

    def __post_init__(self):
        check_choice("pattern", self.pattern, PATTERNS)

    def __call__(self, x: Pixels, /) -> Measured:
        """The measured color of each pixel."""
        self.output_shape(x.shape)
        return (self.mask(x.shape, x.dtype) * x).sum(-1, keepdims=True)

    def adjoint(self, y: Measured, /) -> Pixels:
        """Each measurement in its own channel, zero in the others."""
        return self.mask(y.shape, y.dtype) * y

    def mask(self, shape: Shape, dtype: Any) -> Pixels:
        """Which color of images of this shape is measured where: `[H, W, 3]`, 0 or 1."""
        height, width = shape[-3:-1]
        cell = jnp.eye(3, dtype=dtype)[jnp.asarray(["rgb".index(color) for color in self.pattern])].reshape(2, 2, 3)
        return jnp.tile(cell, (-(-height // 2), -(-width // 2), 1))[:height, :width]

    def norm_bound(self) -> Array:
        """1."""
        return jnp.ones(())

    def output_shape(self, image_shape: Shape) -> Shape:
        """One channel; ValueError unless the image has three."""
        if image_shape[-1] != 3:
            raise ValueError(f"image has {image_shape[-1]} channels; expected 3 (red, green, blue)")
        return (*image_shape[:-1], 1)

    def input_shape(self, y_shape: Shape) -> Shape:
        """Three channels."""
        return (*y_shape[:-1], 3)

    def range_gram(self, y_shape: Shape, dtype: Any) -> Spectrum:
        """`AAᴴ` is the identity."""
        return jnp.ones((1, 1, 1), dtype)

    def split(self, shape: Shape, dtype: Any) -> tuple[Operator, Operator] | None:
        """Itself, after nothing."""
        return self, Identity()


@pytree
class ColorMatrix(Operator):
    """Channels mixed in each pixel by itself: `[..., H, W, C]` to `[..., H, W, c]` by a `matrix` `[c, C]`."""

    matrix: Any  # as above

    def __post_init__(self):
        matrix = 1.0 * jnp.asarray(self.matrix)
        if matrix.ndim != 2:
            raise ValueError(f"matrix has shape {matrix.shape}; expected [c, C]")
        object.__setattr__(self, "matrix", matrix)

    def __call__(self, x: Pixels, /) -> Measured:
        """`matrix @ pixel`."""
        self.output_shape(x.shape)
        return jnp.einsum("cC,...C->...c", self.matrix.astype(x.dtype), x, precision=lax.Precision.HIGHEST)

    def norm_bound(self) -> Array:
        """The matrix's largest singular value."""
        return spectral_norm(self.matrix)

    def output_shape(self, image_shape: Shape) -> Shape:
        """`c` channels; ValueError unless the image has `C`."""
        if image_shape[-1] != self.matrix.shape[1]:
            raise ValueError(f"image has {image_shape[-1]} channels; expected {self.matrix.shape[1]}, one per column")
        return (*image_shape[:-1], self.matrix.shape[0])

    def input_shape(self, y_shape: Shape) -> Shape:
        """`C` channels."""
        return (*y_shape[:-1], self.matrix.shape[1])

    def range_gram(self, y_shape: Shape, dtype: Any) -> Spectrum | None:
        """Where there is one row: its squared norm, at every frequency."""
        if self.matrix.shape[0] > 1:
            return None
        return jnp.sum(self.matrix**2).astype(dtype).reshape(1, 1, 1)

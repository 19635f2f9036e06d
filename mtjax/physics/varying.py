"""Blur that changes across the image: a few kernels, and at each pixel the shares in which they act."""

from typing import Any

import jax.numpy as jnp

from mtjax.physics.blur import BOUNDARIES, Blur
from mtjax.physics.operator import Measured, Operator, Pixels, Shape, check_choice
from mtjax.pytree import pytree, replace, static
from mtjax.typing import Array, Float


@pytree
class SpaceVaryingBlur(Operator):
    """`A x = Σₖ weightsₖ · (kernelₖ * x)`: the image is blurred by each kernel, the results are mixed pixel by pixel.

    Interpolated kernels (Nagy and O'Leary, 1998) in the order "convolve, then weigh": with weights that sum to 1, a
    blurred pixel is a mean with the kernel interpolated there, and a constant image stays as it is. The adjoint has the
    other order, the product-convolution expansion that Escande and Weiss (2017) study.

    `kernels` is `[K, kh, kw]`, `weights` `[K, h, w]` for the blurred image's size; either may have an axis of examples
    in front. Kernels are centered and `boundary` is understood as in `Blur`.
    """

    kernels: Any  # as above
    weights: Any
    boundary: str = static(default="reflect")

    def __post_init__(self):
        check_choice("boundary", self.boundary, BOUNDARIES)
        for name in ("kernels", "weights"):
            values = 1.0 * jnp.asarray(getattr(self, name))
            if values.ndim not in (3, 4):
                raise ValueError(f"{name} has shape {values.shape}; expected [K, height, width]")
            object.__setattr__(self, name, values)
        if self.kernels.shape[-3] != self.weights.shape[-3]:
            raise ValueError(
                f"{self.kernels.shape[-3]} kernels have {self.weights.shape[-3]} weights; expected as many"
            )

    @classmethod
    def from_grid(cls, kernels: Any, size: tuple[int, int], boundary: str = "reflect") -> "SpaceVaryingBlur":
        """For images of this (height, width), from kernels `[rows, columns, kh, kw]` at the centers of a grid of cells.

        Between centers the kernels pass into one another by raised cosines, which have a derivative and sum to 1.
        """
        kernels = jnp.asarray(kernels)
        if kernels.ndim != 4:
            raise ValueError(f"kernels has shape {kernels.shape}; expected [rows, columns, kh, kw]")
        rows, columns = kernels.shape[:2]
        height, width, _ = Blur(kernels[0, 0], boundary).output_shape((*size, 1))
        down, right = _transitions(height, rows), _transitions(width, columns)
        weights = (down[:, None, :, None] * right[None, :, None, :]).reshape(rows * columns, height, width)
        return cls(kernels.reshape(-1, *kernels.shape[2:]), weights, boundary)

    def __call__(self, x: Pixels, /) -> Measured:
        """The mixture; smaller than `x` where the boundary is "valid"."""
        self.output_shape(x.shape)
        return (self.weights[..., None].astype(x.dtype) * self._blur()(x[..., None, :, :, :])).sum(-4)

    def norm_bound(self) -> Array:
        """By Schur's test: root of the largest row sum times the largest column sum of the absolute matrix."""
        size = replace(self, kernels=jnp.abs(self.kernels), weights=jnp.abs(self.weights))
        batch = jnp.broadcast_shapes(self.kernels.shape[:-3], self.weights.shape[:-3])
        ones = jnp.ones((*batch, *self.weights.shape[-2:], 1), self.weights.dtype)
        columns = size.adjoint(ones)
        rows = size(jnp.ones_like(columns))
        margin = 1 + 100 * float(jnp.finfo(ones.dtype).eps)  # of the FFT
        return margin * jnp.sqrt(rows.max() * columns.max())

    def output_shape(self, image_shape: Shape) -> Shape:
        """The blur's, which must be that of the weights."""
        shape = self._blur().output_shape(image_shape)
        if shape[-3:-1] != self.weights.shape[-2:]:
            raise ValueError(f"weights are for {self.weights.shape[-2:]} pixels; expected {shape[-3:-1]}, as blurred")
        return shape

    def input_shape(self, y_shape: Shape) -> Shape:
        """The blur's."""
        return self._blur().input_shape(y_shape)

    def _blur(self) -> Blur:
        """All kernels, each for one of as many images."""
        return Blur(self.kernels[..., None], self.boundary)


def _transitions(size: int, count: int) -> Float[Array, "count size"]:
    """Shares of `count` cells in the `size` pixels of an axis: 1 at a cell's center, 0 from the next center on."""
    position = jnp.clip((jnp.arange(size) + 0.5) * (count / size) - 0.5, 0, count - 1)  # in cells
    away = jnp.minimum(jnp.abs(position - jnp.arange(count)[:, None]), 1)
    return (1 + jnp.cos(jnp.pi * away)) / 2

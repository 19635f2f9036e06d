"""Compressed sensing: inner products of the image, or of its patches, with the rows of a dense matrix."""

import math
from typing import Any, cast

import jax
import jax.numpy as jnp
from jax import lax

from mtjax.physics.operator import Measured, Operator, Pixels, Shape
from mtjax.pytree import pytree, static
from mtjax.typing import Array, Float, PRNGKeyArray, Shaped

Matrix = Float[Array, "M N"]


def spectral_norm(matrix: Matrix) -> Array:
    """The largest singular value of a matrix, rounded up by more than the error of computing it."""
    margin = 4 * max(matrix.shape) * float(jnp.finfo(matrix.dtype).eps)
    matrix = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    gram = jnp.matmul(matrix, matrix.T, precision=lax.Precision.HIGHEST)
    return (1 + margin) * jnp.sqrt(jnp.maximum(jnp.linalg.eigvalsh(gram)[-1], 0))


def gaussian_matrix(key: Shaped[PRNGKeyArray, ""], m: int, n: int) -> Matrix:
    """`[m, n]`: an orthonormal basis of the row space of a matrix of independent normal numbers; `m <= n`.

    So `AAᴴ` is the identity, the norm is 1, and conjugate gradients need two steps; what can be recovered depends on
    the row space alone.
    """
    if not 1 <= m <= n:
        raise ValueError(f"m={m} rows of length n={n} cannot be orthonormal; expected 1 <= m <= n")
    q, r = jnp.linalg.qr(jax.random.normal(key, (n, m)))
    return (q * jnp.where(jnp.diagonal(r) < 0, -1, 1)).T  # with these signs it is uniformly distributed


def bernoulli_matrix(key: Shaped[PRNGKeyArray, ""], m: int, n: int) -> Matrix:
    """`[m, n]`: independent ±1/√m with equal probability, so that `E ‖A x‖² = ‖x‖²`."""
    if min(m, n) < 1:
        raise ValueError(f"m={m}, n={n} is not the shape of a matrix; expected at least 1")
    return jax.random.rademacher(key, (m, n), jnp.result_type(float)) / math.sqrt(m)


@pytree
class MatrixSensing(Operator):
    """`y = matrix @ vector`, for the whole image or for each of its patches, each channel alike.

    The `matrix` `[M, N]` meets pixels in row-major order: row `r`, column `c` of a patch `w` wide is entry `r·w + c`,
    as in ISTA-Net's measurement matrices.
    With `block=b`, non-overlapping patches of b × b pixels: N = b², and `[..., H, W, C]` becomes
    `[..., H/b, W/b, M·C]`, measurement `m` of channel `c` at `m·C + c`. Without it, the whole image: N = H·W, and the
    result is `[..., 1, M, C]`; `size` is the image's (H, W), by default a square.
    """

    matrix: Any  # as above
    block: int | None = static(None)
    size: tuple[int, int] | None = static(None)

    def __post_init__(self):
        matrix = 1.0 * jnp.asarray(self.matrix)
        if matrix.ndim != 2:
            raise ValueError(f"matrix has shape {matrix.shape}; expected [M, N]")
        object.__setattr__(self, "matrix", matrix)
        if self.block is not None and self.size is not None:
            raise ValueError(f"size={self.size} is for whole images; expected None with block={self.block}")
        side = math.isqrt(matrix.shape[1]) if self.block is None else self.block
        height, width = self.size or (side, side)
        if height * width != matrix.shape[1]:
            raise ValueError(f"matrix has {matrix.shape[1]} columns; expected {height * width}, for {height}x{width}")
        object.__setattr__(self, "size", (height, width))

    def __call__(self, x: Pixels, /) -> Measured:
        """`[..., H, W, C]` to `[..., H/block, W/block, M·C]`, or to `[..., 1, M, C]`."""
        shape = self.output_shape(x.shape)
        height, width = self._patch
        *batch, rows, columns, channels = x.shape
        patches = x.reshape(*batch, rows // height, height, columns // width, width, channels)
        y = jnp.einsum("mij,...aibjc->...abmc", self._rows(x.dtype), patches, precision=lax.Precision.HIGHEST)
        return y.reshape(shape)

    def adjoint(self, y: Measured, /) -> Pixels:
        """Sum of the matrix's rows, each times its measurement."""
        shape = self.input_shape(y.shape)
        height, width = self._patch
        *batch, rows, columns, channels = shape
        y = y.reshape(*batch, rows // height, columns // width, self.matrix.shape[0], channels)
        x = jnp.einsum("mij,...abmc->...aibjc", self._rows(y.dtype), y, precision=lax.Precision.HIGHEST)
        return x.reshape(shape)

    def norm_bound(self) -> Array:
        """The matrix's largest singular value."""
        return spectral_norm(self.matrix)

    def output_shape(self, image_shape: Shape) -> Shape:
        """See above; ValueError for an image that is not of `size`, or whose sides `block` does not divide."""
        *batch, height, width, channels = image_shape
        measurements = self.matrix.shape[0]
        if self.block is None:
            if (height, width) != self.size:
                raise ValueError(f"image of {height}x{width} pixels does not match the matrix's size={self.size}")
            return (*batch, 1, measurements, channels)
        for name, length in (("height", height), ("width", width)):
            if length % self.block:
                raise ValueError(f"image {name} {length} is not divisible by block={self.block}")
        return (*batch, height // self.block, width // self.block, measurements * channels)

    def input_shape(self, y_shape: Shape) -> Shape:
        """The shape of the image."""
        *batch, rows, columns, channels = y_shape
        if self.block is None:
            return (*batch, *self._patch, channels)
        return (*batch, rows * self.block, columns * self.block, channels // self.matrix.shape[0])

    @property
    def _patch(self) -> tuple[int, int]:
        """Height and width of what a row of the matrix reads."""
        return cast(tuple[int, int], self.size)

    def _rows(self, dtype: Any) -> Float[Array, "M h w"]:
        return self.matrix.reshape(-1, *self._patch).astype(dtype)

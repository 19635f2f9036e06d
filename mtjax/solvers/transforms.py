"""Orthogonal transforms as operators: wavelets and cosines. Coefficients are one array of the image's shape."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mtjax.physics.operator import Identity, Operator, Pixels, Shape, Spectrum, check_choice, total
from mtjax.pytree import pytree, static
from mtjax.solvers.wavelets import FILTERS
from mtjax.typing import Array, Inexact

Values = Inexact[Array, "..."]


class _Orthogonal(Operator):
    """A square operator with `LᴴL = LLᴴ = 1`."""

    def norm_bound(self) -> Array:
        """1."""
        return jnp.ones(())

    def gram(self, shape: Shape, dtype: Any) -> Spectrum:
        """1 at every frequency."""
        return jnp.ones((1, 1, 1), dtype)


def is_orthogonal(operator: Operator) -> bool:
    """Whether `LᴴL = LLᴴ = 1` is known, so that the proximal map of `g(L x)` is `Lᴴ prox_g(L x)`."""
    return isinstance(operator, Identity | _Orthogonal)


@pytree
class WaveletTransform(_Orthogonal):
    """The orthogonal 2-D wavelet transform (Mallat, 1989) of a periodic image: `pywt.wavedec2(mode="periodization")`.

    `wavelet` is a key of `FILTERS`. Of each level the approximation (top left) is split again, into blocks laid out as
    `pywt.coeffs_to_array` does; at most `levels` times, less often where a side comes down to one pixel. It is
    orthogonal for images of any size: where a block has an odd number of rows, the last one is not split vertically,
    but stays as it is beside the details, as a part of the approximation at that level (columns likewise).
    """

    wavelet: str = static(default="db4")
    levels: int = static(default=4)

    def __post_init__(self):
        check_choice("wavelet", self.wavelet, tuple(FILTERS))
        if self.levels < 1:
            raise ValueError(f"levels={self.levels} transforms nothing; expected at least 1")

    def __call__(self, x: Pixels, /) -> Pixels:
        """The coefficients."""
        return _linear(self._analyze, self._synthesize, x)

    def adjoint(self, y: Pixels, /) -> Pixels:
        """The inverse transform."""
        return _linear(self._synthesize, self._analyze, y)

    def blocks(self, shape: Shape) -> list[tuple[int, int]]:
        """Height and width of what each level splits, the finest first."""
        sizes = [(shape[-3] >> level, shape[-2] >> level) for level in range(self.levels)]
        return [size for size in sizes if min(size) > 1]

    def details(self, shape: Shape) -> np.ndarray:
        """`[H, W, 1]`: which coefficients are details, and not a part of an approximation."""
        found = np.zeros((*shape[-3:-1], 1), bool)
        for height, width in self.blocks(shape):
            down, right = ((np.arange(size) // (size // 2)) == 1 for size in (height, width))
            found[:height, :width, 0] = down[:, None] | right
        return found

    def _analyze(self, x: Pixels) -> Pixels:
        for height, width in self.blocks(x.shape):
            block = _split(_split(x[..., :height, :width, :], self.wavelet, -3), self.wavelet, -2)
            x = block if block.shape == x.shape else x.at[..., :height, :width, :].set(block)
        return x

    def _synthesize(self, y: Pixels) -> Pixels:
        for height, width in reversed(self.blocks(y.shape)):
            block = _merge(_merge(y[..., :height, :width, :], self.wavelet, -2), self.wavelet, -3)
            y = block if block.shape == y.shape else y.at[..., :height, :width, :].set(block)
        return y


def _linear(forward: Any, inverse: Any, x: Values) -> Values:
    """`forward(x)`, whose transpose JAX is told to be `inverse`: its own, of strided slices, is 16 times slower."""
    return lax.custom_linear_solve(inverse, x, lambda _, b: forward(b), lambda _, b: inverse(b))


def _taps(wavelet: str) -> tuple[tuple[float, ...], tuple[float, ...], int]:
    """Low-pass and high-pass filter, and how far left of pixel `2k` the first tap of coefficient `k` lies."""
    low = FILTERS[wavelet]
    high = tuple((-1) ** j * tap for j, tap in enumerate(reversed(low)))
    return low, high, len(low) // 2 - 1


def _split(x: Values, wavelet: str, axis: int) -> Values:
    """One level along one axis: approximation, details, and the last sample as it is where their number is odd."""
    low, high, before = _taps(wavelet)
    half = x.shape[axis] // 2
    paired = _part(x, axis, 0, 2 * half)
    padded = _wrap(paired, axis, before, len(low) - 2 - before)
    samples = [_part(padded, axis, j, j + 2 * half - 1, 2) for j in range(len(low))]
    parts = [_combine(low, samples), _combine(high, samples), _part(x, axis, 2 * half, None)]
    return jnp.concatenate(parts, axis)


def _merge(y: Values, wavelet: str, axis: int) -> Values:
    """The inverse of `_split`, which is its transpose."""
    low, high, before = _taps(wavelet)
    half = y.shape[axis] // 2
    ahead, back = (before + 1) // 2, (len(low) - 1 - before) // 2
    halves = [_wrap(_part(y, axis, first, first + half), axis, back, ahead) for first in (0, half)]
    merged = []
    for phase in (0, 1):  # even and odd samples
        taps = [j for j in range(len(low)) if (j - before) % 2 == phase]
        starts = [back - (j - before - phase) // 2 for j in taps]
        samples = [_part(one, axis, start, start + half) for one in halves for start in starts]
        merged.append(_combine([low[j] for j in taps] + [high[j] for j in taps], samples))
    place = axis % y.ndim + 1
    paired = jnp.stack(merged, place).reshape((*y.shape[: place - 1], 2 * half, *y.shape[place:]))
    return jnp.concatenate([paired, _part(y, axis, 2 * half, None)], axis)


def _part(x: Values, axis: int, start: int, stop: int | None, stride: int = 1) -> Values:
    return lax.slice_in_dim(x, start, stop, stride, axis % x.ndim)


def _wrap(x: Values, axis: int, before: int, after: int) -> Values:
    """`x`, continued periodically along one axis."""
    widths = [(before, after) if a == axis % x.ndim else (0, 0) for a in range(x.ndim)]
    return jnp.pad(x, widths, mode="wrap")


def _combine(weights: Any, parts: list[Values]) -> Values:
    return total([weight * part for weight, part in zip(weights, parts, strict=True)])


@pytree
class DCT(_Orthogonal):
    """The orthonormal cosine transform (type II, Ahmed, Natarajan and Rao, 1974): `scipy.fft.dctn(norm="ortho")`.

    Of the whole image, or of each `block` x `block` pixels of it; blocks at the right and lower border hold what is
    left.
    """

    block: int | None = static(default=None)

    def __post_init__(self):
        if self.block is not None and self.block < 1:
            raise ValueError(f"block={self.block} holds no pixel; expected at least 1, or None for the whole image")

    def __call__(self, x: Pixels, /) -> Pixels:
        """The coefficients, each block's where the block was."""
        return self._along(self._along(x, -3, False), -2, False)

    def adjoint(self, y: Pixels, /) -> Pixels:
        """The inverse transform."""
        return self._along(self._along(y, -3, True), -2, True)

    def _along(self, x: Values, axis: int, inverse: bool) -> Values:
        if self.block is None:
            return _whole(x, axis, inverse)
        size = x.shape[axis]
        full = size - size % self.block
        parts = [(0, full, self.block), (full, size, size - full)]
        return jnp.concatenate([_blocks(_part(x, axis, a, b), axis, n, inverse) for a, b, n in parts if b > a], axis)


def _whole(x: Values, axis: int, inverse: bool) -> Values:
    if jnp.iscomplexobj(x):
        return lax.complex(_whole(x.real, axis, inverse), _whole(x.imag, axis, inverse))
    return (jax.scipy.fft.idct if inverse else jax.scipy.fft.dct)(x, axis=axis, norm="ortho")


def _blocks(x: Values, axis: int, size: int, inverse: bool) -> Values:
    """Each `size` samples along one axis by themselves."""
    matrix = jnp.asarray(cosines(size).T if inverse else cosines(size), x.dtype)
    place = axis % x.ndim
    pieces = x.reshape((*x.shape[:place], -1, size, *x.shape[place + 1 :]))
    found = jnp.moveaxis(jnp.tensordot(matrix, pieces, (1, place + 1)), 0, place + 1)
    return found.reshape(x.shape)


def cosines(size: int) -> np.ndarray:
    """The matrix of the orthonormal cosine transform: row `k` is `cos(π (2n + 1) k / 2 size)`, normalized."""
    k, n = np.mgrid[:size, :size]
    matrix = np.cos(np.pi * (2 * n + 1) * k / (2 * size)) * math.sqrt(2 / size)
    matrix[0] /= math.sqrt(2)
    return matrix

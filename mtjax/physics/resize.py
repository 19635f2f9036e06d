"""Resizing exactly as MATLAB's `imresize`, and bicubic decimation as a linear operator."""

import functools
import math

import jax.numpy as jnp
import numpy as np
from jax import lax

from mtjax.physics.operator import Measured, Operator, Pixels, Shape, check_choice
from mtjax.pytree import pytree, static
from mtjax.typing import Array, Inexact


def _linear(t: np.ndarray) -> np.ndarray:
    return np.maximum(1 - np.abs(t), 0)


def _cubic(t: np.ndarray) -> np.ndarray:
    t = np.abs(t)
    near, far = 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    return np.where(t <= 1, near, np.where(t <= 2, far, 0))


def _lanczos(t: np.ndarray) -> np.ndarray:
    return np.where(np.abs(t) < 3, np.sinc(t) * np.sinc(t / 3), 0)


# name -> (interpolation kernel, its width in pixels)
_KERNELS = {"linear": (_linear, 2), "cubic": (_cubic, 4), "lanczos3": (_lanczos, 6)}


def resize(x: Inexact[Array, "..."], to: float | int | tuple[int, int], kernel: str = "cubic") -> Inexact[Array, "..."]:
    """MATLAB's `imresize(x, to, kernel)` of images `[..., H, W, C]` or one `[H, W]`: anti-aliased where it shrinks.

    `to` is a factor, for which sizes are rounded up, or the new (height, width). `kernel` is "linear", "cubic" (Keys,
    1981, a = -½) or "lanczos3". Beyond its border the image is its mirror image, the border pixel repeated.
    Unlike `jax.image.resize`, which leaves out what is beyond the border and renormalizes.
    """
    check_choice("kernel", kernel, tuple(_KERNELS))
    if x.ndim < 2:
        raise ValueError(f"x has shape {x.shape}; expected [H, W] or [..., H, W, C]")
    if x.ndim == 2:
        return resize(x[..., None], to, kernel)[..., 0]
    height, width = x.shape[-3:-1]
    sizes = to if isinstance(to, tuple) else (_scaled(height, to), _scaled(width, to))
    scales = (sizes[0] / height, sizes[1] / width) if isinstance(to, tuple) else (to, to)
    if len(sizes) != 2 or min(sizes) < 1:
        raise ValueError(f"to={to} is not a size; expected a positive factor or (height, width)")
    rows = resize_matrix(height, sizes[0], float(scales[0]), kernel)
    columns = resize_matrix(width, sizes[1], float(scales[1]), kernel)
    return _apply(rows, columns, x)


def _scaled(size: int, factor: float | int) -> int:
    return math.ceil(size * factor - 1e-9)  # the rounding error of a factor such as 1/3 adds no pixel


def _apply(rows: np.ndarray, columns: np.ndarray, x: Pixels) -> Measured:
    x = jnp.einsum("ih,...hwc->...iwc", jnp.asarray(rows, x.dtype), x, precision=lax.Precision.HIGHEST)
    return jnp.einsum("jw,...iwc->...ijc", jnp.asarray(columns, x.dtype), x, precision=lax.Precision.HIGHEST)


@functools.lru_cache(maxsize=64)
def resize_matrix(size: int, new_size: int, scale: float, kernel: str) -> np.ndarray:
    """The matrix `[new_size, size]` by which `imresize` resizes one axis, in float64."""
    function, width = _KERNELS[kernel]
    stretch = min(scale, 1.0)
    center = (np.arange(new_size) + 0.5) / scale - 0.5  # of each new pixel, on the old grid
    taps = math.ceil(width / stretch) + 2
    read = np.floor(center - width / stretch / 2).astype(int)[:, None] + np.arange(taps)
    weights = function(stretch * (center[:, None] - read))
    weights /= weights.sum(1, keepdims=True)
    mirrored = np.minimum(read % (2 * size), 2 * size - 1 - read % (2 * size))
    matrix = np.zeros((new_size, size))
    np.add.at(matrix, (np.arange(new_size)[:, None], mirrored), weights)
    matrix.flags.writeable = False
    return matrix


@pytree
class Bicubic(Operator):
    """MATLAB's `imresize(x, 1/factor, 'bicubic')`: cubic interpolation (Keys, 1981), anti-aliased, mirrored border.

    `factor` must divide height and width. As published super-resolution figures have it.
    """

    factor: int = static()

    def __post_init__(self):
        if self.factor < 1 or self.factor != int(self.factor):
            raise ValueError(f"factor={self.factor} is not a decimation; expected an integer of at least 1")

    def __call__(self, x: Pixels, /) -> Measured:
        """`[..., H, W, C]` to `[..., H/factor, W/factor, C]`."""
        self.output_shape(x.shape)
        return _apply(self._matrix(x.shape[-3]), self._matrix(x.shape[-2]), x)

    def adjoint(self, y: Measured, /) -> Pixels:
        """By the transposed matrices."""
        return _apply(self._matrix(y.shape[-3] * self.factor).T, self._matrix(y.shape[-2] * self.factor).T, y)

    def norm_bound(self) -> Array:
        """1/factor, as computed for any size of image from the kernel alone.

        An image and its mirror image make a periodic signal, and along an axis `AAᴴ` of that is a circular convolution
        with the kernel's autocorrelation, decimated. Its spectrum is a trigonometric polynomial of low degree, which
        between samples so dense is larger than at them by no more than the cosine.
        """
        taps = resize_matrix(9 * self.factor, 9, 1 / self.factor, "cubic")[4]  # far from the border
        autocorrelation = np.correlate(taps, taps, "full")[(len(taps) - 1) % self.factor :: self.factor]
        samples, degree = 4096, len(autocorrelation) // 2
        spectrum = np.abs(np.fft.rfft(autocorrelation, samples)).max() / np.cos(np.pi * degree / samples)
        return jnp.asarray((1 + 1e-6) * spectrum)  # the square of one axis's norm; there are two axes

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

    def _matrix(self, size: int) -> np.ndarray:
        return resize_matrix(size, size // self.factor, 1 / self.factor, "cubic")

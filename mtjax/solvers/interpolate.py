"""Estimates without a regularizer: bicubic and Lanczos interpolation, demosaicing, filling in from neighbors."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from mtjax.physics.algebra import Compose
from mtjax.physics.blur import Blur, Crop
from mtjax.physics.color import Mosaic
from mtjax.physics.operator import Identity, Operator, Pixels, columns, fourier, inverse_fourier
from mtjax.physics.resize import Bicubic, resize
from mtjax.physics.sampling import Downsample, Mask
from mtjax.solvers.solution import Solution, Status, as_images, finish, image_like
from mtjax.typing import Array, Inexact

Values = Inexact[Array, "..."]
_SCALES = (0.8, 2.5, 8.0)  # pixels


def fill_in(target: Values, weights: Values) -> Values:
    """Fills pixels of weight 0 by normalized convolution (Knutsson and Westin, 1993), from coarse to fine.

    `target` is `weights · image`; weights are in [0, 1], broadcastable to it. Finite whatever the weights.
    """
    weights = jnp.clip(weights, 0, 1)
    axes = (-3, -2)
    mean = target.mean(axes, keepdims=True) / jnp.maximum(weights.mean(axes, keepdims=True), 1e-6)
    shape = jnp.broadcast_shapes(target.shape, weights.shape)
    target = jnp.broadcast_to(target, (*target.shape[:-3], *shape[-3:]))
    weights = jnp.broadcast_to(weights, (*weights.shape[:-3], *shape[-3:-1], weights.shape[-1]))
    like = jax.ShapeDtypeStruct(shape, target.dtype)
    estimate, above, below = mean, fourier(target), fourier(weights)
    for std in reversed(_SCALES):
        smooth = _gaussian_transfer(shape, std, target.dtype)
        confidence = jnp.maximum(inverse_fourier(smooth * below, like), 0)
        estimate = (inverse_fourier(smooth * above, like) + 1e-2 * estimate) / (confidence + 1e-2)
    return target + (1 - weights) * estimate


def _gaussian_transfer(shape: tuple[int, ...], std: float, dtype: Any) -> Values:
    height, width = shape[-3:-1]
    down = jnp.fft.fftfreq(height, dtype=dtype)[:, None, None]
    right = jnp.fft.fftfreq(width, dtype=dtype)[None, : columns(width, dtype), None]
    return jnp.exp(-2 * (jnp.pi * std) ** 2 * (down**2 + right**2))


def upsample(y: Pixels, factor: int, kernel: str = "cubic") -> Values:
    """Interpolation that leaves pixel i of `y` at pixel `factor · i`, where decimation took it.

    `kernel` is "cubic" (Keys, 1981, a = -½) or "lanczos3".
    """
    margin = 3
    *batch, height, width, channels = y.shape
    padded = jnp.pad(y, [(0, 0)] * len(batch) + [(margin, margin)] * 2 + [(0, 0)], mode="edge")
    # Output pixel i is read at input (i + ½ − t) / factor − ½, which this translation makes margin + i / factor.
    translation = jnp.full(2, (1 - factor) / 2 - factor * margin, y.dtype)
    shape = (*batch, height * factor, width * factor, channels)
    axes = (y.ndim - 3, y.ndim - 2)
    scale = jnp.full(2, factor, y.dtype)
    return jax.image.scale_and_translate(padded, shape, axes, scale, translation, kernel, antialias=False)


def demosaic(y: Pixels, operator: Mosaic) -> Values:
    """Bilinear interpolation of each color from the measurements of it in the 3 × 3 neighborhood; those are kept."""
    mask = operator.mask(y.shape, y.dtype)
    weights = _tent(mask)
    estimate = _tent(mask * y) / jnp.maximum(weights, 1)  # 0 in an image too small to hold the color
    return mask * y + (1 - mask) * estimate


def _tent(x: Values) -> Values:
    """Convolution with (1, 2, 1) along height and width, zero beyond the border."""
    for axis in (x.ndim - 3, x.ndim - 2):
        padded = jnp.pad(x, [(1, 1) if i == axis else (0, 0) for i in range(x.ndim)])
        before, after = (lax.slice_in_dim(padded, i, i + x.shape[axis], axis=axis) for i in (0, 2))
        x = before + 2 * x + after
    return x


def bicubic(y: Any, operator: Operator) -> Solution:
    """The plain first estimate of an image, with no knowledge of noise.

    Decimated images are interpolated bicubically (those of `Bicubic` as MATLAB's `imresize` does), missing pixels of
    masks are filled in smoothly from those near, those of mosaics bilinearly, cut-off borders are repeated; a blur
    stays as it is. Anything else gets `Aᴴ y / ‖A‖²`. `residual` is 0.
    """
    return _solve(y, operator, "cubic")


def lanczos(y: Any, operator: Operator) -> Solution:
    """As `bicubic`, with decimated images interpolated by Lanczos' kernel of three lobes (Duchon, 1979)."""
    return _solve(y, operator, "lanczos3")


def _solve(y: Any, operator: Operator, kernel: str) -> Solution:
    y, plain = as_images(y)
    like = image_like(y, operator)
    residual = jnp.zeros((), jnp.finfo(like.dtype).dtype)
    plain = plain and like.shape[-1] == 1  # a plain mosaic is of an image in color
    return finish(_estimate(y, operator, like, kernel), plain, Status.CONVERGED, 0, residual)


def _estimate(y: Any, operator: Operator, like: jax.ShapeDtypeStruct, kernel: str) -> Values:
    if isinstance(operator, Compose):
        middle = jax.ShapeDtypeStruct(operator.outer.input_shape(jnp.shape(y)), like.dtype)
        return _estimate(_estimate(y, operator.outer, middle, kernel), operator.inner, like, kernel)
    if isinstance(operator, Identity) or (isinstance(operator, Blur) and operator.boundary != "valid"):
        return y
    if isinstance(operator, Downsample):
        return upsample(y, operator.factor, kernel)
    if isinstance(operator, Bicubic):
        return resize(y, operator.factor, kernel)
    if isinstance(operator, Mosaic):
        return demosaic(y, operator)
    if isinstance(operator, Mask):
        return fill_in(operator.adjoint(y), operator.mask.astype(y.dtype) ** 2)
    if isinstance(operator, Blur | Crop):
        margins = operator.margins() if isinstance(operator, Blur) else operator.margins
        return jnp.pad(y, [(0, 0)] * (y.ndim - 3) + [*margins, (0, 0)], mode="edge")
    return operator.adjoint(y) / (operator.norm_bound() ** 2).astype(like.dtype)

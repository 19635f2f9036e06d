"""Blind deconvolution: the image and the blur kernel from one blurred picture."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from mtjax.physics.blur import Blur
from mtjax.physics.operator import fourier, inverse_fourier, squared_magnitude, total
from mtjax.pytree import pytree
from mtjax.solvers.admm import admm
from mtjax.solvers.interpolate import fill_in
from mtjax.solvers.normal import conjugate_gradient
from mtjax.solvers.priors import Gradient, TotalVariation
from mtjax.solvers.richardson_lucy import fast_size
from mtjax.solvers.solution import Solution, as_images
from mtjax.typing import Array, Inexact

Values = Inexact[Array, "..."]
_GRADIENT = Gradient()
_DOUBLINGS = 16  # of the penalty that ties the image's differences to sparse ones
_FADING = 1.1  # by which the weight of sparsity falls in each iteration
_LEAST = 0.05  # share of the kernel's largest value below which a value counts as noise


@pytree
class BlindSolution(Solution):
    """A `Solution`, and the kernel that it was found with: `[*b, kernel_size, kernel_size]`."""

    kernel: Any = None


def blind_deconvolution(
    y: Any,
    kernel_size: int,
    sparsity: float = 4e-3,
    kernel_weight: float = 5e-3,
    tv_weight: Any = 1e-3,
    iterations: int = 5,
) -> BlindSolution:
    """The kernel of a uniform blur, such as a camera's shake, and the image without it.

    Alternates, from coarse to fine, between an image with few jumps, `‖k * x − y‖² + sparsity ‖∇x‖₀` by half-quadratic
    splitting (Xu, Zheng and Jia, 2013), and the kernel that best takes its differences to those of `y`,
    `‖k * ∇x − ∇y‖² + kernel_weight ‖∇x‖² ‖k‖²` on `kernel_size`² pixels, negative and faint values set to 0, sum 1
    (Cho and Lee, 2009); `iterations` of both on each scale. The image is then that of `admm` with `TotalVariation`
    of `tv_weight`, which knows nothing of what lies beyond the border of `y`, cut to the size of `y`. All channels
    have the same kernel; each example has its own, found from their mean. An image shifted one way with a kernel
    shifted the other way blurs to the same `y`: the kernel's center of mass is put into the middle.
    `kernel_size` is an odd number of pixels, not smaller than the blur, best not much larger. ValueError if it is even
    or larger than the image.
    """
    images, plain = as_images(y)
    height, width = images.shape[-3:-1]
    if kernel_size < 3 or kernel_size % 2 == 0 or kernel_size > min(height, width):
        raise ValueError(f"kernel_size={kernel_size}; expected an odd number of 3 to {min(height, width)} pixels")
    grey = images.mean(-1, keepdims=True)
    sizes = _sizes(kernel_size)
    kernel = jnp.zeros((*images.shape[:-3], 3, 3, 1), images.dtype).at[..., 1, 1, :].set(1)
    for level, size in enumerate(sizes):
        shape = tuple(max(size, round(n * size / kernel_size)) for n in (height, width))
        small = _resize(grey, shape) if size < kernel_size else grey
        kernel = _normalized(_resize(kernel, (size, size)))
        start = sparsity / _FADING ** (level * iterations)
        kernel = _centered(_level(small, kernel, start, kernel_weight, iterations))
    solution = _deblur(images, kernel, tv_weight)
    image = solution.image[..., 0] if plain else solution.image
    return BlindSolution(**{**vars(solution), "image": image, "state": None}, kernel=kernel[..., 0])


def _sizes(kernel_size: int) -> list[int]:
    """Odd kernel sizes, each about 1.4 times the one before, up to the one asked for."""
    sizes = [kernel_size]
    while sizes[0] > 3:
        sizes.insert(0, max(3, int(sizes[0] / 2**0.5) // 2 * 2 + 1 if sizes[0] > 5 else 3))
    return sizes


def _resize(x: Values, shape: Any) -> Values:
    return jax.image.resize(x, (*x.shape[:-3], *shape, x.shape[-1]), "linear")


def _level(y: Values, kernel: Values, sparsity: float, kernel_weight: float, iterations: int) -> Values:
    """The kernel after `iterations` of both steps on one scale."""
    height, width = y.shape[-3:-1]
    size = kernel.shape[-2]
    border = [(0, 0)] * (y.ndim - 3) + [(0, fast_size(n + size) - n) for n in (height, width)] + [(0, 0)]
    known = jnp.pad(jnp.ones((height, width, 1), y.dtype), border[-3:])
    y = fill_in(jnp.pad(y, border), known)
    # Differences across the border, or of the smooth fill beyond it, say nothing about the kernel.
    inside = known * jnp.roll(known, -1, 0) * jnp.roll(known, -1, 1)
    slopes = [fourier(inside * part) for part in _GRADIENT(y)]
    spectrum = fourier(y)

    def once(kernel: Values, weight: Values) -> tuple[Values, None]:
        x = _sparse_image(y, spectrum, kernel, weight)
        sharp = [fourier(inside * part) for part in _GRADIENT(x)]
        return _kernel_step(sharp, slopes, y, kernel, kernel_weight), None

    weights = jnp.maximum(sparsity / _FADING ** jnp.arange(iterations, dtype=y.dtype), sparsity / 40)
    return lax.scan(once, kernel, weights)[0]


def _sparse_image(y: Values, spectrum: Values, kernel: Values, weight: Values) -> Values:
    """`argmin_x ‖k * x − y‖² + weight ‖∇x‖₀`, nearly; what ties `∇x` to a sparse field doubles each time."""
    transfer: Any = Blur(kernel).transfer(y.shape, y.dtype)
    power, data = squared_magnitude(transfer), transfer.conj() * spectrum
    rough = _GRADIENT.approximate_gram(y.shape, y.dtype)

    def once(x: Values, penalty: Values) -> tuple[Values, None]:
        down, right = _GRADIENT(x)
        kept = down**2 + right**2 > weight / penalty
        jumps = _GRADIENT.adjoint((jnp.where(kept, down, 0), jnp.where(kept, right, 0)))
        return inverse_fourier((data + penalty * fourier(jumps)) / (power + penalty * rough), y), None

    penalties = 2 * weight * 2 ** jnp.arange(_DOUBLINGS, dtype=y.dtype)
    return lax.scan(once, y, penalties)[0]


def _kernel_step(sharp: list[Values], blurred: list[Values], like: Values, kernel: Values, weight: float) -> Values:
    """Least squares for the kernel: its normal equations are a convolution with the autocorrelation of `∇x`."""
    size = kernel.shape[-2]
    whole = inverse_fourier(total([squared_magnitude(part) for part in sharp]), like)
    cross = inverse_fourier(total([a.conj() * b for a, b in zip(sharp, blurred, strict=True)]), like)
    autocorrelation = Blur(_around_origin(whole, 2 * size - 1), "zero")
    shift = weight * whole[..., :1, :1, :]  # its value at the origin is the energy of the differences
    pad = [(0, 0)] * (kernel.ndim - 3) + [(size, size), (size, size), (0, 0)]

    def normal(k: Values) -> Values:
        return autocorrelation(jnp.pad(k, pad))[..., size:-size, size:-size, :] + shift * k

    found, _, _ = conjugate_gradient(normal, _around_origin(cross, size), kernel, tolerance=1e-4, max_iterations=30)
    return _normalized(found)


def _around_origin(x: Values, size: int) -> Values:
    """The `size`² pixels of a periodic image around its first one."""
    half = size // 2
    return jnp.roll(x, (half, half), (-3, -2))[..., :size, :size, :]


def _normalized(kernel: Values) -> Values:
    """Without negative and faint values, sum 1."""
    most = kernel.max((-3, -2, -1), keepdims=True)
    kernel = jnp.where(kernel > _LEAST * most, jnp.maximum(kernel, 0), 0)
    weight = kernel.sum((-3, -2, -1), keepdims=True)
    return kernel / jnp.where(weight > 0, weight, 1)


def _centered(kernel: Values) -> Values:
    """Shifted by whole pixels so that its center of mass is in the middle."""
    size = kernel.shape[-2]
    offsets = jnp.arange(size) - size // 2
    down = jnp.round(jnp.sum(kernel * offsets[:, None, None], (-3, -2, -1))).astype(int)
    right = jnp.round(jnp.sum(kernel * offsets[:, None], (-3, -2, -1))).astype(int)

    def shift(kernel: Any, down: Any, right: Any) -> Any:
        return jnp.roll(jnp.roll(kernel, -down, 0), -right, 1)

    for _ in range(kernel.ndim - 3):
        shift = jax.vmap(shift)
    return shift(kernel, down, right)


def _deblur(y: Values, kernel: Values, tv_weight: Any) -> Solution:
    """The image for a known kernel, of the size of `y`."""
    operator = Blur(kernel, "valid")
    solution = admm(y, operator, TotalVariation(tv_weight), iterations=100)
    return Solution(**{**vars(solution), "image": _inner(solution.image, y.shape)})


def _inner(x: Values, shape: Any) -> Values:
    top, left = ((n - m) // 2 for n, m in zip(x.shape[-3:-1], shape[-3:-1], strict=True))
    return x[..., top : top + shape[-3], left : left + shape[-2], :]

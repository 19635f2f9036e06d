"""Motion: sub-pixel shifts, and resampling along flow fields, homographies and affine maps."""

from typing import Any

import jax
import jax.numpy as jnp

from mtjax.physics.operator import Operator, Pixels, Shape, Spectrum, check_choice, columns, fourier, inverse_fourier
from mtjax.pytree import pytree, static
from mtjax.typing import Array, Float, Inexact, Int

Points = Float[Array, "... h w 2"]  # (row, column) in pixels, (0, 0) being the center of the first pixel
ORDERS = ("linear", "cubic")
BOUNDARIES = ("circular", "reflect", "edge", "zero")


@pytree
class Shift(Operator):
    """Circular translation by `offset` (down, right) in pixels: `(A x)(p) = x(p − offset)`, as `numpy.roll` does.

    `offset` is `[2]`, or one per example (or frame) `[B, 2]` or `[B, 1, 1, 2]`. Fractions of a pixel are those of
    trigonometric interpolation; at the Nyquist frequency of an even size, where a real image has no phase to turn,
    the factor is its real part `cos(π offset)`. So real images stay real, the adjoint is exactly the shift by
    `−offset`, and it is the inverse but for that one frequency.
    """

    offset: Any  # as above; kept as [..., 1, 1, 2]

    def __post_init__(self):
        offset = 1.0 * jnp.asarray(self.offset)
        if offset.ndim < 1 or offset.shape[-1] != 2:
            raise ValueError(f"offset has shape {offset.shape}; expected [2], [B, 2] or [B, 1, 1, 2] (down, right)")
        if offset.shape[-3:-1] != (1, 1):
            offset = offset[..., None, None, :]
        object.__setattr__(self, "offset", offset)

    def __call__(self, x: Pixels, /) -> Pixels:
        """`x(p − offset)`."""
        return inverse_fourier(self.transfer(x.shape, x.dtype) * fourier(x), x)

    def adjoint(self, y: Pixels, /) -> Pixels:
        """`y(p + offset)`."""
        return inverse_fourier(self.transfer(y.shape, y.dtype).conj() * fourier(y), y)

    def norm_bound(self) -> Array:
        """1: each factor is on the unit circle, or at the Nyquist frequency inside."""
        return jnp.ones(())

    def transfer(self, shape: Shape, dtype: Any) -> Spectrum:
        """`exp(−2πi f · offset)`, with its real part at the Nyquist frequencies."""
        height, width = shape[-3:-1]
        offset = self.offset.astype(jnp.finfo(dtype).dtype)
        down = _phases(offset[..., 0:1], height, height)
        right = _phases(offset[..., 1:2], width, columns(width, dtype))
        return jnp.swapaxes(down, -3, -2) * right


def _phases(offset: Float[Array, "... 1 1 1"], size: int, count: int) -> Inexact[Array, "... 1 f 1"]:
    """The first `count` factors of a shift along one axis of `size` pixels."""
    frequency = jnp.fft.fftfreq(size, dtype=offset.dtype)[:count, None]
    phase = jnp.exp(-2j * jnp.pi * frequency * offset)
    return jnp.where(jnp.abs(frequency) == 0.5, phase.real, phase)


@pytree
class Warp(Operator):
    """Backward warping `(A x)(p) = x(p + flow(p))`; `flow` `[H, W, 2]` or `[B, H, W, 2]` is (down, right) in pixels.

    `order` interpolates bilinearly ("linear") or by the cubic convolution of Keys (1981, a = −1/2; "cubic").
    `boundary` is what lies beyond the image, as in `Blur`: "circular", "reflect", "edge" or "zero".
    """

    flow: Any
    order: str = static(default="linear")
    boundary: str = static(default="edge")

    def __post_init__(self):
        check_choice("order", self.order, ORDERS)
        check_choice("boundary", self.boundary, BOUNDARIES)
        flow = 1.0 * jnp.asarray(self.flow)
        if flow.ndim < 3 or flow.shape[-1] != 2:
            raise ValueError(f"flow has shape {flow.shape}; expected [H, W, 2] or [B, H, W, 2] (down, right)")
        object.__setattr__(self, "flow", flow)

    def __call__(self, x: Pixels, /) -> Pixels:
        """`x(p + flow(p))`."""
        if x.shape[-3:-1] != self.flow.shape[-3:-1]:
            raise ValueError(f"flow has shape {self.flow.shape}, which does not match the image's {x.shape}")
        return sample(x, self._points(x.real.dtype), self.order, self.boundary)

    def norm_bound(self) -> Array:
        """Schur's test: root of the largest row sum times the largest column sum of the weights' magnitudes."""
        ones = jnp.ones((*self.flow.shape[:-1], 1), self.flow.dtype)

        def absolute(x: Pixels) -> Pixels:
            return sample(x, self._points(ones.dtype), self.order, self.boundary, absolute=True)

        (column_sums,) = jax.linear_transpose(absolute, ones)(ones)
        return jnp.sqrt(absolute(ones).max() * column_sums.max())

    def approximate_gram(self, shape: Shape, dtype: Any) -> Spectrum:
        """1 at every frequency: moving pixels keeps, more or less, their energy."""
        return jnp.ones((1, 1, 1), jnp.finfo(dtype).dtype)

    def _points(self, dtype: Any) -> Points:
        return grid(self.flow.shape[-3:-1], dtype) + self.flow.astype(dtype)


def grid(size: tuple[int, ...], dtype: Any = None) -> Points:
    """The (row, column) of every pixel `[H, W, 2]` of an image of `size` (H, W)."""
    axes = [jnp.arange(n, dtype=dtype or jnp.result_type(float)) for n in size]
    return jnp.stack(jnp.meshgrid(*axes, indexing="ij"), -1)


def sample(
    x: Pixels, points: Points, order: str = "linear", boundary: str = "edge", absolute: bool = False
) -> Inexact[Array, "... h w C"]:
    """The image `x` `[..., H, W, C]` at `points` `[..., h, w, 2]`, interpolated; linear in `x`.

    `order` and `boundary` are those of `Warp`; leading axes broadcast. With `absolute` the weights' magnitudes are
    used. Differentiable in both arguments.
    """
    height, width, channels = x.shape[-3:]
    corner = jnp.floor(points)
    along = [_taps(points[..., i] - corner[..., i], order) for i in (0, 1)]
    first = corner.astype(jnp.int32)
    batch = jnp.broadcast_shapes(x.shape[:-3], points.shape[:-3])
    size = points.shape[-3:-1]
    pixels = jnp.broadcast_to(x, (*batch, height, width, channels)).reshape(-1, height * width, channels)
    result: Any = 0.0
    for down, row_weight in along[0]:
        row, row_known = _inside(first[..., 0] + down, height, boundary)
        for right, column_weight in along[1]:
            column, column_known = _inside(first[..., 1] + right, width, boundary)
            weight = row_weight * column_weight * row_known * column_known
            weight = jnp.abs(weight) if absolute else weight
            result = result + weight[..., None] * _gather(pixels, row * width + column, batch, size)
    return result


def _gather(pixels: Inexact[Array, "n p C"], index: Int[Array, "... h w"], batch: Shape, size: Shape) -> Any:
    """`[*batch, h, w, C]`; one index for all images of the batch where it has no axes of its own."""
    if index.ndim == 2:
        found = pixels.at[:, index.reshape(-1)].get(mode="promise_in_bounds")
    else:
        each = jnp.broadcast_to(index, (*batch, *size)).reshape(pixels.shape[0], -1)
        found = jax.vmap(lambda one, i: one.at[i].get(mode="promise_in_bounds"))(pixels, each)
    return found.reshape(*batch, *size, pixels.shape[-1])


def _taps(t: Float[Array, "..."], order: str) -> list[tuple[int, Float[Array, "..."]]]:
    """(pixel counted from the one before the point, weight), for a point `t` in [0, 1) behind that pixel."""
    if order == "linear":
        return [(0, 1 - t), (1, t)]
    near = [(0, t), (1, 1 - t)]
    far = [(-1, 1 + t), (2, 2 - t)]
    return [(tap, (1.5 * s - 2.5) * s * s + 1) for tap, s in near] + [
        (tap, ((-0.5 * s + 2.5) * s - 4) * s + 2) for tap, s in far
    ]


def _inside(index: Int[Array, "..."], size: int, boundary: str) -> tuple[Int[Array, "..."], Any]:
    """The pixel that stands at `index`, be it beyond the border, and whether there is one (0 or 1)."""
    if boundary == "circular":
        return jnp.mod(index, size), 1
    if boundary == "reflect":
        within = jnp.mod(index, 2 * size)
        return jnp.minimum(within, 2 * size - 1 - within), 1
    clipped = jnp.clip(index, 0, size - 1)
    return clipped, (clipped == index if boundary == "zero" else 1)


def shift_flow(offset: Any, size: tuple[int, int]) -> Points:
    """The flow `[..., H, W, 2]` with which `Warp` moves images of `size` (H, W) as `Shift(offset)` does.

    `offset` is `[..., 2]` (down, right) in pixels.
    """
    offset = 1.0 * jnp.asarray(offset)
    return jnp.broadcast_to(-offset[..., None, None, :], (*offset.shape[:-1], *size, 2))


def affine_flow(matrix: Any, size: tuple[int, int]) -> Points:
    """The flow `[..., H, W, 2]` that reads pixel `p` at `matrix · (row, column, 1)`; `matrix` is `[..., 2, 3]`."""
    matrix = 1.0 * jnp.asarray(matrix)
    if matrix.shape[-2:] != (2, 3):
        raise ValueError(f"matrix has shape {matrix.shape}; expected [..., 2, 3]")
    points = grid(size, matrix.dtype)
    return jnp.einsum("...ij,hwj->...hwi", matrix[..., :2], points) + matrix[..., None, None, :, 2] - points


def homography_flow(matrix: Any, size: tuple[int, int]) -> Points:
    """The flow `[..., H, W, 2]` that reads pixel `p` where the homography `matrix` `[..., 3, 3]` takes it.

    Homogeneous coordinates are (row, column, 1) in pixels, so `p` goes to `(a, b) / c`, `(a, b, c) = matrix · (p, 1)`
    (Hartley and Zisserman, 2003, section 2.3); `c` must stay positive over the image.
    """
    matrix = 1.0 * jnp.asarray(matrix)
    if matrix.shape[-2:] != (3, 3):
        raise ValueError(f"matrix has shape {matrix.shape}; expected [..., 3, 3]")
    points = grid(size, matrix.dtype)
    moved = jnp.einsum("...ij,hwj->...hwi", matrix[..., :2], points) + matrix[..., None, None, :, 2]
    return moved[..., :2] / moved[..., 2:] - points


def scale_homography(matrix: Any, factor: Any) -> Float[Array, "... 3 3"]:
    """The same homography in pixels `factor` times smaller, pixel `i` becoming pixel `factor · i`."""
    matrix = 1.0 * jnp.asarray(matrix)
    size = jnp.array([factor, factor, 1], matrix.dtype)
    return size[:, None] * matrix / size

"""Parallel-beam tomography: sums over strips across an image, seen from many angles."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from mtjax.physics.operator import Measured, Operator, Pixels, Shape, Spectrum, columns
from mtjax.pytree import pytree, static
from mtjax.typing import Array, Float

Rows = Float[Array, "N A D"]
Images = Float[Array, "N H W"]


@pytree
class Radon(Operator):
    """`y[a, d]`: the image's sum over a strip one pixel wide, from each angle `a` at each detector `d`.

    `angles` `[A]` are in degrees and `shape` is the image's `(H, W)`. Pixels are squares, and each counts by the area
    of it that lies in the strip, so that no part of the image is lost or counted twice. With column `j` and row `i`
    counted from the pixel at floor(n/2), and row downwards, strip `d` lies around

        j cos(angle) − i sin(angle) = d − floor(detectors / 2):

    0° sums columns, and angles turn counter-clockwise, as in `skimage.transform.radon`, whose detectors are those of
    `detectors=N` for an N×N image (`circle=True`). By default there are as many as see the whole image from everywhere.
    `[..., H, W, C]` becomes `[..., A, detectors, C]`, in as much memory as these two take.
    """

    angles: Any
    shape: tuple[int, int] = static()
    detectors: Any = static(default=None)  # an int

    def __post_init__(self):
        angles = 1.0 * jnp.asarray(self.angles)
        if angles.ndim != 1 or not angles.size:
            raise ValueError(f"angles have shape {angles.shape}; expected [A], in degrees")
        if len(self.shape) != 2 or min(self.shape) < 1:
            raise ValueError(f"shape={self.shape} is not an image's; expected (H, W)")
        corner = (self.shape[0] // 2 + 0.5) ** 2 + (self.shape[1] // 2 + 0.5) ** 2
        detectors = 2 * round(corner**0.5) + 1 if self.detectors is None else self.detectors
        if detectors < 1:
            raise ValueError(f"detectors={self.detectors} see nothing; expected at least 1")
        object.__setattr__(self, "angles", angles)
        object.__setattr__(self, "shape", tuple(self.shape))
        object.__setattr__(self, "detectors", detectors)

    def __call__(self, x: Pixels, /) -> Measured:
        """The projections (a sinogram)."""
        self.output_shape(x.shape)
        return self._apply(self._project, x)

    def adjoint(self, y: Measured, /) -> Pixels:
        """The back-projection: each pixel gets the strips it lies in, by the same areas."""
        self.input_shape(y.shape)
        return self._apply(self._spread, y)

    def norm_bound(self) -> Array:
        """By Schur's test on each angle: no pixel counts more than once, no strip is longer than the image."""
        cos, sin = jnp.abs(jnp.cos(jnp.deg2rad(self.angles))), jnp.abs(jnp.sin(jnp.deg2rad(self.angles)))
        height, width = self.shape
        return jnp.sqrt(jnp.minimum(height / jnp.maximum(cos, 1e-6), width / jnp.maximum(sin, 1e-6)).sum())

    def output_shape(self, image_shape: Shape) -> Shape:
        """`(..., A, detectors, C)`."""
        if len(image_shape) < 3 or tuple(image_shape[-3:-1]) != self.shape:
            raise ValueError(f"x has shape {tuple(image_shape)}; expected [..., {self.shape[0]}, {self.shape[1]}, C]")
        return (*image_shape[:-3], len(self.angles), self.detectors, image_shape[-1])

    def input_shape(self, y_shape: Shape) -> Shape:
        """`(..., H, W, C)`."""
        if len(y_shape) < 3 or tuple(y_shape[-3:-1]) != (len(self.angles), self.detectors):
            expected = f"[..., {len(self.angles)}, {self.detectors}, C]"
            raise ValueError(f"y has shape {tuple(y_shape)}; expected {expected}")
        return (*y_shape[:-3], *self.shape, y_shape[-1])

    def approximate_gram(self, shape: Shape, dtype: Any) -> Spectrum:
        """`A / (π |frequency|)`, that of evenly spread lines through an unbounded plane; bounded at frequency 0."""
        height, width = shape[-3:-1]
        real = jnp.finfo(dtype).dtype
        down, right = jnp.fft.fftfreq(height, dtype=real), jnp.fft.fftfreq(width, dtype=real)[: columns(width, dtype)]
        frequency = jnp.hypot(down[:, None], right[None, :])[..., None]
        return len(self.angles) / (jnp.pi * jnp.maximum(frequency, 0.25 / (height * width) ** 0.5))

    def _apply(self, there: Any, x: Any) -> Any:
        """`there(radians, images)` of the channels of `x`, each an image of its own."""
        batch, channels = x.shape[:-3], x.shape[-1]
        images = jnp.moveaxis(x, -1, -3).reshape(-1, *x.shape[-3:-1])
        out = there(jnp.deg2rad(self.angles).astype(jnp.finfo(x.dtype).dtype), images)
        return jnp.moveaxis(out.reshape(*batch, channels, *out.shape[-2:]), -3, -1)

    def _project(self, radians: Float[Array, "A"], images: Images) -> Rows:
        """Each strip gathers from each line of pixels that it crosses: a row, or a column where strips are flat."""
        (height, width), size = self.shape, max(self.shape)
        square = jnp.pad(images, ((0, 0), (0, size - height), (0, size - width)))
        lines = jnp.stack([square.mT, square])  # [2, N, S, S], the line counted along the third axis
        lines = jnp.moveaxis(jnp.pad(lines, ((0, 0), (0, 0), (0, 0), (1, 1))), 2, 0)
        cos, sin = jnp.cos(radians)[:, None], jnp.sin(radians)[:, None]
        rows = jnp.abs(cos) >= jnp.abs(sin)
        # Pixel `along` of line `across`, both from the center, is seen at along · a + across · b.
        a, b = jnp.where(rows, cos, -sin), jnp.where(rows, -sin, cos)
        middle, line_middle = jnp.where(rows, width // 2, height // 2), jnp.where(rows, height // 2, width // 2)
        strip = jnp.arange(self.detectors) - self.detectors // 2

        @jax.checkpoint
        def add(total: Rows, line: Any) -> Any:
            number, values = line
            offset = (number - line_middle) * b - strip
            first = jnp.floor(-offset / a)
            pixel = first.astype(int) + middle + 1
            values = jnp.moveaxis(values, 0, 1).reshape(len(images), -1)
            for k in (-1, 0, 1, 2):  # along a line, a strip and the pixels it touches are at most 3.42 pixels wide
                index = jnp.clip(pixel + k, 0, size + 1) + rows * (size + 2)
                total += _area((first + k) * a + offset, cos, sin) * values[:, index]
            return total, None

        empty = jnp.zeros((len(images), len(radians), len(strip)), images.dtype)
        return lax.scan(add, empty, (jnp.arange(size), lines))[0]

    def _spread(self, radians: Float[Array, "A"], rows: Rows) -> Images:
        """Each pixel gathers from the three strips that it may touch."""
        height, width = self.shape
        down = (jnp.arange(height) - height // 2)[:, None]
        right = jnp.arange(width) - width // 2
        strips = jnp.pad(jnp.moveaxis(rows, 1, 0), ((0, 0), (0, 0), (1, 1)))

        @jax.checkpoint
        def add(total: Images, view: Any) -> Any:
            angle, values = view
            cos, sin = jnp.cos(angle), jnp.sin(angle)
            position = right * cos - down * sin
            nearest = jnp.round(position)
            strip = nearest.astype(int) + self.detectors // 2 + 1
            for k in (-1, 0, 1):
                index = jnp.clip(strip + k, 0, self.detectors + 1)
                total += _area(position - (nearest + k), cos, sin) * values[:, index]
            return total, None

        return lax.scan(add, jnp.zeros((len(rows), height, width), rows.dtype), (radians, strips))[0]


def _area(offset: Any, cos: Any, sin: Any) -> Any:
    """Area of a unit square at this distance from the middle of a strip, that lies in the strip."""
    return _share(offset + 0.5, cos, sin) - _share(offset - 0.5, cos, sin)


def _share(edge: Any, cos: Any, sin: Any) -> Any:
    """Area of a unit square between its center and a line at this signed distance: the integral of a trapezoid."""
    long, short = jnp.maximum(jnp.abs(cos), jnp.abs(sin)), jnp.minimum(jnp.abs(cos), jnp.abs(sin))
    short = jnp.maximum(short, 1e-12)
    flat, distance = (long - short) / 2, jnp.abs(edge)
    slope = jnp.clip(distance - flat, 0, short)
    return jnp.sign(edge) * (jnp.minimum(distance, flat) + slope - slope * slope / (2 * short)) / long

"""Low rank: the nuclear norm of an image, or of its patches."""

from typing import Any

import jax
import jax.numpy as jnp

from mtjax.physics.operator import Identity, Operator, Pixels, Shape, Spectrum
from mtjax.pytree import pytree, static
from mtjax.solvers.priors import Prior, weighted_sum
from mtjax.solvers.proximal import per_example, shrink_amount
from mtjax.typing import Array, Inexact

Values = Inexact[Array, "..."]


@pytree
class Patches(Operator):
    """All patches of `size` × `size` pixels that start every `stride` pixels, around the border, times `stride/size`.

    `[..., H, W, C]` becomes `[..., H / stride, W / stride, size · size · C]`. Every pixel is in `(size / stride)²`
    patches, so that `AᴴA` is the identity: a tight frame.
    """

    size: int = static()
    stride: int = static()

    def __call__(self, x: Pixels, /) -> Values:
        """The patches: down, right and channel are joined, in this order, in the last axis."""
        s, n = self.stride, self.size // self.stride
        *batch, height, width, channels = x.shape
        cells = x.reshape(*batch, height // s, s, width // s, s, channels)
        cells = jnp.moveaxis(cells, -3, -4)  # [..., H/s, W/s, s, s, C]
        rows = jnp.concatenate([jnp.roll(cells, -k, -5) for k in range(n)], -3)
        patches = jnp.concatenate([jnp.roll(rows, -k, -4) for k in range(n)], -2)
        return patches.reshape(*batch, height // s, width // s, -1) / n

    def norm_bound(self) -> Array:
        """1."""
        return jnp.ones(())

    def output_shape(self, image_shape: Shape) -> Shape:
        """ValueError where the image's size is no multiple of the stride, or less than a patch."""
        *batch, height, width, channels = image_shape
        if height % self.stride or width % self.stride or min(height, width) < self.size:
            wanted = f"multiples of {self.stride}, and at least {self.size}"
            raise ValueError(f"image has shape {image_shape}; patches of {self.size} need sizes that are {wanted}")
        return (*batch, height // self.stride, width // self.stride, self.size**2 * channels)

    def input_shape(self, y_shape: Shape) -> Shape:
        """The image's."""
        *batch, down, right, joined = y_shape
        return (*batch, down * self.stride, right * self.stride, joined // self.size**2)

    def gram(self, shape: Shape, dtype: Any) -> Spectrum:
        """1 at every frequency."""
        return jnp.ones((1, 1, 1), jnp.finfo(dtype).dtype)

    def range_gram(self, y_shape: Shape, dtype: Any) -> Spectrum | None:
        """1 where patches do not overlap."""
        return self.gram(y_shape, dtype) if self.size == self.stride else None


@pytree
class NuclearNorm(Prior):
    """`weight · Σ σᵢ`, the sum of singular values: of each channel as a matrix, or of each patch of each channel.

    `patch`: size of square patches (None: the whole image). They start every `stride` pixels (default: `patch`, no
    overlap), which has to divide `patch` and the image's size, and go on at the opposite border; each is scaled by
    `stride / patch`, with which the sum of their squares is that of the image's. `weight` is a number or one for each
    example. The proximal map's derivative is written with divided differences of the shrunk singular values, all of
    which are between 0 and 1: it is finite, also where singular values are 0 or equal.
    """

    weight: Any = 1e-2
    patch: int | None = static(default=None)
    stride: int | None = static(default=None)

    def __post_init__(self):
        object.__setattr__(self, "weight", 1.0 * jnp.asarray(self.weight))
        if self.patch is not None and self.patch < 1:
            raise ValueError(f"patch={self.patch} is no size; expected at least 1, or None for the whole image")
        if self.stride is not None and (self.patch is None or self.stride < 1 or self.patch % self.stride):
            raise ValueError(f"stride={self.stride} does not divide patch={self.patch}; expected one of its divisors")

    @property
    def analysis(self) -> Operator:
        """The patches, or the image itself."""
        return Identity() if self.patch is None else Patches(self.patch, self.stride or self.patch)

    def value(self, x: Pixels, /) -> Values:
        """The weighted sum of singular values of each example."""
        values = jnp.linalg.svd(self._matrices(self.analysis(x)), compute_uv=False)
        return weighted_sum(self.weight, jnp.sum(values, -1))

    def prox(self, v: Values, t: Any, /) -> Values:
        """Shrinks the singular values by `t · weight` (Cai, Candès and Shen, 2010)."""
        threshold = per_example(t, v) * per_example(self.weight, v)
        small = shrink_singular(self._matrices(v), threshold[..., None] if threshold.ndim else threshold)
        return jnp.moveaxis(small, -3, -1).reshape(v.shape)

    def _matrices(self, v: Values) -> Values:
        """`[*b, down, right, C, p, q]`: one patch or, with a single one down and right, whole channels."""
        *batch, height, width, channels = v.shape
        if self.patch is None:
            cells = v.reshape(*batch, 1, 1, height, width, channels)
        else:
            cells = v.reshape(*batch, height, width, self.patch, self.patch, -1)
        return jnp.moveaxis(cells, -1, -3)


@jax.custom_jvp
def shrink_singular(matrices: Values, threshold: Values) -> Values:
    """`argmin_Z t ‖Z‖_* + ½‖Z − M‖²` for matrices `[..., p, q]` and a threshold that broadcasts to `[..., 1]`."""
    left, values, right = jnp.linalg.svd(matrices, full_matrices=False)
    kept = values * (1 - shrink_amount(values * values, threshold))
    return (left * kept[..., None, :]) @ right


@shrink_singular.defjvp
def _shrink_singular_derivative(primals: tuple[Values, Values], tangents: tuple[Values, Values]) -> Any:
    """The Fréchet derivative of a spectral function, through the eigenvectors of `[[0, M], [Mᴴ, 0]]`.

    In the basis of singular vectors the Hermitian part of the change is multiplied by `(fᵢ − fⱼ) / (σᵢ − σⱼ)`, the rest
    by `(fᵢ + fⱼ) / (σᵢ + σⱼ)`, and what is outside the basis by `fᵢ / σᵢ` (Lewis and Sendov, 2005).
    """
    (matrices, threshold), (change, raised) = primals, tangents
    left, values, right = jnp.linalg.svd(matrices, full_matrices=False)
    share = 1 - shrink_amount(values * values, threshold)
    kept = values * share
    one, two = values[..., :, None], values[..., None, :]
    high, low, level = jnp.maximum(one, two), jnp.minimum(one, two), jnp.asarray(threshold)
    level = level[..., None] if level.ndim else level
    across = (low <= level) & (high > level)
    slope = jnp.where(across, (high - level) / jnp.where(across, high - low, 1), low > level)
    both = one + two
    mean = jnp.where(
        both > 0, (kept[..., :, None] + kept[..., None, :]) / jnp.where(both > 0, both, 1), share[..., None]
    )

    inside = _conjugate(left) @ change @ _conjugate(right)
    even, odd = (inside + _conjugate(inside)) / 2, (inside - _conjugate(inside)) / 2
    core = slope * even + mean * odd
    core = core - jnp.eye(values.shape[-1], dtype=values.dtype) * jnp.where(values > threshold, raised, 0)[..., None, :]
    below = (change @ _conjugate(right) - left @ inside) * share[..., None, :]
    beside = share[..., :, None] * (_conjugate(left) @ change - inside @ right)
    derivative = left @ (core @ right + beside) + below @ right
    return (left * kept[..., None, :]) @ right, derivative


def _conjugate(matrices: Values) -> Values:
    return jnp.swapaxes(matrices, -1, -2).conj()

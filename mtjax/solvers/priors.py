"""Priors `g(L x)`: each has a value, the proximal map of `g`, and its analysis operator `L`."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from mtjax.physics.operator import (
    AXES,
    Identity,
    Operator,
    Pixels,
    Shape,
    Spectrum,
    check_choice,
    columns,
    roll,
    squared_magnitude,
    total,
    zero_border,
)
from mtjax.pytree import pytree, static
from mtjax.solvers.proximal import length, per_example, shrink_amount
from mtjax.typing import Array, Inexact


class Prior:
    """A regularizer of an image; subclasses are pytree dataclasses whose weights are array leaves.

    `lift`: how many times the image's channels the unknowns have; 1 where there is nothing but the image.
    """

    lift: int = 1

    @property
    def analysis(self) -> Operator:
        """The linear map `L` in `g(L x)`."""
        raise NotImplementedError

    def value(self, x: Pixels, /) -> Inexact[Array, "..."]:
        """`g(L x)` of each example: the batch axes of `x`."""
        raise NotImplementedError

    def prox(self, v: Any, t: Any, /) -> Any:
        """`argmin_z t g(z) + ½‖z − v‖²`, for `v` and `z` in the range of `L`."""
        raise NotImplementedError

    def remainder(self, v: Any, t: Any, /) -> Any:
        """`v − prox(v, t)`: by Moreau, what is left for the multiplier."""
        return jax.tree.map(jnp.subtract, v, self.prox(v, t))

    def penalty(self) -> Any:
        """A penalty `rho` with which `admm` does well: ten times the weight, so that it shrinks by 0.1."""
        weight = getattr(self, "weight", None)
        return 2e-2 if weight is None else 10 * weight


@pytree
class Gradient(Operator):
    """Forward differences (down, right): across the border, from the opposite side ("circular") or 0 ("reflect")."""

    boundary: str = static(default="circular")

    def __post_init__(self):
        check_choice("boundary", self.boundary, ("circular", "reflect"))

    def __call__(self, x: Pixels, /) -> tuple[Pixels, Pixels]:
        """Two arrays of the image's shape (not one: joining them would cost a pass over memory)."""
        return self._difference(x, -3), self._difference(x, -2)

    def adjoint(self, y: tuple[Pixels, ...], /) -> Pixels:
        """Minus the divergence."""
        return self._transposed(y[0], -3) + self._transposed(y[1], -2)

    def norm_bound(self) -> Array:
        """√8: each second difference is at most 4."""
        return jnp.sqrt(8.0)

    def output_shape(self, image_shape: Shape) -> tuple[Shape, Shape]:
        """The image's shape, twice."""
        return image_shape, image_shape

    def input_shape(self, y_shape: tuple[Shape, Shape]) -> Shape:
        """The image's shape."""
        return y_shape[0]

    def gram(self, shape: Shape, dtype: Any) -> Spectrum | None:
        """`4 sin²(ω/2)`, summed over both frequencies; None unless circular."""
        return self.approximate_gram(shape, dtype) if self.boundary == "circular" else None

    def range_gram(self, y_shape: Any, dtype: Any) -> None:
        """None: the two differences are correlated."""
        return

    def approximate_gram(self, shape: Shape, dtype: Any) -> Spectrum:
        """That of circular differences."""
        height, width = shape[-3:-1]
        real = jnp.finfo(dtype).dtype
        down = 4 * jnp.sin(jnp.pi * jnp.arange(height, dtype=real) / height) ** 2
        right = 4 * jnp.sin(jnp.pi * jnp.arange(columns(width, dtype), dtype=real) / width) ** 2
        return (down[:, None] + right[None, :])[..., None]

    def _difference(self, x: Pixels, axis: int) -> Pixels:
        if self.boundary == "circular":
            return roll(x, -1, axis) - x
        return _edged(jnp.diff(x, axis=axis), axis, 0, 1)

    def _transposed(self, p: Pixels, axis: int) -> Pixels:
        if self.boundary == "circular":
            return roll(p, 1, axis) - p
        inside = lax.slice_in_dim(p, 0, p.shape[axis] - 1, axis=axis % p.ndim)  # the last difference is always 0
        return _edged(inside, axis, 1, 0) - _edged(inside, axis, 0, 1)


def _edged(x: Inexact[Array, "... h w C"], axis: int, before: int, after: int) -> Pixels:
    """Zeros before and after, along one axis."""
    return zero_border(x, [(before, after) if a == axis else (0, 0) for a in AXES])


@pytree
class TotalVariation(Prior):
    """`weight · Σ ‖∇x‖`, each channel by itself (Rudin, Osher and Fatemi, 1992).

    `isotropic` takes the Euclidean length of (down, right) at each pixel, otherwise the sum of magnitudes.
    `boundary` is that of the differences: "circular" is what the fast Fourier forms of `admm` need; "reflect" counts
    no jump across the border, as `skimage.restoration.denoise_tv_chambolle` does.
    `huber` > 0 makes lengths r below it count as `r² / (2 huber)`, longer ones as `r − huber / 2`: slopes instead of
    stairs. It and `weight` are numbers, or one for each example.
    """

    weight: Any = 1e-3
    isotropic: bool = static(default=True)
    boundary: str = static(default="circular")
    huber: Any = 0.0

    def __post_init__(self):
        object.__setattr__(self, "weight", 1.0 * jnp.asarray(self.weight))
        object.__setattr__(self, "huber", 1.0 * jnp.asarray(self.huber))
        check_choice("boundary", self.boundary, ("circular", "reflect"))

    @property
    def analysis(self) -> Gradient:
        """Forward differences."""
        return Gradient(self.boundary)

    def value(self, x: Pixels, /) -> Inexact[Array, "..."]:
        """The weighted total variation of each example."""
        down, right = (squared_magnitude(part) for part in self.analysis(x))
        huber = per_example(self.huber, x)
        sizes = [down + right] if self.isotropic else [down, right]
        return weighted_sum(self.weight, total([_huber(squared, huber) for squared in sizes]))

    def prox(self, v: tuple[Pixels, Pixels], t: Any, /) -> tuple[Pixels, ...]:
        """Shrinks the differences by `t · weight`; with `huber`, small ones by a factor."""
        return tuple(part - gone for part, gone in zip(v, self.remainder(v, t), strict=True))

    def remainder(self, v: tuple[Pixels, Pixels], t: Any, /) -> tuple[Pixels, ...]:
        """What shrinking takes away, without the pass over memory that a difference of images costs."""
        threshold, huber = per_example(t, v[0]) * per_example(self.weight, v[0]), per_example(self.huber, v[0])
        squared = [squared_magnitude(part) for part in v]
        squared = [total(squared)] * 2 if self.isotropic else squared
        return tuple(shrink_amount(size, threshold, huber) * part for size, part in zip(squared, v, strict=True))


def _huber(squared: Inexact[Array, "..."], delta: Inexact[Array, "..."]) -> Inexact[Array, "..."]:
    """Huber's function of a length, from its square."""
    curved = squared / (2 * jnp.where(delta > 0, delta, 1))
    return jnp.where(squared > delta * delta, length(squared) - delta / 2, curved)


def weighted_sum(weight: Any, sizes: Inexact[Array, "..."]) -> Inexact[Array, "..."]:
    """`weight · Σ sizes` of each example, `[*b]`, for sizes `[*b, h, w, c]` and a weight that may differ by example."""
    return (per_example(weight, sizes) * jnp.sum(sizes, (-3, -2, -1), keepdims=True))[..., 0, 0, 0]


@pytree
class GroupL21(Prior):
    """`weight · Σ ‖(L x) of a pixel‖`, the length being taken over its channels: they share their edges and zeros.

    `transform`: None, `L` being the identity, or "gradient", the length being taken over both differences and all
    channels: vectorial total variation (Bresson and Chan, 2008), with `boundary` as in `TotalVariation`.
    `weight` is a number or one for each example.
    """

    weight: Any = 1e-3
    transform: str | None = static(default=None)
    boundary: str = static(default="circular")

    def __post_init__(self):
        object.__setattr__(self, "weight", 1.0 * jnp.asarray(self.weight))
        if self.transform is not None:
            check_choice("transform", self.transform, ("gradient",))
        check_choice("boundary", self.boundary, ("circular", "reflect"))

    @property
    def analysis(self) -> Operator:
        """Forward differences, or the identity."""
        return Identity() if self.transform is None else Gradient(self.boundary)

    def value(self, x: Pixels, /) -> Inexact[Array, "..."]:
        """The weighted sum of lengths of each example."""
        return weighted_sum(self.weight, length(self._squared(self.analysis(x))))

    def prox(self, v: Any, t: Any, /) -> Any:
        """Shrinks the vector of each pixel by `t · weight`."""
        like = jax.tree.leaves(v)[0]
        taken = shrink_amount(self._squared(v), per_example(t, like) * per_example(self.weight, like))
        return jax.tree.map(lambda part: part - taken * part, v)

    def _squared(self, v: Any) -> Inexact[Array, "..."]:
        parts = [jnp.sum(squared_magnitude(part), -1, keepdims=True) for part in jax.tree.leaves(v)]
        return total(parts)


@pytree
class Denoiser(Prior):
    """A denoiser in the place of a proximal map: plug and play (Venkatakrishnan, Bouman and Wohlberg, 2013).

    `denoise(image, sigma) -> image` takes noise of standard deviation `sigma`, a scalar or `[*b, 1, 1, 1]`, away. It is
    a function, or a `jax.tree_util.Partial` of one if it has arrays, such as a network's parameters, that should not
    be compiled in. `prox(v, t)` denoises at `sigma = √(t weight)`, as the proximal map of `weight · (−log p)` would.
    """

    denoise: Any
    weight: Any = 1.0

    def __post_init__(self):
        if not callable(self.denoise):
            raise ValueError(f"denoise={self.denoise!r} is not a function; expected denoise(image, sigma) -> image")
        if not isinstance(self.denoise, jax.tree_util.Partial):
            object.__setattr__(self, "denoise", jax.tree_util.Partial(self.denoise))
        object.__setattr__(self, "weight", 1.0 * jnp.asarray(self.weight))

    @property
    def analysis(self) -> Identity:
        """The image itself."""
        return Identity()

    def penalty(self) -> Any:
        """That with which it denoises at 0.05."""
        return 400 * self.weight

    def value(self, x: Pixels, /) -> Inexact[Array, "..."]:
        """Not known: NaN for each example."""
        return jnp.full(x.shape[:-3], jnp.nan, jnp.finfo(x.dtype).dtype)

    def prox(self, v: Pixels, t: Any, /) -> Pixels:
        """The denoised image."""
        return self.denoise(v, jnp.sqrt(per_example(t, v) * per_example(self.weight, v)))

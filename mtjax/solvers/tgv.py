"""Total generalized variation: slopes cost nothing, only their changes do."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from mtjax.physics.operator import Operator, Pixels, Shape, check_choice, squared_magnitude, total
from mtjax.pytree import pytree, static
from mtjax.solvers.priors import Gradient, Prior, weighted_sum
from mtjax.solvers.proximal import length, per_example, shrink_together
from mtjax.typing import Array, Inexact

Values = Inexact[Array, "..."]


@pytree
class SlopeAnalysis(Operator):
    """`(x, w) -> (∇x − w, E w)` for a slope `w` = (down, right) at each pixel, `E w` its symmetric derivative.

    `[..., H, W, 3C]` (`x`, `w_down`, `w_right`, each of C channels) becomes five images `[..., H, W, C]`: both
    components of `∇x − w`, both on the diagonal of `E w`, and √2 times the one off it, which so counts twice.
    ∇ takes forward differences, `E` backward ones. With boundary "reflect" `∇x` has no value on the last row (down) and
    the last column (right); the slope is not compared with it there.
    """

    boundary: str = static(default="circular")

    def __call__(self, x: Pixels, /) -> tuple[Values, ...]:
        """The five images."""
        image, down, right = jnp.split(x, 3, -1)
        steps = Gradient(self.boundary)(image)
        twist = (self._backward(down, -2) + self._backward(right, -3)) * jnp.sqrt(0.5).astype(x.real.dtype)
        return (
            steps[0] - self._inner(down, -3), steps[1] - self._inner(right, -2),
            self._backward(down, -3), self._backward(right, -2), twist,
        )  # fmt: skip

    def adjoint(self, y: tuple[Pixels, ...], /) -> Values:
        """The exact transpose."""
        like = jax.ShapeDtypeStruct(self.input_shape(jax.tree.map(jnp.shape, y)), y[0].dtype)
        (x,) = jax.linear_transpose(self.__call__, like)(jax.tree.map(jnp.conj, y))
        return x.conj()

    def norm_bound(self) -> Array:
        """The norm of `[[√8, 1], [0, √8]]`, as `‖∇‖` and `‖E‖` are at most √8."""
        return jnp.sqrt((17 + jnp.sqrt(33.0)) / 2)

    def output_shape(self, image_shape: Shape) -> tuple[Shape, ...]:
        """A third of the channels, five times; ValueError where they are no multiple of three."""
        if image_shape[-1] % 3:
            raise ValueError(f"x has shape {image_shape}; TGV expects the image and its slopes, 3 C channels")
        return ((*image_shape[:-1], image_shape[-1] // 3),) * 5

    def input_shape(self, y_shape: tuple[Shape, ...]) -> Shape:
        """Three times the channels."""
        return (*y_shape[0][:-1], 3 * y_shape[0][-1])

    def range_gram(self, y_shape: Any, dtype: Any) -> None:
        """None: the five images are correlated."""
        return

    def _backward(self, w: Pixels, axis: int) -> Pixels:
        """Differences from the pixel before; with "reflect", 0 where there is none."""
        before = jnp.roll(w, 1, axis) if self.boundary == "circular" else _shifted(w, axis)
        return w - before

    def _inner(self, w: Pixels, axis: int) -> Pixels:
        """`w`, 0 on the last line across `axis` where no difference is taken there."""
        if self.boundary == "circular":
            return w
        lines = jnp.arange(w.shape[axis]) < w.shape[axis] - 1
        return w * lax.expand_dims(lines, range(1, -axis)).astype(w.dtype)


def _shifted(w: Pixels, axis: int) -> Pixels:
    """Moved on by one pixel, the first line repeated."""
    size = w.shape[axis]
    first, rest = lax.slice_in_dim(w, 0, 1, axis=axis % w.ndim), lax.slice_in_dim(w, 0, size - 1, axis=axis % w.ndim)
    return jnp.concatenate([first, rest], axis)


@pytree
class TGV(Prior):
    """`min_w weight · Σ ‖∇x − w‖ + ratio · weight · Σ ‖E w‖`, each channel by itself (Bredies, Kunisch, Pock, 2010).

    Total generalized variation of second order: images that are piecewise affine, without the stairs of total
    variation. The slopes `w` are unknowns beside the image, in further channels behind its own, which solvers add and
    take away again; `value` too is that of an image with its slopes. `boundary` is as in `TotalVariation`: with
    "reflect" an affine image costs nothing, with "circular" its jump across the border counts.
    `weight` and `ratio` are numbers, or one for each example.
    """

    weight: Any = 1e-3
    ratio: Any = 2.0
    boundary: str = static(default="circular")

    lift = 3

    def __post_init__(self):
        object.__setattr__(self, "weight", 1.0 * jnp.asarray(self.weight))
        object.__setattr__(self, "ratio", 1.0 * jnp.asarray(self.ratio))
        check_choice("boundary", self.boundary, ("circular", "reflect"))

    @property
    def analysis(self) -> SlopeAnalysis:
        """From the image and its slopes to what is penalized."""
        return SlopeAnalysis(self.boundary)

    def value(self, x: Pixels, /) -> Values:
        """The sum for these slopes, the second and third thirds of the channels; ValueError for a bare image."""
        self.analysis.output_shape(x.shape)
        parts = self.analysis(x)
        sizes = [length(total([squared_magnitude(part) for part in group])) for group in (parts[:2], parts[2:])]
        return weighted_sum(self.weight, sizes[0] + per_example(self.ratio, x) * sizes[1])

    def prox(self, v: tuple[Pixels, ...], t: Any, /) -> tuple[Pixels, ...]:
        """Shrinks `∇x − w` by `t · weight` and `E w` by `ratio` times that."""
        threshold = per_example(t, v[0]) * per_example(self.weight, v[0])
        return (
            *shrink_together(v[:2], threshold),
            *shrink_together(v[2:], per_example(self.ratio, v[0]) * threshold),
        )

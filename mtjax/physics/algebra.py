"""How operators combine: one after another, scaled, added, stacked."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from mtjax.physics.operator import Operator, Pixels, Shape, Spectrum, squared_magnitude, total
from mtjax.pytree import pytree
from mtjax.typing import Array, Inexact


@pytree
class Compose(Operator):
    """`A x = outer(inner(x))`, written `outer @ inner`."""

    outer: Operator
    inner: Operator

    def __call__(self, x: Pixels, /) -> Any:
        """`outer(inner(x))`."""
        return self.outer(self.inner(x))

    def adjoint(self, y: Any, /) -> Pixels:
        """`innerᴴ(outerᴴ(y))`."""
        return self.inner.adjoint(self.outer.adjoint(y))

    def norm_bound(self) -> Array:
        """Product of the bounds."""
        return self.outer.norm_bound() * self.inner.norm_bound()

    def output_shape(self, image_shape: Shape) -> Any:
        """Through `inner`, then `outer`."""
        return self.outer.output_shape(self.inner.output_shape(image_shape))

    def input_shape(self, y_shape: Any) -> Shape:
        """Back through `outer`, then `inner`."""
        return self.inner.input_shape(self.outer.input_shape(y_shape))

    def transfer(self, shape: Shape, dtype: Any) -> Spectrum | None:
        """Product, if both are circular convolutions."""
        return _product(self.outer.transfer(shape, dtype), self.inner.transfer(shape, dtype))

    def diagonal(self, shape: Shape, dtype: Any) -> Pixels | None:
        """Product, if both are pixelwise."""
        return _product(self.outer.diagonal(shape, dtype), self.inner.diagonal(shape, dtype))

    def split(self, shape: Shape, dtype: Any) -> tuple[Operator, Operator] | None:
        """`(D, B @ inner)` where `outer = D B` and `inner` is circular."""
        parts = self.outer.split(self.inner.output_shape(shape), dtype)
        if parts is None or self.inner.transfer(shape, dtype) is None:
            return None
        return parts[0], Compose(parts[1], self.inner)


def _product(a: Any, b: Any) -> Any:
    return None if a is None or b is None else a * b


@pytree
class Scaled(Operator):
    """`A x = scale · operator(x)`, written `scale * operator`; `scale` is a scalar, or per example `[B, 1, 1, 1]`."""

    scale: Inexact[Array, "..."]
    operator: Operator

    def __post_init__(self):
        if self.scale.ndim and self.scale.shape[-3:] != (1, 1, 1):
            raise ValueError(f"scale has shape {self.scale.shape}; expected () or [B, 1, 1, 1]")

    def __call__(self, x: Pixels, /) -> Any:
        """`scale · operator(x)`."""
        y = self.operator(x)
        return jax.tree.map(lambda leaf: self.scale.astype(leaf.dtype) * leaf, y)

    def adjoint(self, y: Any, /) -> Pixels:
        """`scale* · operatorᴴ(y)`."""
        x = self.operator.adjoint(y)
        return self.scale.conj().astype(x.dtype) * x

    def norm_bound(self) -> Array:
        """`|scale|` times the bound."""
        return jnp.max(jnp.abs(self.scale)) * self.operator.norm_bound()

    def output_shape(self, image_shape: Shape) -> Any:
        """The operator's."""
        return self.operator.output_shape(image_shape)

    def input_shape(self, y_shape: Any) -> Shape:
        """The operator's."""
        return self.operator.input_shape(y_shape)

    def transfer(self, shape: Shape, dtype: Any) -> Spectrum | None:
        """`scale` times the operator's."""
        return _product(self.scale.astype(dtype), self.operator.transfer(shape, dtype))

    def diagonal(self, shape: Shape, dtype: Any) -> Pixels | None:
        """`scale` times the operator's."""
        return _product(self.scale.astype(dtype), self.operator.diagonal(shape, dtype))

    def gram(self, shape: Shape, dtype: Any) -> Spectrum | None:
        """`|scale|²` times the operator's."""
        return _product(squared_magnitude(self.scale).astype(dtype), self.operator.gram(shape, dtype))

    def range_gram(self, y_shape: Shape, dtype: Any) -> Spectrum | None:
        """`|scale|²` times the operator's."""
        return _product(squared_magnitude(self.scale).astype(dtype), self.operator.range_gram(y_shape, dtype))

    def split(self, shape: Shape, dtype: Any) -> tuple[Operator, Operator] | None:
        """`(D, scale · B)`."""
        parts = self.operator.split(shape, dtype)
        return None if parts is None else (parts[0], Scaled(self.scale, parts[1]))


@pytree
class Sum(Operator):
    """`A x = first(x) + second(x)`, written `first + second`."""

    first: Operator
    second: Operator

    def __call__(self, x: Pixels, /) -> Any:
        """`first(x) + second(x)`."""
        return jax.tree.map(jnp.add, self.first(x), self.second(x))

    def adjoint(self, y: Any, /) -> Pixels:
        """`firstᴴ(y) + secondᴴ(y)`."""
        return self.first.adjoint(y) + self.second.adjoint(y)

    def norm_bound(self) -> Array:
        """Sum of the bounds (triangle inequality)."""
        return self.first.norm_bound() + self.second.norm_bound()

    def output_shape(self, image_shape: Shape) -> Any:
        """The common shape; ValueError if they differ."""
        one, two = self.first.output_shape(image_shape), self.second.output_shape(image_shape)
        if one != two:
            raise ValueError(f"cannot add operators with outputs of shape {one} and {two}")
        return one

    def input_shape(self, y_shape: Any) -> Shape:
        """The first one's."""
        return self.first.input_shape(y_shape)

    def transfer(self, shape: Shape, dtype: Any) -> Spectrum | None:
        """Sum, if both are circular convolutions."""
        a, b = self.first.transfer(shape, dtype), self.second.transfer(shape, dtype)
        return None if a is None or b is None else a + b

    def diagonal(self, shape: Shape, dtype: Any) -> Pixels | None:
        """Sum, if both are pixelwise."""
        a, b = self.first.diagonal(shape, dtype), self.second.diagonal(shape, dtype)
        return None if a is None or b is None else a + b


@pytree
class Stack(Operator):
    """Several observations of one image: `A x` is the tuple `(A₁ x, A₂ x, ...)`, and so is `y`."""

    operators: tuple[Operator, ...] | list[Operator]

    def __post_init__(self):
        if not self.operators:
            raise ValueError("operators=[] stacks nothing; expected at least one operator")
        object.__setattr__(self, "operators", tuple(self.operators))

    def __call__(self, x: Pixels, /) -> tuple[Any, ...]:
        """`(A₁ x, A₂ x, ...)`."""
        return tuple(op(x) for op in self.operators)

    def adjoint(self, y: tuple[Any, ...] | list[Any], /) -> Pixels:
        """`Σ Aᵢᴴ yᵢ`."""
        if len(y) != len(self.operators):
            raise ValueError(f"y has {len(y)} parts; expected {len(self.operators)}, one for each stacked operator")
        return sum((op.adjoint(part) for op, part in zip(self.operators[1:], y[1:], strict=True)), self._first(y))

    def _first(self, y: Sequence[Any]) -> Pixels:
        return self.operators[0].adjoint(y[0])

    def norm_bound(self) -> Array:
        """Root of the sum of squares."""
        return jnp.sqrt(sum(op.norm_bound() ** 2 for op in self.operators))

    def output_shape(self, image_shape: Shape) -> tuple[Any, ...]:
        """Tuple of the operators' output shapes."""
        return tuple(op.output_shape(image_shape) for op in self.operators)

    def input_shape(self, y_shape: Any) -> Shape:
        """The first operator's, from the first part of `y`."""
        return self.operators[0].input_shape(y_shape[0])

    def gram(self, shape: Shape, dtype: Any) -> Spectrum | None:
        """Sum, if all are known."""
        return total([op.gram(shape, dtype) for op in self.operators])

    def range_gram(self, y_shape: Any, dtype: Any) -> None:
        """None: parts of `y` are correlated."""
        return

    def approximate_gram(self, shape: Shape, dtype: Any) -> Spectrum | None:
        """Sum, if all are known."""
        return total([op.approximate_gram(shape, dtype) for op in self.operators])

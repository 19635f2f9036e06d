"""What every solver returns, and how it takes its images."""

import enum
from typing import Any

import jax
import jax.numpy as jnp

from mtjax.physics.operator import Operator
from mtjax.pytree import pytree
from mtjax.typing import Array, Float, Inexact, Int

Values = Inexact[Array, "..."]


class Status(enum.IntEnum):
    """How a solve ended."""

    CONVERGED = 0  # exact, or within the tolerance asked for
    ITERATION_LIMIT = 1  # did the iterations it was allowed
    DIVERGED = 2  # met a value that is not finite; the image is the last finite one where there is a tolerance


@pytree
class Solution:
    """A recovered image and how it was got: `status`, `iterations` and `residual` are per example (the batch axes)."""

    image: Values
    status: Int[Array, "..."]
    iterations: Int[Array, "..."]
    residual: Float[Array, "..."]  # relative; each solver says of what
    trace: Any = None  # by name ("objective", "residual"), what was recorded: [*b, iterations]; None unless asked for
    state: Any = None  # where an iterative solver ended, for `init=` to go on from; None of others


def status_name(status: Any) -> str:
    """`"converged"`, `"iteration_limit"` or `"diverged"`, of one example."""
    return Status(int(status)).name.lower()


def as_images(y: Any) -> tuple[Any, bool]:
    """`y` as `[..., H, W, C]`, and whether it came as a plain `[H, W]` array; ValueError if not floating point."""
    for leaf in jax.tree.leaves(y):
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.inexact):
            raise ValueError(f"y has dtype {jnp.result_type(leaf)}; expected floating-point images in [0, 1]")
        if jnp.ndim(leaf) < 2:
            raise ValueError(f"y has shape {jnp.shape(leaf)}; expected [H, W] or [..., H, W, C]")
    y = jax.tree.map(jnp.asarray, y)
    plain = isinstance(y, jax.Array) and y.ndim == 2
    return (y[..., None] if plain else y), plain


def image_like(y: Any, operator: Operator) -> jax.ShapeDtypeStruct:
    """Shape and dtype of the image that `operator` maps to something like `y`; ValueError if none does."""
    shapes = jax.tree.map(jnp.shape, y)
    shape = operator.input_shape(shapes)
    if operator.output_shape(shape) != shapes:
        raise ValueError(f"y has shape {shapes}; the operator gives {operator.output_shape(shape)}")
    return jax.ShapeDtypeStruct(shape, jax.tree.leaves(y)[0].dtype)


def start_image(init: Any, like: jax.ShapeDtypeStruct) -> Values:
    """The image `init`, or that of an earlier solution, or zeros; ValueError if its shape is not that of the image."""
    if init is None:
        return jnp.zeros(like.shape, like.dtype)
    start = as_images(init.image if isinstance(init, Solution) else init)[0]
    if start.shape != like.shape:
        raise ValueError(f"init has shape {start.shape}; expected the image's {like.shape}")
    return start.astype(jnp.promote_types(start.dtype, like.dtype))


def fixed_count(iterations: int | None, tolerance: float | None) -> int:
    """How many iterations to do where no tolerance is given (default 100); ValueError for senseless arguments."""
    if iterations is not None and tolerance is not None:
        raise ValueError(f"iterations={iterations} and tolerance={tolerance} exclude each other; give one")
    if iterations is not None and iterations < 1:
        raise ValueError(f"iterations={iterations} does nothing; expected at least 1")
    if tolerance is not None and not tolerance > 0:
        raise ValueError(f"tolerance={tolerance} is never met; expected a positive number")
    return 100 if iterations is None else iterations


def stopped_status(residual: Float[Array, "..."], converged: Any = False) -> Int[Array, "..."]:
    """DIVERGED where the residual is not finite, else CONVERGED where `converged`, else ITERATION_LIMIT."""
    status = jnp.where(jnp.asarray(converged), int(Status.CONVERGED), int(Status.ITERATION_LIMIT))
    return jnp.where(jnp.isfinite(residual), status, int(Status.DIVERGED))


def finish(
    image: Values,
    plain: bool,
    status: Any,
    iterations: Any,
    residual: Values,
    trace: Any = None,
    state: Any = None,
) -> Solution:
    """A `Solution` whose per-example fields have the batch axes of `image` `[..., H, W, C]`."""
    batch = image.shape[:-3]
    return Solution(
        image=image[..., 0] if plain and image.shape[-1] == 1 else image,
        status=jnp.broadcast_to(jnp.asarray(status, jnp.int32), batch),
        iterations=jnp.broadcast_to(jnp.asarray(iterations, jnp.int32), batch),
        residual=jnp.broadcast_to(residual, batch),
        trace=trace,
        state=state,
    )

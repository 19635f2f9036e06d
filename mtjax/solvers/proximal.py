"""Proximal maps and the arithmetic that solvers share; gradients are finite everywhere, at 0 too."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from mtjax.physics.operator import squared_magnitude, total
from mtjax.typing import Array, Inexact

Values = Inexact[Array, "..."]
_TINY = 1e-20  # small beside any square of interest, and its power -3/2 is still finite in float32


def per_example(value: Any, like: Values | jax.ShapeDtypeStruct) -> Values:
    """A hyper-parameter ready to multiply images `like` `[*b, H, W, C]`: a scalar stays, `[*b]` gets three axes."""
    value = jnp.asarray(value, jnp.finfo(like.dtype).dtype)
    batch = like.ndim - 3
    if 0 < value.ndim <= batch:
        value = value.reshape((*value.shape, 1, 1, 1))
    sizes = like.shape[like.ndim - value.ndim :] if value.ndim <= like.ndim else ()
    if len(sizes) != value.ndim or any(n not in (1, m) for n, m in zip(value.shape, sizes, strict=True)):
        raise ValueError(f"a hyper-parameter has shape {value.shape}; expected () or {like.shape[:batch]}")
    return value


def length(squared: Values) -> Values:
    """The square root, whose gradient is taken to be 0 at 0."""
    positive = squared > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1)), 0)


def shrink_amount(squared_norm: Values, threshold: Values, huber: Any = 0.0) -> Values:
    """`min(1, t / ‖v‖)` from `‖v‖²`: the share of `v` that the proximal map of `t‖·‖` takes away.

    With `huber` δ, of `t h(‖·‖)` for Huber's function, `h(r) = r²/(2δ)` up to δ and `r − δ/2` beyond.
    """
    reach = threshold + huber
    return threshold * lax.rsqrt(jnp.maximum(squared_norm, jnp.maximum(reach * reach, _TINY)))


def shrink(v: Values, threshold: Values, huber: Any = 0.0) -> Values:
    """Soft thresholding: `argmin_z t‖z‖₁ + ½‖z − v‖²`; with `huber`, of Huber's function of each `|z|`."""
    return v - shrink_amount(squared_magnitude(v), threshold, huber) * v


def shrink_together(v: tuple[Values, ...], threshold: Values, huber: Any = 0.0) -> tuple[Values, ...]:
    """Group soft thresholding of vectors whose components are the parts of `v`: `argmin_z t‖z‖₂,₁ + ½‖z − v‖²`."""
    amount = shrink_amount(total([squared_magnitude(part) for part in v]), threshold, huber)
    return tuple(part - amount * part for part in v)


def dot(a: Any, b: Any) -> Values:
    """Real inner product of each example, `[*b, 1, 1, 1]`, summed over the leaves `[*b, H, W, C]`."""
    products = jax.tree.map(lambda p, q: jnp.sum((p.conj() * q).real, (-3, -2, -1), keepdims=True), a, b)
    return total(jax.tree.leaves(products))


def distance(a: Any, b: Any) -> Values:
    """`‖a − b‖ / ‖a‖` of each example, `[*b]`; below rounding error the denominator stays at that level."""
    change = jax.tree.map(jnp.subtract, a, b)
    leaves = jax.tree.leaves(a)
    floor = (10 * jnp.finfo(leaves[0].dtype).eps) ** 2 * sum(leaf[..., :, :, :].size for leaf in leaves)
    ratio = dot(change, change) / jnp.maximum(dot(a, a), floor)
    return jnp.sqrt(ratio)[..., 0, 0, 0]

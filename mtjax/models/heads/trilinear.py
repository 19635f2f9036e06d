"""Reading between the points of a grid of three axes: color tables and bilateral grids."""

import itertools

import jax.numpy as jnp

from mtjax.typing import Array, Float


def trilinear(grid: Float[Array, "B X Y Z c"], at: Float[Array, "B *p 3"]) -> Float[Array, "B *p c"]:
    """Values of a grid per example, at positions counted in its points; beyond the border, those of the border."""
    batch, *sizes, channels = grid.shape
    last = jnp.asarray(sizes) - 1
    at = jnp.clip(at, 0, last)
    low = jnp.floor(at).astype(jnp.int32)
    share = at - low
    flat, total = grid.reshape(batch, -1, channels), jnp.zeros((*at.shape[:-1], channels), grid.dtype)
    for corner in itertools.product((0, 1), repeat=3):
        x, y, z = jnp.moveaxis(jnp.minimum(low + jnp.asarray(corner), last), -1, 0)
        weight = jnp.where(jnp.asarray(corner, bool), share, 1 - share).prod(-1, keepdims=True)
        index = ((x * sizes[1] + y) * sizes[2] + z).reshape(batch, -1, 1)
        values = jnp.take_along_axis(flat, index, 1).reshape(total.shape)
        total = total + weight * values
    return total

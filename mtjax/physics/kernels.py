"""Blur kernels `[kh, kw]` that sum to 1, centerd at floor(n/2)."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from mtjax.typing import Array, Float, ScalarLike

Kernel = Float[Array, "kh kw"]


def _offsets(size: int, dtype: Any = None) -> Float[Array, "n"]:
    return jnp.arange(size, dtype=dtype or jnp.result_type(float)) - size // 2


def _check_size(size: int, name: str = "size") -> int:
    if size < 1 or size != int(size):
        raise ValueError(f"{name}={size} is not a kernel size; expected an integer of at least 1")
    return int(size)


def gaussian(std: ScalarLike, size: int | None = None) -> Kernel:
    """Isotropic Gaussian sampled at pixel centers; `std` in pixels.

    `size` defaults to the odd number that reaches 4 `std` to each side; it must be given where `std` is traced.
    """
    if size is None:
        if isinstance(std, Tracer):
            raise ValueError(f"size=None with a traced std={std}; expected the kernel's size in pixels")
        size = 2 * max(math.ceil(4 * float(np.asarray(std))), 1) + 1
    if isinstance(std, float | int) and std <= 0:
        raise ValueError(f"std={std} is not a blur; expected a positive number of pixels")
    profile = jnp.exp(-0.5 * (_offsets(_check_size(size)) / std) ** 2)
    kernel = profile[:, None] * profile[None, :]
    return kernel / kernel.sum()


def box(size: int) -> Kernel:
    """`size` × `size` pixels of equal weight."""
    size = _check_size(size)
    return jnp.full((size, size), 1.0 / size**2)


def disk(radius: float | int) -> Kernel:
    """Out-of-focus blur: a disk of this radius in pixels, its rim anti-aliased by 8 × 8 samples per pixel."""
    if radius < 0:
        raise ValueError(f"radius={radius} is negative; expected a number of pixels")
    half, samples = math.ceil(radius), 8
    fine = (np.arange((2 * half + 1) * samples) + 0.5) / samples - half - 0.5
    inside = (fine[:, None] ** 2 + fine[None, :] ** 2 <= max(radius, 0.5) ** 2).astype(float)
    kernel = inside.reshape(2 * half + 1, samples, 2 * half + 1, samples).mean((1, 3))
    return jnp.asarray(kernel / kernel.sum())


def motion(length: float | int, angle: float | int = 0.0) -> Kernel:
    """Straight motion over `length` pixels; `angle` in degrees, counter-clockwise from the horizontal.

    The path is sampled densely and each sample is shared bilinearly among its four nearest pixels.
    """
    if length < 0:
        raise ValueError(f"length={length} is negative; expected a number of pixels")
    half = math.ceil(length / 2) + 1
    path = np.linspace(-length / 2, length / 2, max(2, 16 * math.ceil(length) + 1))
    rows = -path * math.sin(math.radians(angle)) + half
    columns = path * math.cos(math.radians(angle)) + half
    kernel = np.zeros((2 * half + 1, 2 * half + 1))
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    for down in (0, 1):
        for right in (0, 1):
            share = (1 - abs(rows - top - down)) * (1 - abs(columns - left - right))
            inside = (top + down < kernel.shape[0]) & (left + right < kernel.shape[1])
            np.add.at(kernel, ((top + down)[inside], (left + right)[inside]), share[inside])
    return jnp.asarray(kernel / kernel.sum())

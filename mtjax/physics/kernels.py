"""Blur kernels `[kh, kw]` that sum to 1, centerd at floor(n/2)."""

import math
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer

from mtjax.physics.files import load_array
from mtjax.typing import Array, Float, PRNGKeyArray, ScalarLike, Shaped

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


def anisotropic(std: tuple[ScalarLike, ScalarLike], angle: ScalarLike = 0.0, size: int | None = None) -> Kernel:
    """Gaussian of two widths in pixels: `std[0]` along `angle`, in degrees counter-clockwise from the horizontal.

    `std[1]` is the width across. `size` as in `gaussian`, for the larger width.
    """
    for width in std:
        if isinstance(width, float | int) and width <= 0:
            raise ValueError(f"std={tuple(std)} is not a blur; expected two positive numbers of pixels")
    if size is None:
        if any(isinstance(width, Tracer) for width in std):
            raise ValueError(f"size=None with a traced std={std}; expected the kernel's size in pixels")
        size = 2 * max(math.ceil(4 * max(float(np.asarray(width)) for width in std)), 1) + 1
    offset, angle = _offsets(_check_size(size)), jnp.deg2rad(angle)
    up, right = -offset[:, None], offset[None, :]
    along = jnp.cos(angle) * right + jnp.sin(angle) * up
    across = jnp.cos(angle) * up - jnp.sin(angle) * right
    kernel = jnp.exp(-0.5 * ((along / std[0]) ** 2 + (across / std[1]) ** 2))
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


def random_motion(key: Shaped[PRNGKeyArray, ""], size: int, persistence: ScalarLike = 0.98) -> Kernel:
    """Camera shake: the path of a point whose velocity wanders randomly, as large as fits in `size` × `size` pixels.

    The velocity is a first-order autoregressive process over 200 time steps with correlation `persistence` in [0, 1)
    between one and the next: near 1 the path is an arc, at 0 a Brownian motion. Its mean is the kernel's center; each
    point is shared bilinearly among its four nearest pixels. After the random trajectories of Boracchi and Foi (2012).
    """
    if isinstance(persistence, float | int) and not 0 <= persistence < 1:
        raise ValueError(f"persistence={persistence} is not a correlation; expected a number in [0, 1)")
    size, steps = _check_size(size), 200
    dtype = jnp.result_type(float)

    def step(velocity: Any, push: Any) -> tuple[Any, Any]:
        velocity = persistence * velocity + push
        return velocity, velocity

    pushes = jax.random.normal(key, (steps, 2), dtype)
    path = jnp.cumsum(lax.scan(step, jnp.zeros(2, dtype), pushes)[1], 0)
    path = path - path.mean(0)
    path = path * ((size - 1) // 2 / jnp.abs(path).max())
    share = jnp.maximum(1 - jnp.abs(path[:, :, None] - _offsets(size, dtype)), 0)  # [steps, 2, size]
    kernel = jnp.einsum("ti,tj->ij", share[:, 0], share[:, 1], precision=lax.Precision.HIGHEST)
    return kernel / kernel.sum()


def load(path: str | pathlib.Path, name: str | None = None) -> Kernel:
    """A kernel from a file, divided by its sum: a `.npy` array, array `name` of a `.npz`, or a picture (as gray).

    The array must be `[kh, kw]`, or a stack `[n, kh, kw]` of which `name` is the number, counted from 0. `name` may be
    left out where there is one array. Raises ValueError or an OSError, in one line, for what is no kernel.
    """
    kernel = load_array(path, name, "kernel")
    if kernel.ndim != 2 or kernel.dtype.kind not in "biuf" or not kernel.size:
        raise ValueError(
            f"kernel in {str(path)!r} has shape {kernel.shape} and dtype {kernel.dtype}; expected [kh, kw]"
        )
    kernel = kernel.astype(float)
    if not np.isfinite(kernel).all() or kernel.min() < 0 or kernel.sum() <= 0:
        raise ValueError(f"kernel in {str(path)!r} is not a blur; expected finite numbers of at least 0, not all 0")
    return jnp.asarray(kernel / kernel.sum())

"""Losses of images that look at more than pixels: edges, and frequencies."""

from functools import partial

import jax.numpy as jnp

from mtjax.physics.sharding import by_example
from mtjax.typing import Array, Float, PerExample

Images = Float[Array, "B H W C"]


def gradient(prediction: Images, target: Images, /) -> PerExample:
    """The mean absolute difference of finite differences, down plus right: edges must be as sharp."""
    difference = prediction - target
    total = jnp.zeros(len(difference), difference.dtype)
    for axis in (1, 2):
        steps = jnp.abs(jnp.diff(difference, axis=axis))
        total = total + steps.sum((1, 2, 3)) / max(steps[0].size, 1)
    return total


def frequency(prediction: Images, target: Images, /) -> PerExample:
    """The mean magnitude of the spectrum of the difference, over the orthonormal 2-D transform of each channel.

    Amplitude and phase count together, and the slope is 0 at a frequency that agrees. Source: Cho et al., "Rethinking
    coarse-to-fine approach in single image deblurring", ICCV 2021 (there on several scales).
    """
    spectrum = by_example(partial(jnp.fft.rfft2, axes=(1, 2), norm="ortho"), prediction - target)
    power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
    differs = power > jnp.finfo(power.dtype).tiny
    magnitude = jnp.where(differs, jnp.sqrt(jnp.where(differs, power, 1)), 0)
    # Of real images half the spectrum is computed; but for the first and an even width's last, a column counts twice.
    width = prediction.shape[2]
    column = jnp.arange(magnitude.shape[2])
    twice = (column > 0) & (2 * column < width)
    counted = magnitude.sum((1, 3)) * jnp.where(twice, 2, 1)
    return counted.sum(-1) / max(prediction[0].size, 1)

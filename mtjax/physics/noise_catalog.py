"""The noises that a config may name, each built from a few numbers.

An entry of `NOISES` is called as `builder(keys, **params) -> Noise`; `keys` `[B]` holds one key per example, and every
leaf of a noise has a leading axis of that length.
"""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

from mtjax.physics.noise import (
    FlowNoise,
    GaussianNoise,
    Noise,
    NoNoise,
    PoissonGaussianNoise,
    PoissonNoise,
    QuantizationNoise,
    SaltPepperNoise,
    SpeckleNoise,
)
from mtjax.typing import Array, Float, Keys


def _no_noise(keys: Keys, /) -> Noise:
    """None."""
    return NoNoise()


def _gaussian(keys: Keys, /, *, sigma: float | int | tuple[float, float] = 0.02) -> Noise:
    """`sigma` is a number, or a pair (low, high) between which each example's is drawn uniformly."""
    return GaussianNoise(drawn(keys, "sigma", sigma))


def _poisson(keys: Keys, /, *, peak: float | int | tuple[float, float] = 100.0) -> Noise:
    """`peak` photons in a white pixel: a number, or a pair (low, high) as for Gaussian noise."""
    return PoissonNoise(drawn(keys, "peak", peak, least=1e-3))


def _poisson_gaussian(
    keys: Keys, /, *, peak: float | int | tuple[float, float] = 100.0, sigma: float | int | tuple[float, float] = 0.02
) -> Noise:
    """Photon noise, then reading noise of `sigma`; each a number, or a pair (low, high)."""
    other = jax.vmap(lambda key: jax.random.fold_in(key, 1))(keys)
    return PoissonGaussianNoise(drawn(keys, "peak", peak, least=1e-3), drawn(other, "sigma", sigma))


def _salt_pepper(keys: Keys, /, *, amount: float | int | tuple[float, float] = 0.1) -> Noise:
    """A share `amount` of values is replaced: a number, or a pair (low, high)."""
    return SaltPepperNoise(drawn(keys, "amount", amount, most=1.0))


def _speckle(keys: Keys, /, *, sigma: float | int | tuple[float, float] = 0.1) -> Noise:
    """Relative strength `sigma`: a number, or a pair (low, high)."""
    return SpeckleNoise(drawn(keys, "sigma", sigma))


def _quantization(keys: Keys, /, *, levels: int = 16) -> Noise:
    """Rounding to one of so many values from 0 to 1."""
    return QuantizationNoise(drawn(keys, "levels", levels, least=2.0))


def _flow(keys: Keys, /, *, time: Literal["uniform", "logit_normal"] = "uniform") -> Noise:
    """A time of its own for each example, from 0 (the image) to 1 (noise): what a head `velocity` learns from.

    Drawn uniformly, or as `1 / (1 + exp(-n))` of a standard normal n, which favors the middle, where learning is
    hardest (Esser et al., "Scaling rectified flow transformers", ICML 2024).
    """
    if time == "uniform":
        return FlowNoise(drawn(keys, "time", (0.0, 1.0)))
    return FlowNoise(jax.nn.sigmoid(jax.vmap(lambda key: jax.random.normal(key, (1, 1, 1)))(keys)))


def drawn(
    keys: Keys,
    name: str,
    value: float | int | tuple[float, float],
    *,
    least: float = 0.0,
    most: float = float("inf"),
) -> Float[Array, "B 1 1 1"]:
    """`value` for each example, or where it is a pair (low, high), a number drawn between the two by its key."""
    low, high = (value, value) if isinstance(value, int | float) else value
    if not least <= low <= high <= most:
        kind, inside = ("a strength", name) if isinstance(value, int | float) else ("a range", "low <= high")
        expected = f"{least:g} <= {inside}" + (f" <= {most:g}" if most < float("inf") else "")
        raise ValueError(f"{name}={value} is not {kind}; expected {expected}")
    if low == high:
        return jnp.full((len(keys), 1, 1, 1), float(low))
    return jax.vmap(lambda key: jax.random.uniform(key, (1, 1, 1), minval=low, maxval=high))(keys)


NOISES: dict[str, Callable[..., Any]] = {
    "none": _no_noise,
    "gaussian": _gaussian,
    "poisson": _poisson,
    "poisson_gaussian": _poisson_gaussian,
    "salt_pepper": _salt_pepper,
    "speckle": _speckle,
    "quantization": _quantization,
    "flow": _flow,
}

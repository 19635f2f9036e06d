"""The random part of an observation."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from mtjax.pytree import pytree
from mtjax.typing import Array, Float, Inexact, PRNGKeyArray, Shaped


class Noise:
    """A random corruption, called as `noise(key, clean) -> noisy`; subclasses are pytree dataclasses.

    A subclass gives `__call__` and `variance`.
    """

    def __call__(self, key: PRNGKeyArray, clean: Any, /) -> Any:
        """One draw."""
        raise NotImplementedError

    def variance(self, clean: Any, /) -> Array:
        """Variance of each pixel's noise, broadcastable to `clean`."""
        raise NotImplementedError

    def level(self, clean: Any, /) -> Array:
        """Standard deviation of the noise, broadcastable to `clean`.

        Where it depends on the pixel: its root mean square over the image, `[..., 1, 1, 1]`. A picture of it would
        show the clean image to whoever is told how noisy an observation is.
        """
        variance = jnp.broadcast_to(self.variance(clean), clean.shape)
        return jnp.sqrt(variance.mean((-3, -2, -1), keepdims=True))


@pytree
class NoNoise(Noise):
    """`y = A x` exactly."""

    def __call__(self, key: Shaped[PRNGKeyArray, ""], clean: Inexact[Array, "..."], /) -> Inexact[Array, "..."]:
        """`clean` itself."""
        return clean

    def variance(self, clean: Inexact[Array, "..."], /) -> Array:
        """0."""
        return jnp.zeros((), clean.real.dtype)

    def level(self, clean: Inexact[Array, "..."], /) -> Array:
        """0."""
        return jnp.zeros((), clean.real.dtype)


@pytree
class GaussianNoise(Noise):
    """White Gaussian noise of standard deviation `sigma` (on the image's scale of [0, 1]), not clipped.

    `sigma` is a number, or an array that broadcasts with the image, such as `[B, 1, 1, 1]`.
    """

    sigma: Any

    def __post_init__(self):
        object.__setattr__(self, "sigma", 1.0 * jnp.asarray(self.sigma))

    def __call__(self, key: Shaped[PRNGKeyArray, ""], clean: Inexact[Array, "..."], /) -> Inexact[Array, "..."]:
        """`clean` plus noise of its shape and dtype."""
        return clean + self.level(clean) * jax.random.normal(key, clean.shape, clean.dtype)

    def variance(self, clean: Inexact[Array, "..."], /) -> Array:
        """`sigma²`."""
        return self.level(clean) ** 2

    def level(self, clean: Inexact[Array, "..."], /) -> Array:
        """`sigma`."""
        return self.sigma.astype(clean.real.dtype)


Clean = Float[Array, "... H W C"]
OneKey = Shaped[PRNGKeyArray, ""]
FLOW_MEAN, FLOW_DEVIATION = 0.5, 0.5  # of the noise at which a flow ends


@pytree
class PoissonNoise(Noise):
    """Photon counting: independent Poisson counts of mean `peak · clean`, divided by `peak`; not clipped.

    `peak` is the mean count of a white pixel: a number, or an array that broadcasts with the image. Negative pixels
    count as black. The mean is `clean`, and so is what is differentiated.
    """

    peak: Any

    def __post_init__(self):
        object.__setattr__(self, "peak", _strength("peak", self.peak, self.peak > 0, "a positive number of photons"))

    def __call__(self, key: OneKey, clean: Clean, /) -> Clean:
        """Counts over `peak`, of the shape and dtype of `clean`."""
        peak = self.peak.astype(clean.dtype)
        mean = jnp.maximum(clean, 0)
        counts = jax.random.poisson(key, lax.stop_gradient(peak * mean)).astype(clean.dtype)
        return mean + lax.stop_gradient(counts / peak - mean)

    def variance(self, clean: Clean, /) -> Clean:
        """`clean / peak`."""
        return jnp.maximum(clean, 0) / self.peak.astype(clean.dtype)


@pytree
class PoissonGaussianNoise(Noise):
    """A camera sensor: Poisson noise of `peak` counts at white, then Gaussian noise of `sigma` (on [0, 1])."""

    peak: Any
    sigma: Any

    def __post_init__(self):
        object.__setattr__(self, "peak", PoissonNoise(self.peak).peak)
        object.__setattr__(self, "sigma", GaussianNoise(self.sigma).sigma)

    def __call__(self, key: OneKey, clean: Clean, /) -> Clean:
        """Both, independent of one another."""
        counting, reading = jax.random.split(key)
        return GaussianNoise(self.sigma)(reading, PoissonNoise(self.peak)(counting, clean))

    def variance(self, clean: Clean, /) -> Clean:
        """`clean / peak + sigma²`."""
        return PoissonNoise(self.peak).variance(clean) + self.sigma.astype(clean.dtype) ** 2


@pytree
class SaltPepperNoise(Noise):
    """Each value becomes 0 with probability `amount / 2`, 1 with the same, and stays as it is otherwise."""

    amount: Any

    def __post_init__(self):
        amount = self.amount
        right = (amount >= 0) & (amount <= 1)
        object.__setattr__(self, "amount", _strength("amount", amount, right, "a share in [0, 1]"))

    def __call__(self, key: OneKey, clean: Clean, /) -> Clean:
        """`clean` with some values replaced; channels by themselves."""
        half = self.amount.astype(clean.dtype) / 2
        drawn = jax.random.uniform(key, clean.shape, clean.dtype)
        return jnp.where(drawn < half, 0, jnp.where(drawn >= 1 - half, 1, clean))

    def variance(self, clean: Clean, /) -> Clean:
        """About the mean `(1 - amount) clean + amount / 2`."""
        amount = self.amount.astype(clean.dtype)
        mean = (1 - amount) * clean + amount / 2
        return (1 - amount) * clean**2 + amount / 2 - mean**2


@pytree
class SpeckleNoise(Noise):
    """Multiplicative noise, `clean · (1 + sigma n)` with normal `n`; not clipped."""

    sigma: Any

    def __post_init__(self):
        object.__setattr__(self, "sigma", GaussianNoise(self.sigma).sigma)

    def __call__(self, key: OneKey, clean: Clean, /) -> Clean:
        """`clean`, each value times a number around 1."""
        return clean * (1 + self.sigma.astype(clean.dtype) * jax.random.normal(key, clean.shape, clean.dtype))

    def variance(self, clean: Clean, /) -> Clean:
        """`(sigma · clean)²`."""
        return (self.sigma.astype(clean.dtype) * clean) ** 2


@pytree
class QuantizationNoise(Noise):
    """Rounding to the nearest of `levels` equally spaced values, of which 0 is the first and 1 the last; not clipped.

    256 levels are 8 bits. Nothing is random in it. Differentiated as if it were not there.
    """

    levels: Any

    def __post_init__(self):
        right = self.levels >= 2
        object.__setattr__(self, "levels", _strength("levels", self.levels, right, "at least 2 values"))

    def __call__(self, key: OneKey, clean: Clean, /) -> Clean:
        """`clean`, rounded."""
        steps = self.levels.astype(clean.dtype) - 1
        return clean + lax.stop_gradient(jnp.round(clean * steps) / steps - clean)

    def variance(self, clean: Clean, /) -> Array:
        """A twelfth of the square of the step: that of an error distributed uniformly."""
        return (self.levels.astype(clean.dtype) - 1) ** -2 / 12


@pytree
class FlowNoise(Noise):
    """`y = (1 - t) clean + t e`: a picture on the straight way to Gaussian noise `e` of mean 1/2, deviation 1/2.

    At `time` t = 0 it is the image, at t = 1 nothing of it is left. Noise of that mean and deviation makes an image in
    [0, 1] what one in [-1, 1] is to standard normal noise, as in the sources; all velocities are half of theirs.

    Source: Liu et al., "Flow straight and fast", ICLR 2023 (rectified flow); Lipman et al., "Flow matching for
    generative modeling", ICLR 2023. Their time runs from noise to image in places; here it grows with the noise.
    """

    time: Any

    def __post_init__(self):
        right = (self.time >= 0) & (self.time <= 1)
        object.__setattr__(self, "time", _strength("time", self.time, right, "a time in [0, 1]"))

    def __call__(self, key: OneKey, clean: Clean, /) -> Clean:
        """A share `time` of noise and the rest of `clean`."""
        time = self.time.astype(clean.dtype)
        noise = FLOW_MEAN + FLOW_DEVIATION * jax.random.normal(key, clean.shape, clean.dtype)
        return (1 - time) * clean + time * noise

    def variance(self, clean: Clean, /) -> Array:
        """`(t / 2)²`, about the mean `(1 - t) clean + t / 2`."""
        return (FLOW_DEVIATION * self.time.astype(clean.dtype)) ** 2

    def level(self, clean: Clean, /) -> Array:
        """`time` itself, twice the standard deviation: networks of flows are told the time."""
        return self.time.astype(clean.dtype)


def _strength(name: str, value: Any, right: Any, expected: str) -> Array:
    """A noise's parameter as a floating-point array; ValueError if it is a plain number and not `right`."""
    if isinstance(value, int | float) and not right:
        raise ValueError(f"{name}={value} is not a strength of noise; expected {expected}")
    return 1.0 * jnp.asarray(value)

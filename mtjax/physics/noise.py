"""The random part of an observation."""

from typing import Any

import jax
import jax.numpy as jnp

from mtjax.pytree import pytree
from mtjax.typing import Array, Inexact, PRNGKeyArray, Shaped


class Noise:
    """A random corruption, called as `noise(key, clean) -> noisy`; subclasses are pytree dataclasses."""

    def __call__(self, key: PRNGKeyArray, clean: Any, /) -> Any:
        """One draw."""
        raise NotImplementedError

    def level(self, clean: Any, /) -> Array:
        """Standard deviation of the noise, broadcastable to `clean`."""
        raise NotImplementedError


@pytree
class NoNoise(Noise):
    """`y = A x` exactly."""

    def __call__(self, key: Shaped[PRNGKeyArray, ""], clean: Inexact[Array, "..."], /) -> Inexact[Array, "..."]:
        """`clean` itself."""
        return clean

    def level(self, clean: Inexact[Array, "..."], /) -> Array:
        """0."""
        return jnp.zeros((), clean.dtype)


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

    def level(self, clean: Inexact[Array, "..."], /) -> Array:
        """`sigma`."""
        return self.sigma.astype(clean.real.dtype)

"""The head of a flow: which way a picture moves between image and noise, from a noised one."""

import math
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from mtjax.models.inputs import encoder_input
from mtjax.models.layers import conv, float32, group_norm
from mtjax.models.pyramid import Pyramid, pad_to_multiple, resize, shuffle, unshuffle
from mtjax.physics import Observed
from mtjax.pytree import pytree
from mtjax.typing import Array, Float

WAVES = 16  # sines and cosines of the time


@pytree
class Flow:
    """What is said of noised pictures `y = (1 - t) x + t e`, see `mtjax.physics.FlowNoise`.

    velocity: of `e - x`, the mean of all that it may be; image: of `x`, which is `y - t velocity`; time: t.
    """

    velocity: Float[Array, "B H W C"]
    image: Float[Array, "B H W C"]
    time: Float[Array, "B 1 1 1"]


class ModulatedBlock(nn.Module):
    """A residual block whose second normalization is scaled and shifted by what the head is told.

    Starts as the identity. Source: Dhariwal and Nichol, "Diffusion models beat GANs on image synthesis", NeurIPS 2021
    (adaptive group normalization).
    """

    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "B h w c"], told: Float[Array, "B d"]) -> Float[Array, "B h w c"]:
        """Maps features to features of the same shape."""
        channels = x.shape[-1]
        modulation = nn.Dense(2 * channels, dtype=self.dtype, name="modulation")(told)[:, None, None]
        scale, shift = jnp.split(modulation, 2, axis=-1)
        y = conv(channels, dtype=self.dtype)(nn.gelu(group_norm(channels, self.dtype)(x)))
        y = group_norm(channels, self.dtype)(y) * (1 + scale) + shift
        return x + conv(channels, dtype=self.dtype, zero=True)(nn.gelu(y))


class Told(nn.Module):
    """One vector for the time and for the classes that the observation gives.

    A class that is not there adds nothing, so a head that learned with some of them withheld may be asked with and
    without, for guidance (Ho and Salimans, "Classifier-free diffusion guidance", 2022).
    """

    classes: int
    width: int
    dtype: Any = None

    @nn.compact
    def __call__(self, observed: Observed, time: Float[Array, "B"]) -> Float[Array, "B d"]:
        """Embeds time in [0, 1] and each field of `observed.given`.

        Raises:
            ValueError: a given field is no class.
        """
        x = nn.gelu(nn.Dense(self.width, dtype=self.dtype, name="time")(waves(time)))
        for field, (values, present) in observed.given.items():
            if values.ndim != 1 or not jnp.issubdtype(values.dtype, jnp.integer) or not self.classes:
                shape = f"{values.dtype}{list(values.shape[1:])}"
                raise ValueError(f"given={field!r}: a head velocity is told classes, but the field holds {shape}")
            known = present & (values >= 0) & (values < self.classes)
            embedding = nn.Embed(self.classes, self.width, dtype=self.dtype, name=f"class_{field}")
            x = x + jnp.where(known[:, None], embedding(jnp.where(known, values, 0)), 0)
        return nn.gelu(nn.Dense(self.width, dtype=self.dtype, name="mixed")(x))


class Velocity(nn.Module):
    """Modulated blocks from the coarsest level of the pyramid to the finest, where the noised picture joins them.

    What the last convolution gives, F, is made the velocity by `preconditioned`; it starts at 0.
    """

    classes: int
    width: int = 32
    depth: int = 1
    dtype: Any = None

    @nn.compact
    def __call__(self, pyramid: Pyramid, observed: Observed) -> Flow:
        """Returns velocity and image of the observation's shape; the time is read from the noise level."""
        y, stride = observed.y, pyramid.strides[0]
        time = jnp.broadcast_to(observed.noise_level, (len(y), 1, 1, 1)).astype(y.dtype)
        told = Told(self.classes, 4 * self.width, self.dtype, name="told")(observed, time[:, 0, 0, 0])
        pixels = unshuffle(pad_to_multiple(encoder_input(observed), pyramid.strides[-1]), stride)
        finest = jnp.concatenate([pixels.astype(pyramid.finest.dtype), pyramid.finest], -1)
        x = None
        for level in (*reversed(pyramid.levels[1:]), finest):
            lateral = conv(self.width, kernel=1, dtype=self.dtype)(level)
            x = lateral if x is None else lateral + resize(x, (level.shape[1], level.shape[2]))
            for _ in range(self.depth):
                x = ModulatedBlock(self.dtype)(x, told)
        x = nn.gelu(group_norm(self.width, self.dtype, name="out_norm")(x))
        x = conv(y.shape[-1] * stride**2, dtype=self.dtype, zero=True, name="out")(x)
        velocity = preconditioned(float32(pyramid.image(shuffle(x, stride))), y, time)
        return Flow(velocity, y - time * velocity, time)


def waves(time: Float[Array, "B"]) -> Float[Array, "B d"]:
    """Sines and cosines of a time in [0, 1], of 1/4 to 16 periods (as of positions in Vaswani et al., NeurIPS 2017)."""
    frequencies = 2 * math.pi * jnp.geomspace(0.25, 16, WAVES, dtype=time.dtype)
    angles = time[:, None] * frequencies
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], -1)


def preconditioned(
    out: Float[Array, "B H W C"], y: Float[Array, "B H W C"], time: Float[Array, "B 1 1 1"]
) -> Float[Array, "B H W C"]:
    """The velocity for what a network gives: that of the best linear estimate, plus `out` to the scale of its error.

    Were pixels independent, of mean and deviation 1/2, the linear estimate of the image would be
    `1/2 + (1 - t) / D (y - 1/2)` with `D = (1 - t)² + t²`, and its error of deviation `t / (2 √D)`. With `x̂` that
    estimate minus an error of `out` times this, `v = (y - x̂) / t` is

        v = (2t - 1) / D (y - 1/2) + out / (2 √D),

    which is finite at t = 0, where the way from noise to image ends. The network's own part is thus asked for values of
    deviation 1 at all times.

    Source: Karras et al., "Elucidating the design space of diffusion-based generative models", NeurIPS 2022, Table 1
    (preconditioning), for the noise of a flow.
    """
    spread = (1 - time) ** 2 + time**2
    return (2 * time - 1) / spread * (y - 0.5) + 0.5 * out / jnp.sqrt(spread)


def velocity(dtype: Any, outputs: int, /, *, width: int = 32, depth: int = 1) -> Velocity:
    """The head of tasks `generation`; `depth` modulated blocks of `width` channels per level, `outputs` classes."""
    return Velocity(outputs, width, depth, dtype)

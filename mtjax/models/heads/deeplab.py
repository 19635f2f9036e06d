"""The head of pixels that looks around at several distances before it goes back to details."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from mtjax.models.heads.fcn import enlarged
from mtjax.models.layers import ConvNormAct, conv, float32, group_norm
from mtjax.models.pyramid import Pyramid, resize
from mtjax.physics import Observed
from mtjax.registry import ConfigError
from mtjax.typing import Array, Float


class DeepLab(nn.Module):
    """Atrous spatial pyramid pooling on the coarsest level, then a decoder that reads the finest one beside it.

    Source: Chen et al., "Encoder-decoder with atrous separable convolution for semantic image segmentation", ECCV 2018
    (DeepLabv3+), with plain convolutions.
    """

    outputs: int
    width: int = 32
    rates: tuple[int, ...] = (2, 4, 8)
    dtype: Any = None

    @nn.compact
    def __call__(self, pyramid: Pyramid, observed: Observed) -> Float[Array, "B H W K"]:
        """Returns a map of `outputs` values at the observation's resolution; 0 everywhere at first."""
        del observed
        x, finest = pyramid.levels[-1], pyramid.finest
        around = [self.seen(x, "near")]
        around += [self.seen(x, f"rate{rate}", rate) for rate in self.rates]
        mean = x.mean((1, 2), keepdims=True)  # not normalized: a group of a single place may be a single number
        everywhere = nn.gelu(conv(self.width, kernel=1, dtype=self.dtype, name="everywhere")(mean))
        around.append(jnp.broadcast_to(everywhere, around[0].shape))
        x = self.seen(jnp.concatenate(around, -1), "joined")
        details = self.seen(finest, "details")
        x = jnp.concatenate([resize(x, (finest.shape[1], finest.shape[2])), details], -1)
        for _ in range(2):
            x = ConvNormAct(self.width, dtype=self.dtype)(x)
        x = conv(self.outputs, kernel=1, dtype=self.dtype, zero=True, name="out")(x)
        return enlarged(float32(x), pyramid)

    def seen(self, x: Float[Array, "B h w c"], name: str, rate: int = 0) -> Float[Array, "B h w d"]:
        """A 3×3 convolution whose taps are `rate` apart, or 1×1 for rate 0; then normalization and GELU."""
        kernel = (3, 3) if rate else (1, 1)
        init = nn.initializers.he_normal()
        x = nn.Conv(self.width, kernel, kernel_dilation=max(rate, 1), kernel_init=init, dtype=self.dtype, name=name)(x)
        return nn.gelu(group_norm(self.width, self.dtype, name=f"{name}_norm")(x))


def deeplab(dtype: Any, outputs: int, /, *, width: int = 32, rates: tuple[int, ...] = (2, 4, 8)) -> DeepLab:
    """Context at several distances, `rates` in features of the coarsest stride, and a decoder (DeepLabv3+)."""
    if not rates or min(rates) < 1:
        raise ConfigError(f"rates of a deeplab head must be one or more distances of at least 1, got {tuple(rates)}")
    return DeepLab(outputs, width, tuple(rates), dtype)

"""What PAD-Net and MTI-Net share: gated messages from the features of other tasks."""

from collections.abc import Mapping

import flax.linen as nn

from mtjax.models.layers import conv, float32
from mtjax.models.pyramid import resize
from mtjax.typing import Array, Float


class Receive(nn.Module):
    """`x + σ(g(x)) ⊙ Σ_j f_j(x_j)` over the other tasks j: the receiver's own features open the gate.

    The messages start at zero. Those from another resolution are resampled to the receiver's.
    """

    @nn.compact
    def __call__(
        self, x: Float[Array, "B h w c"], others: Mapping[str, Float[Array, "B _h _w c"]]
    ) -> Float[Array, "B h w c"]:
        """Returns the receiver's features with what it took from the others."""
        if not others:
            return x
        channels, dtype = x.shape[-1], x.dtype
        gate = nn.sigmoid(float32(conv(channels, dtype=dtype, name="gate")(x))).astype(dtype)
        messages = [
            resize(conv(channels, dtype=dtype, zero=True, name=f"from_{task}")(other), (x.shape[1], x.shape[2]))
            for task, other in others.items()
        ]
        return x + gate * sum(messages)


def without(features: Mapping[str, Float[Array, "B _h _w c"]], task: str) -> dict[str, Float[Array, "B _h _w c"]]:
    """The features of all other tasks."""
    return {name: x for name, x in features.items() if name != task}

"""A chain of convolutions at one resolution, made for taking noise away."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn

from mtjax.models.layers import check_sizes, conv
from mtjax.models.pyramid import unshuffle
from mtjax.typing import Array, Float


class DnCNN(nn.Module):
    """`depth` times a 3×3 convolution and ReLU, on blocks of `stem × stem` pixels moved into channels.

    With a stem of 1 it is DnCNN, with 2 FFDNet, which costs a quarter. Nothing is normalized: what a picture lacks of
    its noise depends on its contrast. A head such as `decoder` with depth 0 makes the correction of it.

    Source: Zhang et al., "Beyond a Gaussian denoiser", TIP 2017; Zhang et al., "FFDNet", TIP 2018.
    """

    width: int = 64
    depth: int = 15
    stem: int = 2
    dtype: Any = None

    @property
    def strides(self) -> tuple[int, ...]:
        """Stride of the one level that is given."""
        return (self.stem,)

    @nn.compact
    def __call__(
        self, x: Float[Array, "B H W C"], between: Callable[[int, Array], Array] | None = None
    ) -> tuple[Float[Array, "B _h _w _c"], ...]:
        """Encodes images whose sides are multiples of the stem.

        between: `(stage, features) -> features` of the same shape, called after each convolution; what it returns takes
        the features' place.
        """
        x = unshuffle(x, self.stem)
        for layer in range(self.depth):
            x = nn.relu(conv(self.width, dtype=self.dtype, name=f"conv{layer}")(x))
            x = x if between is None else between(layer, x)
        return (x,)


def dncnn(dtype: Any, /, *, width: int = 64, depth: int = 15, stem: int = 2) -> DnCNN:
    """A chain of convolutions.

    Args:
        dtype: precision inside, None for that of its input.
        width: channels of each.
        depth: how many there are.
        stem: the stride of all features.

    Raises:
        ValueError: a size below 1.
    """
    check_sizes(width=width, depth=depth, stem=stem)
    return DnCNN(width, depth, stem, dtype)

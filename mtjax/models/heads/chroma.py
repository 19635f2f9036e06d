"""Colorization: the head that adds color to a gray picture and leaves its brightness as it was measured."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from mtjax.models.heads.refine import Refine
from mtjax.models.inputs import encoder_input
from mtjax.models.pyramid import Pyramid
from mtjax.physics import ColorMatrix, Observed
from mtjax.typing import Array, Float


class Chroma(nn.Module):
    """The gray picture, plus a change of color that the measurement cannot see: `A x = y` whatever is predicted.

    With `A x = w · x` in each pixel, gray is `y / Σw` in every channel, and of the predicted change only the part
    orthogonal to `w`, the chroma, is kept.

    Source: the split into range and null space, Schwab et al., "Deep null space learning for inverse problems", 2019.
    """

    width: int = 32
    depth: int = 3
    dtype: Any = None

    @nn.compact
    def __call__(self, pyramid: Pyramid, observed: Observed) -> Float[Array, "B H W C"]:
        """Returns an image in color, gray at first; ValueError unless the operator is one mean over channels."""
        y, operator = observed.y, observed.operator
        if not isinstance(operator, ColorMatrix) or len(operator.matrix) != 1:
            name = type(operator).__name__
            raise ValueError(f"head 'chroma' is for operator 'color_matrix' of one row, not {name}; try 'decoder'")
        weights = operator.matrix[0].astype(y.dtype)
        gray = jnp.broadcast_to(y / weights.sum(), (*y.shape[:-1], len(weights)))
        change = Refine(self.width, self.depth, self.dtype)(gray, pyramid, encoder_input(observed))
        seen = jnp.sum(change * weights, -1, keepdims=True) / jnp.sum(weights**2)
        return gray + change - seen * weights


def chroma(dtype: Any, outputs: int, /, *, width: int = 32, depth: int = 3) -> Chroma:
    """Color for a gray observation; `depth` residual blocks of `width` channels at the finest stride."""
    del outputs
    return Chroma(width, depth, dtype)

"""The plain reconstruction head: observation plus a correction decoded from the shared features."""

from typing import Any

import flax.linen as nn

from mtjax.models.heads.refine import Refine
from mtjax.models.inputs import encoder_input, start_image
from mtjax.models.pyramid import Pyramid
from mtjax.physics import Observed
from mtjax.typing import Array, Float


class Decoder(nn.Module):
    """`y + correction(y, features)`: it knows nothing of the operator but what the encoder is told.

    Where `y` has not the image's shape, it corrects the first estimate of `start_image`. It reads `y` again because the
    features are normalized: how bright a picture is cannot be told from them.
    """

    width: int = 32
    depth: int = 3
    dtype: Any = None

    @nn.compact
    def __call__(self, pyramid: Pyramid, observed: Observed) -> Float[Array, "B H W C"]:
        """Returns an image of the shape that the operator takes in."""
        start = start_image(observed)
        return start + Refine(self.width, self.depth, self.dtype)(start, pyramid, encoder_input(observed))


def decoder(dtype: Any, outputs: int, /, *, width: int = 32, depth: int = 3) -> Decoder:
    """A residual decoder; `depth` residual blocks of `width` channels at the finest stride."""
    del outputs  # the image that it corrects says how many channels there are
    return Decoder(width, depth, dtype)

"""The head that keeps what was lost apart from what was seen."""

from typing import Any

import flax.linen as nn

from mtjax.models.heads.refine import Refine
from mtjax.models.inputs import encoder_input, start_image
from mtjax.models.pyramid import Pyramid
from mtjax.physics import Observed
from mtjax.pytree import pytree
from mtjax.typing import Array, Float


@pytree
class Layers:
    """An image in two layers: `base` as observed, or first estimated, and the `detail` that it lacks."""

    base: Float[Array, "*b H W C"]
    detail: Float[Array, "*b H W C"]


class Detail(nn.Module):
    """The first estimate, and a residual decoder's correction, not yet added."""

    width: int = 32
    depth: int = 3
    dtype: Any = None

    @nn.compact
    def __call__(self, pyramid: Pyramid, observed: Observed) -> Layers:
        """Returns layers of the shape that the operator takes in; no detail at first."""
        base = start_image(observed)
        return Layers(base, Refine(self.width, self.depth, self.dtype)(base, pyramid, encoder_input(observed)))


def detail(dtype: Any, outputs: int, /, *, width: int = 32, depth: int = 3) -> Detail:
    """A detail layer; `depth` residual blocks of `width` channels at the finest stride."""
    del outputs
    return Detail(width, depth, dtype)

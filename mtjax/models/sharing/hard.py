"""Hard sharing: every task reads the same features, at most adapted by a few parameters of its own."""

from collections.abc import Mapping
from typing import Literal

import flax.linen as nn

from mtjax.models.layers import conv, group_norm
from mtjax.models.pyramid import Pyramid
from mtjax.models.sharing.base import Sharing
from mtjax.pytree import replace
from mtjax.typing import Array, Float


class Adapt(nn.Module):
    """One task's change of each level of a pyramid; all but `norm` begin by changing nothing."""

    kind: str

    @nn.compact
    def __call__(self, pyramid: Pyramid) -> Pyramid:
        """Maps a pyramid to one of the same shapes."""
        return replace(pyramid, levels=tuple(self.level(i, level) for i, level in enumerate(pyramid.levels)))

    def level(self, i: int, x: Float[Array, "B h w c"]) -> Float[Array, "B h w c"]:
        """The change of one level."""
        channels = x.shape[-1]
        if self.kind == "norm":
            return group_norm(channels, x.dtype, name=f"norm{i}")(x)
        if self.kind == "adapter":
            return x + conv(channels, kernel=1, dtype=x.dtype, zero=True, name=f"adapter{i}")(x)
        if self.kind == "film":
            x = x * self.param(f"scale{i}", nn.initializers.ones, (channels,)).astype(x.dtype)
        return x + self.param(f"bias{i}", nn.initializers.zeros, (channels,)).astype(x.dtype)


class Hard(Sharing):
    """Gives each task the encoder's features, adapted to it as `adapt` says."""

    adapt: str = "none"

    @nn.compact
    def __call__(
        self, features: dict[str, Pyramid], reads: Mapping[str, str], wanted: tuple[str, ...]
    ) -> dict[str, tuple[Pyramid, ...]]:
        """See `Sharing`."""
        if self.adapt == "none":
            return {task: (features[reads[task]],) for task in wanted}
        return {task: (Adapt(self.adapt, name=f"task_{task}")(features[reads[task]]),) for task in wanted}


def hard(tasks: tuple[str, ...], /, *, adapt: Literal["none", "bias", "norm", "film", "adapter"] = "none") -> Hard:
    """Hard sharing (Caruana, "Multitask learning", Machine Learning 28, 1997).

    Args:
        tasks: their names.
        adapt: what each task has of its own, at every level: nothing; an offset per channel; a normalization (Bilen and
            Vedaldi, "Universal representations", 2017); a scale and offset per channel (Perez et al., "FiLM", AAAI
            2018); a residual 1×1 convolution (Rebuffi et al., "Learning multiple visual domains with residual
            adapters", NIPS 2017).
    """
    return Hard(tasks, adapt)

"""NDDR-CNN: an encoder per task, each stage going on with a learned projection of all tasks' channels."""

import flax.linen as nn
import jax.numpy as jnp

from mtjax.models.layers import group_norm
from mtjax.models.sharing.base import Sharing
from mtjax.models.sharing.cross_stitch import mostly_own
from mtjax.typing import Array, Float


class Projection(nn.Module):
    """One task's 1×1 convolution over the concatenated channels of all, then norm and activation.

    place: of the task among all, whose channels it mostly takes at first.
    """

    place: int
    own: float

    @nn.compact
    def __call__(self, everyone: tuple[Float[Array, "B h w c"], ...]) -> Float[Array, "B h w c"]:
        """Reduces `T c` channels to `c`."""
        x, channels = jnp.concatenate(everyone, -1), everyone[0].shape[-1]
        start = jnp.kron(mostly_own(len(everyone), self.own)[self.place][:, None], jnp.eye(channels))
        mix = nn.Conv(
            channels, (1, 1), use_bias=False, kernel_init=lambda *_: start[None, None], dtype=x.dtype, name="mix"
        )
        return nn.gelu(group_norm(channels, x.dtype, name="norm")(mix(x)))


class Fusion(nn.Module):
    """A `Projection` for each task."""

    tasks: tuple[str, ...]
    own: float

    @nn.compact
    def __call__(self, everyone: tuple[Float[Array, "B h w c"], ...]) -> tuple[Float[Array, "B h w c"], ...]:
        """Fuses the features of all tasks after a stage."""
        return tuple(Projection(i, self.own, name=f"task_{task}")(everyone) for i, task in enumerate(self.tasks))


class NDDR(Sharing):
    """An encoder per task with a `Fusion` after each stage."""

    own: float = 0.9
    copies = True

    @nn.nowrap
    def unit(self) -> Fusion:
        """The fusion of one stage."""
        return Fusion(self.tasks, self.own)


def nddr(tasks: tuple[str, ...], /, *, own: float = 0.9) -> NDDR:
    """Neural discriminative dimensionality reduction (Gao et al., "NDDR-CNN", CVPR 2019).

    Args:
        tasks: their names.
        own: first weight of a task's own channels; the others share what is left to one.
    """
    return NDDR(tasks, own)

"""Cross-stitch networks: an encoder per task, each stage going on with a linear mixture of all tasks' features."""

import flax.linen as nn
import jax.numpy as jnp

from mtjax.models.sharing.base import Sharing
from mtjax.typing import Array, Float


def mostly_own(tasks: int, own: float) -> Float[Array, "T T"]:
    """Weights, in rows that sum to one: `own` for a task itself, the rest evenly for the others."""
    if tasks == 1:
        return jnp.ones((1, 1))
    return jnp.where(jnp.eye(tasks, dtype=bool), own, (1 - own) / (tasks - 1))


class Stitch(nn.Module):
    """`x_i = Σ_j A_ij x_j`, with a learned matrix for all channels or for each."""

    own: float
    per_channel: bool

    @nn.compact
    def __call__(self, everyone: tuple[Float[Array, "B h w c"], ...]) -> tuple[Float[Array, "B h w c"], ...]:
        """Mixes the features of all tasks after a stage."""
        x, tasks = jnp.stack(everyone), len(everyone)
        start = mostly_own(tasks, self.own)
        if not self.per_channel:
            matrix = self.param("matrix", lambda _: start)
            return tuple(jnp.einsum("ij,jbhwc->ibhwc", matrix.astype(x.dtype), x))
        start = jnp.broadcast_to(start[..., None], (tasks, tasks, x.shape[-1]))
        matrix = self.param("matrix", lambda _: start)
        return tuple(jnp.einsum("ijc,jbhwc->ibhwc", matrix.astype(x.dtype), x))


class CrossStitch(Sharing):
    """An encoder per task with a `Stitch` after each stage."""

    own: float = 0.9
    per_channel: bool = False
    copies = True

    @nn.nowrap
    def unit(self) -> Stitch:
        """The stitch of one stage."""
        return Stitch(self.own, self.per_channel)


def cross_stitch(tasks: tuple[str, ...], /, *, own: float = 0.9, per_channel: bool = False) -> CrossStitch:
    """Cross-stitch units (Misra et al., "Cross-stitch networks for multi-task learning", CVPR 2016).

    Args:
        tasks: their names.
        own: first weight of a task's own features; the others share what is left to one.
        per_channel: a matrix for each channel, not one for all.
    """
    return CrossStitch(tasks, own, per_channel)

"""MTI-Net: initial predictions of every task at every scale, and messages between tasks at each of them."""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp

from mtjax.models.layers import ConvNormAct, NormalizedBlock, conv, float32
from mtjax.models.pyramid import Pyramid, resize
from mtjax.models.sharing.base import Sharing
from mtjax.models.sharing.distillation import Receive, without
from mtjax.typing import Array, Float

Level = dict[str, Array]  # by task, features at one scale


class Harmonize(nn.Module):
    """Features of all tasks at one scale to one map: a mixture by attention over tasks, then a block."""

    @nn.compact
    def __call__(self, features: dict[str, Float[Array, "B h w c"]]) -> Float[Array, "B h w c"]:
        """Returns what the tasks have in common."""
        x = jnp.stack(list(features.values()))
        scores = [conv(x.shape[-1], dtype=x.dtype, name=f"score_{task}")(y) for task, y in features.items()]
        weights = nn.softmax(float32(jnp.stack(scores)), axis=0).astype(x.dtype)
        return NormalizedBlock(x.dtype, name="block")((weights * x).sum(0))


class Excite(nn.Module):
    """A gate per channel from the pooled features: squeeze and excitation (Hu et al., CVPR 2018)."""

    @nn.compact
    def __call__(self, x: Float[Array, "B h w c"]) -> Float[Array, "B h w c"]:
        """Returns the gated features."""
        channels = x.shape[-1]
        hidden = nn.gelu(nn.Dense(max(channels // 4, 1), name="squeeze")(float32(x).mean((1, 2))))
        gate = nn.sigmoid(nn.Dense(channels, name="excite")(hidden))
        return gate[:, None, None].astype(x.dtype) * x


class Scale(nn.Module):
    """What happens at one scale: initial features of each task, then what each hands on to the next finer scale.

    last: this is the finest scale, and nothing is handed on.
    """

    tasks: tuple[str, ...]
    last: bool

    @nn.compact
    def __call__(self, level: Level, coarser: Level) -> tuple[Level, Level]:
        """From the encoder's features and what the coarser scale handed on, if any: initial features, handed on."""
        initial = {}
        for task in self.tasks:
            x = level[task]
            if coarser:
                x = jnp.concatenate([x, resize(coarser[task], (x.shape[1], x.shape[2]))], -1)
            x = ConvNormAct(level[task].shape[-1], dtype=x.dtype, name=f"join_{task}")(x)
            initial[task] = NormalizedBlock(x.dtype, name=f"initial_{task}")(x)
        if self.last:
            return initial, {}
        harmonize, common, handed = Harmonize(name="harmonize"), {}, {}
        for task, x in initial.items():
            shape = (x.shape[1], x.shape[2])
            if shape not in common:  # once for each resolution at which tasks read the picture
                common[shape] = harmonize({name: resize(y, shape) for name, y in initial.items()})
            handed[task] = x + Excite(name=f"refine_{task}")(common[shape])
        return initial, handed


class MTINet(Sharing):
    """`Scale`s from coarse to fine, an initial head at each, messages at each, and their sum at the finest."""

    mixes = True

    @nn.compact
    def __call__(
        self, features: dict[str, Pyramid], reads: Mapping[str, str], wanted: tuple[str, ...]
    ) -> dict[str, tuple[Pyramid, ...]]:
        """See `Sharing`; as many initial heads per task as levels, finest first."""
        depth = len(next(iter(features.values())).levels)
        scales: list[Level] = []  # finest first
        handed: Level = {}
        for i in reversed(range(depth)):
            level = {task: features[reads[task]].levels[i] for task in self.tasks}
            initial, handed = Scale(self.tasks, i == 0, name=f"scale{i}")(level, handed)
            scales.insert(0, initial)
        shared = {}
        for task in wanted:
            pyramid = features[reads[task]]
            levels = [Receive(name=f"receive{i}_{task}")(x[task], without(x, task)) for i, x in enumerate(scales)]
            finest = levels[0]
            for i, x in enumerate(levels[1:], 1):
                up = conv(finest.shape[-1], kernel=1, dtype=x.dtype, name=f"up{i}_{task}")(x)
                finest = finest + resize(up, (finest.shape[1], finest.shape[2]))
            # An initial head at a coarse scale reads a pyramid that begins there.
            first = [x[task] for x in scales]
            initial_ones = [Pyramid(tuple(first[i:]), pyramid.strides[i:], pyramid.size) for i in range(depth)]
            shared[task] = (Pyramid((finest, *levels[1:]), pyramid.strides, pyramid.size), *initial_ones)
        return shared


def mti_net(tasks: tuple[str, ...], /) -> MTINet:
    """Distillation at every scale (Vandenhende et al., "MTI-Net", ECCV 2020).

    Its feature propagation module mixes tasks by a weighted sum where the paper concatenates them.
    """
    return MTINet(tasks)

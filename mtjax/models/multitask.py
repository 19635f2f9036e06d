"""One encoder, what is shared of it, and a head per task, as pure functions over one parameter tree."""

import dataclasses
import zlib
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtjax.models.inputs import encoder_input
from mtjax.models.pyramid import Pyramid, pad_to_multiple
from mtjax.physics import Observed
from mtjax.typing import Params, PRNGKeyArray


@dataclasses.dataclass(frozen=True)
class MultiTask:
    """A shared encoder with many heads.

    encoder: image `[B, H, W, C + 2]` to feature maps, with `strides`.
    sharing: from the pyramid that each task reads to the one that its head gets.
    heads: by task, `(pyramid, observed) -> prediction`.
    reads: by task, the name of the observation that it reads.

    Parameters are `{"encoder": ..., "sharing": ..., "heads": {task: ...}}`.
    """

    encoder: nn.Module
    sharing: nn.Module
    heads: Mapping[str, nn.Module]
    reads: Mapping[str, str]

    def init(self, key: PRNGKeyArray, observed: dict[str, Observed]) -> Params:
        """Initial parameters; a task's depend on the key and its own name, not on what other tasks there are."""
        keys = jax.random.split(key, 3)
        first = next(iter(observed.values()))
        size = (1, *(self.encoder.strides[-1],) * 2, first.y.shape[-1] + 2)  # type: ignore[attr-defined]
        params: Params = {"encoder": self.encoder.init(keys[0], jnp.zeros(size)).get("params", {})}
        pyramids = self.task_pyramids(self.encode(params, observed))
        params["sharing"] = self.sharing.init(keys[1], pyramids).get("params", {})
        shared: Any = self.sharing.apply({"params": params["sharing"]}, pyramids)
        params["heads"] = {}
        for task, head in self.heads.items():
            task_key = jax.random.fold_in(keys[2], name_hash(task))
            variables = head.init(task_key, shared[task], observed[self.reads[task]])
            params["heads"][task] = variables.get("params", {})
        return params

    def encode(self, params: Params, observed: dict[str, Observed]) -> dict[str, Pyramid]:
        """The pyramid of every observation: those of one shape pass the encoder together, in one batch."""
        groups: dict[tuple[int, ...], list[str]] = {}
        for name, seen in observed.items():
            groups.setdefault(seen.y.shape, []).append(name)
        strides = self.encoder.strides  # type: ignore[attr-defined]
        pyramids = {}
        for shape, names in groups.items():
            x = jnp.concatenate([encoder_input(observed[name]) for name in names])
            levels: Any = self.encoder.apply({"params": params["encoder"]}, pad_to_multiple(x, strides[-1]))
            together = Pyramid(tuple(levels), strides, (shape[1], shape[2]))
            for i, name in enumerate(names):
                pyramids[name] = together[i * shape[0] : (i + 1) * shape[0]]
        return pyramids

    def task_pyramids(self, pyramids: dict[str, Pyramid]) -> dict[str, Pyramid]:
        """By task, the pyramid of the observation that it reads."""
        return {task: pyramids[observation] for task, observation in self.reads.items()}

    def decode(self, params: Params, pyramids: dict[str, Pyramid], observed: dict[str, Observed]) -> dict[str, Any]:
        """The prediction of every task."""
        shared: Any = self.sharing.apply({"params": params["sharing"]}, self.task_pyramids(pyramids))
        return {
            task: head.apply({"params": params["heads"][task]}, shared[task], observed[self.reads[task]])
            for task, head in self.heads.items()
        }

    def apply(self, params: Params, observed: dict[str, Observed]) -> dict[str, Any]:
        """The prediction of every task, from the observations alone."""
        return self.decode(params, self.encode(params, observed), observed)


def name_hash(name: str) -> int:
    """A number that depends on a name alone, the same in every process."""
    return zlib.crc32(name.encode()) & 0x7FFFFFFF

"""Customized gate control, and progressive layered extraction: shared experts, and some for each task."""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp

from mtjax.models.pyramid import Pyramid
from mtjax.models.sharing.base import Sharing, at_least
from mtjax.models.sharing.experts import Expert, Logits, mix, pooled

Pyramids = dict[str, Pyramid]


class Own(nn.Module):
    """One task's experts, and its gate over them and the shared ones."""

    experts: int
    shared_experts: int

    def setup(self) -> None:
        """Names the parts."""
        self.expert = [Expert() for _ in range(self.experts)]
        self.gate = Logits(self.experts + self.shared_experts)

    def extract(self, pyramid: Pyramid) -> list[Pyramid]:
        """What the task's experts make of its features."""
        return [expert(pyramid) for expert in self.expert]

    def select(self, pyramid: Pyramid, experts: list[Pyramid]) -> Pyramid:
        """Mixes what the task's experts and the shared ones made, in this order, as its features ask for."""
        return mix(nn.softmax(self.gate(pooled(pyramid))), experts)


class Layer(nn.Module):
    """One layer of experts.

    Each task mixes its own experts and the shared ones. Unless the layer is the last, the shared features of an
    observation become a mixture of the shared experts and those of all tasks that read it.
    """

    task_experts: int
    shared_experts: int
    last: bool

    @nn.compact
    def __call__(
        self, shared: Pyramids, own: Pyramids, reads: Mapping[str, str], wanted: tuple[str, ...]
    ) -> tuple[Pyramids, Pyramids]:
        """Maps shared features by observation, and those of tasks by task, to the next layer's."""
        experts = [Expert(name=f"expert{e}") for e in range(self.shared_experts)]
        common = {name: [expert(pyramid) for expert in experts] for name, pyramid in shared.items()}
        parts = {task: Own(self.task_experts, self.shared_experts, name=f"task_{task}") for task in wanted}
        private = {task: part.extract(own[task]) for task, part in parts.items()}
        mixed = {task: part.select(own[task], private[task] + common[reads[task]]) for task, part in parts.items()}
        if self.last:
            return shared, mixed
        # Scores of each task's experts come from a module of its name: which tasks read an observation may differ.
        gate = Logits(self.shared_experts, name="gate")
        gates = {task: Logits(self.task_experts, name=f"gate_{task}") for task in wanted if self.task_experts}
        after = {}
        for name, pyramid in shared.items():
            x, readers = pooled(pyramid), [task for task in wanted if reads[task] == name]
            scores = [gate(x), *(gates[task](x) for task in readers if self.task_experts)]
            everyone = [*common[name], *(p for task in readers for p in private[task])]
            after[name] = mix(nn.softmax(jnp.concatenate(scores, -1)), everyone)
        return after, mixed


class CGC(Sharing):
    """`layers` layers of experts."""

    task_experts: int = 1
    shared_experts: int = 2
    layers: int = 1

    @nn.compact
    def __call__(
        self, features: dict[str, Pyramid], reads: Mapping[str, str], wanted: tuple[str, ...]
    ) -> dict[str, tuple[Pyramid, ...]]:
        """See `Sharing`; shared experts run once for each observation."""
        shared = {reads[task]: features[reads[task]] for task in wanted}
        readers = tuple(task for task in self.tasks if reads[task] in shared)
        own = {task: shared[reads[task]] for task in readers}
        for i in range(self.layers):
            last = i == self.layers - 1
            layer = Layer(self.task_experts, self.shared_experts, last, name=f"layer{i}")
            shared, own = layer(shared, own, reads, wanted if last else readers)
        return {task: (own[task],) for task in wanted}


def cgc(tasks: tuple[str, ...], /, *, task_experts: int = 1, shared_experts: int = 2, layers: int = 1) -> CGC:
    """Customized gate control; progressive layered extraction with more than one layer (Tang et al., RecSys 2020).

    Args:
        tasks: their names.
        task_experts: experts that one task has for itself, in each layer.
        shared_experts: experts for all tasks, in each layer.
        layers: one is CGC, more are PLE.
    """
    at_least("task_experts", task_experts, 0)
    at_least("shared_experts", shared_experts, 1)
    at_least("layers", layers, 1)
    return CGC(tasks, task_experts, shared_experts, layers)

"""Multi-gate mixture of experts: all tasks share the experts, and each has a gate."""

from collections.abc import Mapping

import flax.linen as nn

from mtjax.models.pyramid import Pyramid
from mtjax.models.sharing.base import Sharing, at_least
from mtjax.models.sharing.experts import Expert, Logits, mix, pooled


class MMoE(Sharing):
    """`Σ_e softmax(W_t pooled)_e expert_e(features)` for task t."""

    experts: int = 4

    @nn.compact
    def __call__(
        self, features: dict[str, Pyramid], reads: Mapping[str, str], wanted: tuple[str, ...]
    ) -> dict[str, tuple[Pyramid, ...]]:
        """See `Sharing`; the experts run once for each observation."""
        experts = [Expert(name=f"expert{e}") for e in range(self.experts)]
        said = {name: [expert(features[name]) for expert in experts] for name in {reads[task]: 0 for task in wanted}}
        shared = {}
        for task in wanted:
            name = reads[task]
            logits = Logits(self.experts, name=f"task_{task}")(pooled(features[name]))
            shared[task] = (mix(nn.softmax(logits), said[name]),)
        return shared


def mmoe(tasks: tuple[str, ...], /, *, experts: int = 4) -> MMoE:
    """Multi-gate mixture of experts (Ma et al., "Modeling task relationships in multi-task learning with multi-gate
    mixture-of-experts", KDD 2018).

    Args:
        tasks: their names.
        experts: how many, shared by all.
    """
    at_least("experts", experts, 1)
    return MMoE(tasks, experts)

"""DSelect-k: all tasks share the experts, and each comes to use exactly k of them."""

import math
from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from mtjax.models.pyramid import Pyramid
from mtjax.models.sharing.base import Sharing, at_least
from mtjax.models.sharing.experts import Expert, mix
from mtjax.typing import Array, Float, Params, Scalar


def smooth_step(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """0 up to -½, 1 from ½ on, and the cubic `-2x³ + 3x/2 + ½` between them."""
    x = jnp.clip(x, -0.5, 0.5)
    return -2 * x**3 + 1.5 * x + 0.5


def selections(codes: Float[Array, "k bits"]) -> Float[Array, "k E"]:
    """What each of k selectors gives to each of `2 ** bits` experts: a product over the bits of the expert's number."""
    bits = codes.shape[-1]
    number = np.arange(2**bits)[:, None] >> np.arange(bits) & 1
    one = smooth_step(codes)[:, None, :]
    return jnp.where(number == 1, one, 1 - one).prod(-1)


class Selectors(nn.Module):
    """One task's weights of the experts, `Σ_i softmax(a)_i r(z_i)`: the same for every picture."""

    selected: int
    experts: int

    @nn.compact
    def __call__(self) -> Float[Array, "E"]:
        """Returns weights that sum to one, in float32; nearly even at first."""
        bits = int(math.log2(self.experts))
        codes = self.param("codes", nn.initializers.normal(0.01), (self.selected, bits))
        shares = self.param("shares", nn.initializers.zeros, (self.selected,))
        return nn.softmax(shares) @ selections(codes)


class DSelectK(Sharing):
    """Shared experts, weighted by each task's `Selectors`."""

    experts: int = 4
    selected: int = 2
    entropy: float = 1e-3

    @nn.compact
    def __call__(
        self, features: dict[str, Pyramid], reads: Mapping[str, str], wanted: tuple[str, ...]
    ) -> dict[str, tuple[Pyramid, ...]]:
        """See `Sharing`; the experts run once for each observation."""
        experts = [Expert(name=f"expert{e}") for e in range(self.experts)]
        said = {name: [expert(features[name]) for expert in experts] for name in {reads[task]: 0 for task in wanted}}
        return {
            task: (mix(Selectors(self.selected, self.experts, name=f"task_{task}")()[None], said[reads[task]]),)
            for task in wanted
        }

    @nn.nowrap
    def penalty(self, params: Params) -> Scalar:
        """The entropy of every selector, which drives it to one expert."""
        total = jnp.zeros(())
        for task in self.tasks:
            r = selections(params["sharing"][f"task_{task}"]["codes"])
            total -= jnp.sum(r * jnp.log(jnp.where(r > 0, r, 1)))
        return self.entropy * total


def dselect_k(tasks: tuple[str, ...], /, *, experts: int = 4, selected: int = 2, entropy: float = 1e-3) -> DSelectK:
    """Differentiable selection of experts (Hazimeh et al., "DSelect-k", NeurIPS 2021), its static gate.

    Args:
        tasks: their names.
        experts: how many, shared by all; a power of two.
        selected: how many of them a task uses in the end, at most.
        entropy: weight of the selectors' entropy in the loss.
    """
    at_least("experts", experts, 2)
    at_least("selected", selected, 1)
    at_least("entropy", entropy, 0)
    if experts & (experts - 1):
        raise ValueError(f"experts must be a power of two, got {experts}")
    return DSelectK(tasks, experts, selected, entropy)

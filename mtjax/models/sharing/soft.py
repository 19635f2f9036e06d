"""Soft sharing: an encoder per task, and a price on how far they are from each other."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from mtjax.models.sharing.base import Sharing, at_least
from mtjax.typing import Params, Scalar


class Soft(Sharing):
    """`weight · Σ ‖θ_i - θ̄‖²` is added to the loss, with θ_i the encoder of task i and θ̄ the mean over tasks."""

    weight: float = 1e-2
    copies = True

    @nn.nowrap
    def penalty(self, params: Params) -> Scalar:
        """The price of the differences between the encoders."""
        total = jnp.zeros(())
        for leaf in jax.tree.leaves(params["encoder"]):
            total += jnp.sum((leaf - leaf.mean(0)) ** 2)
        return self.weight * total


def soft(tasks: tuple[str, ...], /, *, weight: float = 1e-2) -> Soft:
    """Soft sharing (Duong et al., "Low resource dependency parsing", ACL 2015; to the mean of the tasks: Evgeniou and
    Pontil, "Regularized multi-task learning", KDD 2004).

    Args:
        tasks: their names.
        weight: of the squared distances to the mean; 0 trains the tasks apart.
    """
    at_least("weight", weight, 0)
    return Soft(tasks, weight)

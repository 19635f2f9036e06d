"""The reconstruction head that also reads what a classical solver made of the observation."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax

from mtjax import solvers
from mtjax.models.heads.refine import Refine
from mtjax.models.inputs import evidence
from mtjax.models.pyramid import Pyramid
from mtjax.physics import Observed
from mtjax.typing import Array, Float


class Estimate(nn.Module):
    """`s + correction(s, features)` with `s` the solver's image; the solver itself is not trained."""

    solver: Any
    width: int = 32
    depth: int = 3
    dtype: Any = None

    @nn.compact
    def __call__(self, pyramid: Pyramid, observed: Observed) -> Float[Array, "B H W C"]:
        """Returns an image of the shape that the operator takes in."""
        start = jax.lax.stop_gradient(self.solver(observed.y, observed.operator).image)
        return start + Refine(self.width, self.depth, self.dtype)(start, pyramid, evidence(start, observed))


def estimate(
    dtype: Any, outputs: int, /, *, solver: Mapping[str, Any] = {"kind": "wiener"}, width: int = 32, depth: int = 3
) -> Estimate:
    """A residual network on top of a solver's estimate; `solver` is a node as in `config.compare`."""
    del outputs
    return Estimate(solvers.make(solver)[0], width, depth, dtype)

"""The unrolled head: iterations of a solver with learned parameters, then learned priors between data steps."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from mtjax import solvers
from mtjax.models.heads.refine import Refine
from mtjax.models.inputs import evidence
from mtjax.models.pyramid import Pyramid
from mtjax.physics import Observed
from mtjax.typing import Array, Float


class Unrolled(nn.Module):
    """ADMM with total variation, then `stages` times a small network and a data step, all differentiated through.

    The first part is `solvers.admm` with a learned weight and ρ; it holds the noise down from the first training step,
    without which unrolling starts far below the solver that it imitates. Each stage is one half-quadratic iteration
    `z = x + correction(x, features)`, `x = argmin ½‖Ax - y‖² + ½μ‖x - z‖²` with learned μ; the last ends at z.
    The weight of the prior and μ are powers of the noise level, `exp(a) σᵇ` with a and b learned.

    Source: Yang et al., "Deep ADMM-Net", NIPS 2016; Zhang et al., "Deep unfolding network for image super-resolution",
    CVPR 2020 (USRNet).
    """

    iterations: int = 15
    stages: int = 1
    width: int = 32
    depth: int = 3
    weight: float = 1e-3
    rho: float = 2e-2
    dtype: Any = None

    def power_of_noise(self, name: str, start: float, exponent: float, level: Float[Array, "*b"]) -> Float[Array, "*b"]:
        """A learned positive number per example that is `start` at σ = 0.02."""
        scale = self.param(f"{name}_log_scale", nn.initializers.constant(jnp.log(start)), ())
        power = self.param(f"{name}_exponent", nn.initializers.constant(exponent), ())
        return jnp.exp(scale + power * jnp.log(jnp.maximum(level, 1e-4) / 0.02))

    @nn.compact
    def __call__(self, pyramid: Pyramid, observed: Observed) -> Float[Array, "B H W C"]:
        """Returns an image of the shape that the operator takes in."""
        y, operator = observed.y, observed.operator
        level = jnp.broadcast_to(observed.noise_level, (len(y), 1, 1, 1)).reshape(-1)
        weight = self.power_of_noise("weight", self.weight, 1.0, level)
        rho = jnp.exp(self.param("log_rho", nn.initializers.constant(jnp.log(self.rho)), ()))
        x = solvers.admm(y, operator, solvers.TotalVariation(weight), rho=rho, iterations=self.iterations).image
        for stage in range(self.stages):
            if stage:
                mu = self.power_of_noise(f"mu{stage}", 1e-1, 1.0, level)
                x = solvers.data_prox(x, y, operator, mu)
            prior = Refine(self.width, self.depth, self.dtype, name=f"prior{stage}")
            x = x + prior(x, pyramid, evidence(x, observed))
        return x


def unrolled(
    dtype: Any,
    outputs: int,
    /,
    *,
    iterations: int = 15,
    stages: int = 1,
    width: int = 32,
    depth: int = 3,
    weight: float = 1e-3,
    rho: float = 2e-2,
) -> Unrolled:
    """Unrolled ADMM-TV and half-quadratic stages.

    Args:
        dtype: precision of the networks; the solver's steps stay in float32.
        outputs: not read, the operator says what comes out.
        iterations: ADMM-TV iterations before the first network.
        stages: networks; a data step stands between two of them.
        width: channels of each network.
        depth: residual blocks of each network.
        weight: first value of the weight of the total variation, for noise of 0.02.
        rho: first value of the penalty of ADMM.
    """
    del outputs
    if iterations < 1 or stages < 1:
        raise ValueError(f"iterations and stages must be at least 1, got {iterations} and {stages}")
    return Unrolled(iterations, stages, width, depth, weight, rho, dtype)

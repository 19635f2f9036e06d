"""Pictures that networks read beside features: what an observation says, at its own resolution or the image's."""

import jax.numpy as jnp

from mtjax.physics import Observed
from mtjax.typing import Array, Float


def encoder_input(observed: Observed) -> Float[Array, "B H W C"]:
    """What the encoder reads: the observation, the operator's answer to a white picture, and the noise level.

    The answer tells where there is data at all (0 where a mask has taken it), without naming the operator.
    """
    y = observed.y
    white = jnp.ones((1, *observed.operator.input_shape(y.shape)[1:]), y.dtype)
    answer = observed.operator(white).mean(-1, keepdims=True)
    maps = [jnp.broadcast_to(m, (*y.shape[:3], 1)).astype(y.dtype) for m in (answer, observed.noise_level)]
    return jnp.concatenate([y, *maps], -1)


def evidence(x: Float[Array, "B H W C"], observed: Observed) -> Float[Array, "B H W D"]:
    """An estimate `x` with what the observation says of it: `x`, `Aᵀ(y - A x)`, and `AᵀA 1`, which is 0 where nothing
    is known.
    """
    operator = observed.operator
    white = jnp.ones((1, *x.shape[1:]), x.dtype)
    known = jnp.broadcast_to(operator.normal(white).mean(-1, keepdims=True), (*x.shape[:3], 1))
    return jnp.concatenate([x, operator.adjoint(observed.y - operator(x)), known], -1)

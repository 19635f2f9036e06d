"""Pictures that networks read beside features: what an observation says, at its own resolution or the image's."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from mtjax import solvers
from mtjax.physics import Blur, MatrixSensing, Mosaic, NonlinearOperator, Observed, Radon
from mtjax.physics.frames import Frames, split_frames
from mtjax.physics.nonlinear import scaled_adjoint
from mtjax.typing import Array, Float


def encoder_input(observed: Observed, fused: Mapping[str, int] = {}) -> Float[Array, "N H W C"]:
    """What the encoder reads: a picture, the operator's answer to a white one, the noise level, and fused fields.

    The picture is the observation, where that is one. Of a burst each frame is a picture of its own: N is B times the
    number of frames, those of an example following each other. Other observations enter as `Aᴴ y`, divided by
    `AᴴA 1`. The answer tells where there is data at all (0 where a mask has taken it), without naming the operator.

    Args:
        observed: the observation.
        fused: by field, how many channels its maps have in this model. Fields that this observation is not told are
            zeros, as where an example has none, so that all observations can pass the same encoder.
    """
    picture, answer = _picture(observed)
    shape = picture.shape[:3]
    level = jnp.repeat(observed.noise_level, shape[0] // len(observed.noise_level), 0)
    maps = [jnp.broadcast_to(m, (*shape, 1)).astype(picture.dtype) for m in (answer, level)]
    for field, channels in fused.items():
        told = observed.fused.get(field)
        if told is None:
            told = jnp.zeros((*shape, channels), picture.dtype)
        elif told.shape[:3] != shape:
            raise ValueError(f"field {field!r} is fused with an observation of {shape[1:3]}, but is {told.shape[1:3]}")
        maps.append(told.astype(picture.dtype))
    return jnp.concatenate([picture, *maps], -1)


def frames(observed: Observed) -> int:
    """How many pictures of an example the encoder gets: the frames of a burst, else 1."""
    return observed.operator.count if isinstance(observed.operator, Frames) else 1


def picture_size(observed: Observed) -> tuple[int, int]:
    """Height and width of the pictures that the encoder gets."""
    _, height, width, _ = (observed.y if _is_picture(observed) else _estimate(observed)[0]).shape
    return height, width


def start_image(observed: Observed) -> Float[Array, "B H W C"]:
    """The image that restoring heads correct: `y` where that has the image's shape, else a first estimate.

    A smaller picture is interpolated bicubically, a mosaic bilinearly, the border that a blur has cut off is repeated;
    of other observations it is the multiple of `Aᴴ y` that fits best.

    Raises:
        ValueError: a burst, of whose frames no single one is the image.
    """
    if isinstance(observed.operator, Frames):
        raise ValueError(f"a burst of {frames(observed)} frames needs a head that joins them, such as 'burst'")
    y, operator = observed.y, observed.operator
    if not _is_picture(observed) and not isinstance(operator, Blur | Mosaic):
        return jnp.real(scaled_adjoint(operator, y))
    return y if operator.input_shape(y.shape) == y.shape else solvers.bicubic(y, operator).image


def _is_picture(observed: Observed) -> bool:
    """Whether `y` looks like the image: real, with the same channels, as large or smaller by a whole factor."""
    y, operator = observed.y, observed.operator
    if isinstance(operator, Frames):
        return True
    if not isinstance(y, jax.Array) or jnp.iscomplexobj(y) or isinstance(operator, Radon | MatrixSensing):
        return False
    height, width, channels = operator.input_shape(y.shape)[-3:]
    factor = height // y.shape[-3]
    return (height, width, channels) == (factor * y.shape[-3], factor * y.shape[-2], y.shape[-1])


def _picture(observed: Observed) -> tuple[Float[Array, "N H W C"], Float[Array, "_n H W 1"]]:
    """The picture, and the operator's answer to a white one, with which it is dark for want of data."""
    y, operator = observed.y, observed.operator
    if not _is_picture(observed):
        return _estimate(observed)
    white = jnp.ones((1, *operator.input_shape(y.shape)[1:]), y.dtype)
    # A nonlinear operator loses no pixel, and its answer would tell the very exposure that is to be found.
    answer = white if isinstance(operator, NonlinearOperator) else operator(white)
    count = frames(observed)
    if count > 1:
        y, answer = (
            each.reshape(-1, *each.shape[2:]) for each in (split_frames(y, count), split_frames(answer, count))
        )
        answer = jnp.tile(answer, (len(y) // len(answer), 1, 1, 1))
    return y, answer.mean(-1, keepdims=True)


def _estimate(observed: Observed) -> tuple[Float[Array, "N H W C"], Float[Array, "_n H W 1"]]:
    """`Aᴴ y` over `AᴴA 1`, and that divisor, scaled to 1 at most; both real."""
    operator = observed.operator
    back = jnp.real(operator.adjoint(observed.y))
    seen = jnp.real(operator.normal(jnp.ones((1, *back.shape[1:]), back.dtype)))
    scale = jnp.maximum(jnp.abs(seen).mean((-3, -2, -1), keepdims=True), 1e-6)
    return back / scale, (seen / scale).mean(-1, keepdims=True)


def evidence(x: Float[Array, "B H W C"], observed: Observed) -> Float[Array, "B H W D"]:
    """An estimate `x` with what the observation says of it: `x`, `Aᵀ(y - A x)`, and `AᵀA 1`, which is 0 where nothing
    is known.
    """
    operator = observed.operator
    white = jnp.ones((1, *x.shape[1:]), x.dtype)
    known = jnp.broadcast_to(operator.normal(white).mean(-1, keepdims=True), (*x.shape[:3], 1))
    return jnp.concatenate([x, operator.adjoint(observed.y - operator(x)), known], -1)

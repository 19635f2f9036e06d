"""Super-resolution of bursts and videos: several aliased frames of one scene make one image with finer pixels.

The whole of it, for frames `[..., K, h, w, C]`, of which the first is the one to be made finer::

    offsets = register(frames[..., :1, :, :, :], frames).offset
    operator = burst_operator(offsets, factor=3, kernel=kernels.gaussian(1.2))
    image = multiframe_tv(join_frames(frames), operator, weight=2e-3).image

and for a video `[T, h, w, C]` the same with `frames = windows(video, radius=3)`, which has one burst for each frame.
"""

from typing import Any

import jax.numpy as jnp

from mtjax.physics.operator import Operator
from mtjax.solvers.admm import admm
from mtjax.solvers.data_terms import DataTerm
from mtjax.solvers.priors import TotalVariation
from mtjax.solvers.solution import Solution
from mtjax.typing import Array, Float


def windows(video: Any, radius: int) -> Float[Array, "T K h w C"]:
    """For each frame of a video `[T, h, w, C]`, the burst of its neighbors up to `radius` frames away, itself first.

    Beyond the ends of the video the nearest frames that are not yet in the burst take the place of those missing.
    """
    count = 2 * radius + 1
    if radius < 0 or count > len(video):
        raise ValueError(f"radius={radius} needs {count} frames; the video has {len(video)}")
    times = jnp.arange(len(video))
    apart = jnp.abs(times[:, None] - times)
    return jnp.asarray(video)[jnp.argsort(apart, axis=1, stable=True)[:, :count]]


def multiframe_tv(
    y: Any,
    operator: Operator,
    weight: Any = 2e-3,
    rho: Any = None,
    iterations: int | None = None,
    tolerance: float | None = None,
    max_iterations: int = 500,
    init: Any = None,
    data: DataTerm | None = None,
    trace: bool = False,
) -> Solution:
    """`argmin_x φ(A x; y) + weight · TV(x)`: the image that best explains all frames of a burst together.

    `y` is `join_frames(frames)`, `operator` a `Frames`, and `data` is `φ`: `½‖A x − y‖²` unless given, or `L1()`, which
    bears with frames that are wrongly registered (Farsiu, Robinson, Elad and Milanfar, 2004).
    This is `admm`, which explains all other arguments, and whose x-update does not depend on the number of frames
    where they are decimated circular convolutions (`burst_operator` without a margin) and `φ` is the squared error.
    """
    prior = TotalVariation(weight)
    return admm(y, operator, prior, rho, iterations, tolerance, max_iterations, init, data, trace=trace)

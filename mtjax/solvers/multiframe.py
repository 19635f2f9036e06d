"""Super-resolution of bursts and videos: several aliased frames of one scene make one image with finer pixels.

The whole of it, for frames `[..., K, h, w, C]`, of which the first is the one to be made finer::

    offsets = register(frames[..., :1, :, :, :], frames).offset
    operator = burst_operator(offsets, factor=3, kernel=kernels.gaussian(1.2))
    image = multiframe_tv(join_frames(frames), operator, weight=2e-3).image

and for a video `[T, h, w, C]` the same with `frames = windows(video, radius=3)`, which has one burst for each frame.
"""

from typing import Any

import jax
import jax.numpy as jnp

from mtjax.physics.operator import Operator
from mtjax.pytree import pytree
from mtjax.solvers.admm import admm
from mtjax.solvers.aliased import AliasedInverse, aliased_inverse
from mtjax.solvers.back_projection import start_image
from mtjax.solvers.data_terms import L2, DataTerm
from mtjax.solvers.fixed_point import run
from mtjax.solvers.priors import TotalVariation
from mtjax.solvers.proximal import dot, per_example
from mtjax.solvers.solution import Solution, as_images, image_like
from mtjax.typing import Array, Float, Inexact

Values = Inexact[Array, "..."]


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
    rho: Any = 2e-2,
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
    ADMM; where frames are decimated circular convolutions (`burst_operator` without a margin) and `φ` is the squared
    error, its x-update solves a small system for each group of aliased frequencies, whose cost does not depend on the
    number of frames; otherwise this is `admm`, which explains all other arguments.
    """
    prior = TotalVariation(weight)
    if data is not None and not isinstance(data, L2):
        return admm(y, operator, prior, rho, iterations, tolerance, max_iterations, init, data, trace=trace)
    images, plain = as_images(y)
    like = image_like(images, operator)
    rho_now = per_example(rho, like)
    inverse = aliased_inverse(operator, prior.analysis, rho_now, like)
    if inverse is None:
        return admm(y, operator, prior, rho, iterations, tolerance, max_iterations, init, trace=trace)
    plan = _Plan(images, operator, prior, rho_now, inverse, operator.adjoint(images))
    return run(
        _update,
        plan,
        prior.analysis(start_image(init, like)),
        plain,
        iterations=iterations,
        tolerance=tolerance,
        max_iterations=max_iterations,
        trace=trace,
        objective=_objective,
    )


@pytree
class _Plan:
    y: Any
    operator: Operator
    prior: TotalVariation
    rho: Values
    inverse: AliasedInverse
    constant: Values  # Aᴴ y


def _update(plan: _Plan, v: Any) -> tuple[Any, Values]:
    """ADMM, its state being `v = L x + u`, as in `admm.update`."""
    z = plan.prior.prox(v, 1 / plan.rho)
    pull = jax.tree.map(lambda a, b: 2 * a - b, z, v)
    x = plan.inverse(plan.constant + plan.rho * plan.prior.analysis.adjoint(pull))
    return jax.tree.map(lambda a, b, c: a + (b - c), v, plan.prior.analysis(x), z), x


def _objective(plan: _Plan, x: Values) -> Values:
    rest = jax.tree.map(jnp.subtract, plan.operator(x), plan.y)
    return dot(rest, rest)[..., 0, 0, 0] / 2 + plan.prior.value(x)

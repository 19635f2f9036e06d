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

from mtjax.physics.blur import Crop
from mtjax.physics.frames import Frames
from mtjax.physics.operator import Operator
from mtjax.physics.sampling import Downsample
from mtjax.physics.warp import Shift
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


def burst_operator(offsets: Any, factor: int, kernel: Any = None, margin: int = 0) -> Frames:
    """The operator that makes a burst `[..., h, w, K·C]` (see `join_frames`) of an image with `factor` finer pixels.

    `offsets` `[..., K, 2]` (down, right) in pixels of the frames, as `register` gives them; `kernel` blurs, in fine
    pixels: a box of `factor` pixels for a sensor without gaps and a perfect lens, more in practice. Shifts are
    circular. With a `margin`, in pixels of the frames, the image has that much of a border which frames see only in
    part or through the blur, so that nothing wraps around into the rest of it; solvers then take longer.
    """
    offsets = 1.0 * jnp.asarray(offsets)
    if offsets.ndim < 2 or offsets.shape[-1] != 2:
        raise ValueError(f"offsets has shape {offsets.shape}; expected [..., K, 2], one (down, right) per frame")
    if margin < 0:
        raise ValueError(f"margin={margin} is negative; expected a number of pixels")
    observe = Downsample(factor, kernel) @ Shift(factor * offsets)
    borders = ((margin, margin), (margin, margin))
    return Frames(Crop(borders) @ observe if margin else observe, offsets.shape[-2])


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

"""The Wiener filter that finds the noise's and the image's strength in the observation itself."""

from typing import Any

import jax
import jax.numpy as jnp

from mtjax.physics.operator import Identity, Operator, check_choice, fourier, squared_magnitude
from mtjax.pytree import pytree, static
from mtjax.solvers.fixed_point import run
from mtjax.solvers.linear import spectral_sum
from mtjax.solvers.solution import Solution, as_images, finish, image_like
from mtjax.solvers.wiener import REGULARIZERS, Laplacian, wiener
from mtjax.typing import Array, Inexact

Values = Inexact[Array, "..."]


@pytree
class UnsupervisedSolution(Solution):
    """A `Solution`, and the precisions (1 / variance) that it was found with, `[*b]`."""

    noise_precision: Any = None  # of each pixel of `y`
    prior_precision: Any = None  # of each pixel of `R x`


@pytree
class _Plan:
    observed: Values  # |Y|² / HW
    power: Values  # |A|²
    penalty: Values  # |R|²
    unpunished: int = static()  # how many frequencies `R` does not see
    like: jax.ShapeDtypeStruct = static()


def unsupervised_wiener(
    y: Any, operator: Operator, regularizer: str = "laplacian", tolerance: float = 1e-5, max_iterations: int = 1000
) -> UnsupervisedSolution:
    """`wiener`, its `noise_to_signal` estimated from `y`, for circular blurs (Orieux, Giovannelli and Rodet, 2010).

    The model is theirs, `y = A x + e` with white `e` of precision `γₙ` and white `R x` of precision `γₓ`, both
    unknown with Jeffreys' priors. Instead of sampling the posterior by Gibbs' method, the precisions are brought to
    its mode by expectation-maximization, which is deterministic and differentiable and on images leads to the same
    (their posterior is narrow): `image` is the posterior mean for them. One pair of precisions for all channels of an
    example. Stops as each logarithm of a precision changes by no more than `tolerance`, relative; gradients are
    implicit. ValueError if `operator` is not a circular blur.
    """
    check_choice("regularizer", regularizer, REGULARIZERS)
    y, plain = as_images(y)
    like = image_like(y, operator)
    transfer = operator.transfer(like.shape, like.dtype)
    if transfer is None:
        raise ValueError(f"operator={type(operator).__name__} is no circular blur; expected one, or try wiener")
    pixels = like.shape[-3] * like.shape[-2]
    prior = Identity() if regularizer == "white" else Laplacian()
    penalty: Any = prior.gram(like.shape, like.dtype)
    unpunished = 0 if regularizer == "white" else like.shape[-1]  # the channels' means
    plan = _Plan(squared_magnitude(fourier(y)) / pixels, squared_magnitude(transfer), penalty, unpunished, like)
    spread = jnp.var(y, (-3, -2, -1), keepdims=True) + jnp.finfo(like.dtype).eps
    start = (-jnp.log(0.01 * spread), -jnp.log(spread))
    found = run(_update, plan, start, False, tolerance=tolerance, max_iterations=max_iterations)
    noise, rough = (jnp.exp(found.image[..., 0, 0, i]) for i in (0, 1))
    image = wiener(y, operator, rough / noise, regularizer).image
    whole = finish(image, plain, found.status, found.iterations, found.residual)
    return UnsupervisedSolution(**vars(whole), noise_precision=noise, prior_precision=rough)


def _update(plan: _Plan, state: Any) -> tuple[Any, Values]:
    """One step of expectation-maximization on (log γₙ, log γₓ), which it also gives as two channels of an image."""
    noise, prior = jnp.exp(state[0]), jnp.exp(state[1])
    precision = noise * plan.power + prior * plan.penalty
    variance = jnp.where(precision > 0, 1 / jnp.where(precision > 0, precision, 1), 0)
    misfit = plan.observed * (prior * plan.penalty * variance) ** 2 + plan.power * variance
    rough = plan.penalty * (plan.observed * plan.power * (noise * variance) ** 2 + variance)
    size = plan.like.shape[-3] * plan.like.shape[-2] * plan.like.shape[-1]
    sums = [spectral_sum(values, plan.like) for values in (misfit, rough)]
    new = (jnp.log(size / sums[0]), jnp.log((size - plan.unpunished) / sums[1]))
    return new, jnp.concatenate(new, -1)

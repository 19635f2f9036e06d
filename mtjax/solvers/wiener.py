"""The linear estimate: least squares with a quadratic penalty."""

from typing import Any

import jax
import jax.numpy as jnp

from mtjax.physics.operator import Operator, Pixels, check_choice, fourier, inverse_fourier, squared_magnitude
from mtjax.solvers.normal import circular_inverse, conjugate_gradient, data_prox
from mtjax.solvers.priors import Gradient
from mtjax.solvers.proximal import per_example
from mtjax.solvers.solution import Solution, Status, as_images, finish, image_like, stopped_status

REGULARIZERS = ("white", "laplacian")


def wiener(y: Any, operator: Operator, noise_to_signal: Any = 1e-2, regularizer: str = "white") -> Solution:
    """`argmin_x ‖A x − y‖² + noise_to_signal ‖R x‖²`, for every linear operator.

    `R` is the identity ("white": the Wiener filter of a white image) or the 5-point Laplacian ("laplacian": that of
    an image whose spectrum falls with frequency, as `skimage.restoration.wiener` assumes). Circular blurs, masks and
    (white) blur-then-decimate have closed forms; anything else, such as a blur with another boundary, is the same
    minimizer found by conjugate gradients, and `status` says whether that got there.
    `noise_to_signal` > 0 is a number or one for each example. `residual` is that of the normal equations, relative.
    """
    check_choice("regularizer", regularizer, REGULARIZERS)
    y, plain = as_images(y)
    like = image_like(y, operator)
    weight = per_example(noise_to_signal, like)
    transfer = operator.transfer(like.shape, like.dtype)
    if transfer is not None:
        power = squared_magnitude(transfer) + weight * _penalty(regularizer, like)
        x = inverse_fourier(transfer.conj() * fourier(y) / power, like)
        return finish(x, plain, Status.CONVERGED, 1, jnp.zeros((), like.dtype))
    if regularizer == "white" and _has_closed_form(operator, like):
        x = data_prox(jnp.zeros(like.shape, like.dtype), y, operator, weight)
        return finish(x, plain, Status.CONVERGED, 1, jnp.zeros((), like.dtype))
    return _iterative(y, plain, operator, weight, regularizer, like)


def _penalty(regularizer: str, like: jax.ShapeDtypeStruct) -> Any:
    """Half spectrum of `RᵀR`; the circular Laplacian is minus the gram of circular differences."""
    return 1.0 if regularizer == "white" else Gradient().approximate_gram(like.shape, like.dtype) ** 2


def _has_closed_form(operator: Operator, like: jax.ShapeDtypeStruct) -> bool:
    if operator.diagonal(like.shape, like.dtype) is not None:
        return True
    return operator.range_gram(operator.output_shape(like.shape), like.dtype) is not None


def _iterative(y: Any, plain: bool, operator: Operator, weight: Any, regularizer: str, like: Any) -> Solution:
    gradient = Gradient()

    def penalty(x: Pixels) -> Pixels:
        if regularizer == "white":
            return x
        laplacian = gradient.normal(x)
        return gradient.normal(laplacian)

    gram = operator.approximate_gram(like.shape, like.dtype)
    precondition = circular_inverse(gram, weight * _penalty(regularizer, like))
    b = operator.adjoint(y)
    goal = float(jnp.finfo(like.dtype).eps) ** 0.75
    x, iterations, residual = conjugate_gradient(
        lambda x: operator.normal(x) + weight * penalty(x), b, None, precondition, goal, max_iterations=500
    )
    return finish(x, plain, stopped_status(residual, residual <= 2 * goal), iterations, residual)

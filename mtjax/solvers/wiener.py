"""The Wiener filter: the linear estimate of an image whose spectrum, and that of its noise, are known."""

from typing import Any

from mtjax.physics.operator import Operator, Pixels, Shape, Spectrum, check_choice
from mtjax.pytree import pytree
from mtjax.solvers.linear import tikhonov
from mtjax.solvers.priors import Gradient
from mtjax.solvers.solution import Solution
from mtjax.typing import Array

REGULARIZERS = ("white", "laplacian")


@pytree
class Laplacian(Operator):
    """The circular 5-point Laplacian, `∇ᵀ∇`: 4 times a pixel less its neighbors."""

    def __call__(self, x: Pixels, /) -> Pixels:
        """`∇ᵀ∇ x`."""
        return Gradient().normal(x)

    def adjoint(self, y: Pixels, /) -> Pixels:
        """Itself."""
        return self(y)

    def norm_bound(self) -> Array:
        """8."""
        return Gradient().norm_bound() ** 2

    def transfer(self, shape: Shape, dtype: Any) -> Spectrum:
        """`4 sin²(ω/2)`, summed over both frequencies."""
        return Gradient().approximate_gram(shape, dtype)


def wiener(y: Any, operator: Operator, noise_to_signal: Any = 1e-2, regularizer: str = "white") -> Solution:
    """`argmin_x ‖A x − y‖² + noise_to_signal ‖R x‖²`, for every linear operator.

    `R` is the identity ("white": the Wiener filter of a white image) or the 5-point Laplacian ("laplacian": that of
    an image whose spectrum falls with frequency, as `skimage.restoration.wiener` assumes). That is `tikhonov` with
    `R` for its `L`: circular blurs, masks and (white) blur-then-decimate have closed forms; anything else, such as a
    blur with another boundary, is the same minimizer found by conjugate gradients, and `status` says whether that got
    there. `noise_to_signal` > 0 is a number or one for each example. `residual` is that of the normal equations.
    """
    check_choice("regularizer", regularizer, REGULARIZERS)
    return tikhonov(y, operator, noise_to_signal, None if regularizer == "white" else Laplacian())

"""Linear least squares: the x-update that iterative solvers and unrolled networks share, and what it falls back on."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from mtjax.physics.operator import Operator, Pixels, fourier, inverse_fourier, squared_magnitude
from mtjax.solvers.proximal import dot, per_example
from mtjax.typing import Array, Bool, Float, Inexact, Int

Values = Inexact[Array, "..."]
Map = Callable[[Any], Any]


def data_prox(z: Pixels, y: Any, operator: Operator, rho: Any) -> Pixels:
    """`argmin_x ½‖A x − y‖² + ρ/2 ‖x − z‖²`, for `rho` > 0 a number or one for each example.

    Pixelwise for masks, by FFT where `AᴴA` or `AAᴴ` is circular (blurs, blur-then-decimate, sub-sampled spectra), by
    conjugate gradients (with implicit gradients) otherwise. Written as `z + Aᴴ(AAᴴ + ρ)⁻¹(y − A z)`, which, unlike the
    form of Zhao et al. (2016) that divides by ρ, keeps its accuracy in float32 for small ρ. Differentiable in `z`, `y`,
    `rho` and the operator.
    """
    shape, dtype = z.shape, z.dtype
    rho = per_example(rho, z)
    diagonal = operator.diagonal(shape, dtype)
    if diagonal is not None:
        return z + diagonal.conj() * (y - diagonal * z) / (squared_magnitude(diagonal) + rho)
    transfer = operator.transfer(shape, dtype)
    if transfer is not None:
        spectrum = fourier(z)
        residual = fourier(y) - transfer * spectrum
        return inverse_fourier(spectrum + transfer.conj() * residual / (squared_magnitude(transfer) + rho), z)
    range_gram = operator.range_gram(operator.output_shape(shape), dtype)
    residual = jax.tree.map(jnp.subtract, y, operator(z))
    if range_gram is not None:
        return z + operator.adjoint(inverse_fourier(fourier(residual) / (range_gram + rho), residual))
    gram = operator.gram(shape, dtype)
    if gram is not None:
        return z + circular_inverse(gram, rho)(operator.adjoint(residual))
    correction, _, _ = conjugate_gradient(
        lambda x: operator.normal(x) + rho * x,
        operator.adjoint(residual),
        precondition=circular_inverse(operator.approximate_gram(shape, dtype), rho),
    )
    return z + correction


def circular_inverse(gram: Any, shift: Any) -> Map:
    """The map that divides spectra by `gram + shift`, to precondition with; the identity if `gram` is None."""
    if gram is None:
        return lambda r: r
    inverse = 1 / (gram + shift)
    return lambda r: inverse_fourier(inverse * fourier(r), r)


def conjugate_gradient(
    matvec: Map,
    b: Values,
    start: Values | None = None,
    precondition: Map = lambda r: r,
    tolerance: float | None = None,
    max_iterations: int = 200,
) -> tuple[Values, Int[Array, "..."], Float[Array, "..."]]:
    """Solves `matvec(x) = b` for a positive definite map, each example of `b` `[*b, H, W, C]` by itself.

    An example stops at `‖b − matvec(x)‖ <= tolerance ‖b‖` (default: eps^¾, about 6e-6 in float32) and is not touched
    again. Gradients are implicit: one more solve, at the same tolerance. Returns `x`, and iterations and relative
    residual of each example.
    """
    goal = float(jnp.finfo(b.dtype).eps) ** 0.75 if tolerance is None else tolerance

    def from_start(apply: Map, rhs: Values) -> Any:
        return _iterate(apply, rhs, lax.stop_gradient(start), precondition, goal, max_iterations)

    def from_zero(apply: Map, rhs: Values) -> Any:
        return _iterate(apply, rhs, None, precondition, goal, max_iterations)

    def transposed(apply: Map, rhs: Values) -> Any:
        # The transpose of a Hermitian map is its conjugate, which is positive definite too.
        x, aux = from_zero(lambda v: apply(v.conj()).conj(), rhs.conj())
        return x.conj(), aux

    solve = from_start if start is not None else from_zero
    x, (iterations, residual) = lax.custom_linear_solve(matvec, b, solve, transposed, has_aux=True)
    return x, iterations, residual


def _iterate(
    matvec: Map, b: Values, start: Values | None, precondition: Map, goal: float, max_iterations: int
) -> tuple[Values, tuple[Int[Array, "..."], Float[Array, "..."]]]:
    """Preconditioned conjugate gradients (Hestenes and Stiefel, 1952); a finished example has step length 0."""
    target = goal**2 * dot(b, b)

    def unfinished(r: Values) -> Bool[Array, "..."]:
        return dot(r, r) > target

    def body(state: Any) -> Any:
        x, r, p, rz, count, k = state
        active = unfinished(r)
        q = matvec(p)
        curvature = dot(p, q)
        step = jnp.where(active & (curvature > 0), rz / jnp.where(curvature > 0, curvature, 1), 0)
        x, r = x + step * p, r - step * q
        z = precondition(r)
        new = dot(r, z)
        p = jnp.where(active, z + new / jnp.where(rz > 0, rz, 1) * p, p)
        return x, r, p, jnp.where(active, new, rz), count + active, k + 1

    x = jnp.zeros_like(b) if start is None else start
    r = b if start is None else b - matvec(x)
    z = precondition(r)
    count = jnp.zeros(target.shape, jnp.int32)
    state = (x, r, z, dot(r, z), count, 0)
    state = lax.while_loop(lambda s: jnp.any(unfinished(s[1])) & (s[5] < max_iterations), body, state)
    x, r, _, _, count, _ = state
    residual = jnp.sqrt(dot(r, r) / jnp.maximum(dot(b, b), jnp.finfo(b.dtype).tiny))
    x = jnp.where(jnp.isfinite(residual), x, jnp.nan)  # what is not finite in b shows in x too
    return x, (count[..., 0, 0, 0], residual[..., 0, 0, 0])

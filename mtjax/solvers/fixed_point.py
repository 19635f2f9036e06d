"""Running a step a fixed number of times, or until it no longer changes anything, with implicit gradients."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from mtjax.solvers.proximal import distance
from mtjax.typing import Array, Bool, Inexact, Int

Step = Callable[[Any, Any], Any]


def repeat(step: Step, plan: Any, state: Any, iterations: int) -> Any:
    """`step(plan, ·)` applied `iterations` times, as a scan; gradients are those of the unrolled iterations.

    Of each iteration only its state is kept for the gradient, the rest is computed again: on two CPU cores that takes
    a quarter less time than keeping all intermediate arrays, besides the memory.
    """
    once = jax.checkpoint(step)
    return lax.scan(lambda s, _: (once(plan, s), None), state, None, length=iterations)[0]


def converge(
    step: Step, tolerance: float, max_iterations: int, plan: Any, state: Any
) -> tuple[Any, Int[Array, "..."], Bool[Array, "..."]]:
    """Iterates `step(plan, ·)` from `state` until each example moves by at most `tolerance`, relative to its size.

    Leaves of a state are `[*b, H, W, C]`. An example that has converged, or whose next state is not finite, stays as
    it is while others go on, so its result depends on no other. Returns the states, and for each example how many
    steps it took and whether it converged. Gradients with respect to `plan` are implicit: with J the step's Jacobian
    at the fixed point, `(I − Jᵀ)⁻¹` is applied by the same kind of iteration, to the same tolerance. None flow to
    the initial state, on which a fixed point does not depend.
    """
    return _converge(step, tolerance, max_iterations, plan, lax.stop_gradient(state))


@partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _converge(step: Step, tolerance: float, max_iterations: int, plan: Any, state: Any) -> Any:
    return iterate(step, plan, state, tolerance, max_iterations)


def _forward(step: Step, tolerance: float, max_iterations: int, plan: Any, state: Any) -> Any:
    result = iterate(step, plan, state, tolerance, max_iterations)
    return result, (plan, result[0])


def _backward(step: Step, tolerance: float, max_iterations: int, saved: Any, cotangents: Any) -> Any:
    plan, fixed_point = saved
    _, pull = jax.vjp(step, plan, fixed_point)

    def adjoint_step(start: Any, w: Any) -> Any:
        return jax.tree.map(jnp.add, start, pull(w)[1])

    w, _, _ = iterate(adjoint_step, cotangents[0], cotangents[0], tolerance, max_iterations)
    return pull(w)[0], jax.tree.map(jnp.zeros_like, fixed_point)


_converge.defvjp(_forward, _backward)


def iterate(
    step: Step,
    plan: Any,
    state: Any,
    tolerance: float,
    max_iterations: int,
    measured: Callable[[Any], Any] = lambda state: state,
) -> tuple[Any, Int[Array, "..."], Bool[Array, "..."]]:
    """The loop of `converge`, which has no gradient; `measured(state)` is what has to stop moving."""

    def body(carry: Any) -> Any:
        state, count, active, converged, k = carry
        new = step(plan, state)
        moved = distance(measured(new), measured(state))
        finite = jnp.isfinite(moved)
        accept = active & finite
        state = jax.tree.map(partial(_choose, accept), new, state)
        converged = converged | (accept & (moved <= tolerance))
        return state, count + active, accept & ~converged, converged, k + 1

    batch = jax.tree.leaves(state)[0].shape[:-3]
    yes, no = jnp.ones(batch, bool), jnp.zeros(batch, bool)
    carry = (state, jnp.zeros(batch, jnp.int32), yes, no, 0)
    carry = lax.while_loop(lambda c: jnp.any(c[2]) & (c[4] < max_iterations), body, carry)
    return carry[0], carry[1], carry[3]


def _choose(accept: Bool[Array, "..."], new: Inexact[Array, "..."], old: Inexact[Array, "..."]) -> Any:
    return jnp.where(accept[..., None, None, None], new, old)

"""Running an iteration a fixed number of times, or until it no longer changes anything, with implicit gradients.

An iterative solver is `update(plan, state) -> (state, image)`: `plan` is all that does not change, the leaves of a
`state` are `[*b, H, W, C]` or `[*b, 1, 1, 1]`. `run` is all the rest.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax import lax

from mtjax.physics.operator import Operator
from mtjax.physics.sharding import DATA, parts
from mtjax.solvers.data_terms import DataTerm
from mtjax.solvers.priors import Prior
from mtjax.solvers.proximal import distance
from mtjax.solvers.solution import Solution, finish, fixed_count, stopped_status
from mtjax.typing import Array, Bool, Inexact, Int

Update = Callable[[Any, Any], tuple[Any, Any]]
Objective = Callable[[Any, Any], Any]
_LARGE = 2**15  # pixels from which on, on a CPU, images of a batch are solved one after the other


def _itself(state: Any) -> Any:
    return state


def run(
    update: Update,
    plan: Any,
    state: Any,
    plain: bool,
    *,
    iterations: int | None = None,
    tolerance: float | None = None,
    max_iterations: int = 500,
    trace: bool = False,
    objective: Objective | None = None,
    measured: Callable[[Any], Any] | None = None,
    smooth: tuple[Update, Callable[[Any], Any]] | None = None,
) -> Solution:
    """Iterates from `state`: `iterations` times (default 100), or until each example moves by at most `tolerance`.

    `plain`: give the image back as `[H, W]`. `objective(plan, image)` `[*b]` is put on the trace, where one is asked
    for. `measured(state)` is what has to stop moving (default: all of it). `smooth` = (update, state -> state) is an
    iteration without momentum or other memory, with the same fixed points, for the implicit gradients. All functions
    here are top-level ones: what they need is in `plan`. `residual` is the last relative change of `measured(state)`.
    ValueError for counts and tolerances that make no sense.
    """
    count = fixed_count(iterations, tolerance)
    settings = _Settings(update, measured or _itself, objective if trace else None, trace)
    if tolerance is None:
        solve = partial(_counted, settings, count)
    else:
        solve = partial(_until, settings, tolerance, max_iterations, smooth)
    s = _one_by_one(solve, plan, state)
    return finish(s.image, plain, s.status, s.iterations, s.residual, s.trace, s.state)


class _Settings(NamedTuple):
    """What belongs to the solver rather than to the problem: functions, and whether to record anything."""

    update: Update
    measured: Callable[[Any], Any] = _itself
    objective: Objective | None = None
    trace: bool = False

    def step(self, plan: Any, state: Any) -> Any:
        """The next state."""
        return self.update(plan, state)[0]

    def record(self, plan: Any, new: Any, image: Any, moved: Any) -> dict[str, Any]:
        """A line of the trace."""
        if not self.trace:
            return {}
        found = {} if self.objective is None else {"objective": self.objective(plan, image)}
        return {**found, "residual": moved}


def _counted(settings: _Settings, count: int, plan: Any, state: Any) -> Solution:
    def once(plan: Any, state: Any) -> Any:
        new, image = settings.update(plan, state)
        if not settings.trace:
            return new, {}
        return new, settings.record(plan, new, image, distance(settings.measured(new), settings.measured(state)))

    kept = jax.checkpoint(once)  # of each iteration only the state is stored for gradients, the rest computed again
    before, lines = lax.scan(lambda s, _: kept(plan, s), state, None, length=count - 1)
    after, image = settings.update(plan, before)
    residual = distance(settings.measured(after), settings.measured(before))
    last = settings.record(plan, after, image, residual)
    trace = {name: jnp.moveaxis(jnp.concatenate([lines[name], last[name][None]]), 0, -1) for name in last}
    return Solution(image, stopped_status(residual), jnp.asarray(count), residual, trace or None, after)


def _until(settings: _Settings, tolerance: float, max_iterations: int, smooth: Any, plan: Any, state: Any) -> Solution:
    if smooth is None:
        found: Any = _converge(settings, tolerance, max_iterations, plan, lax.stop_gradient(state))
        state, count, converged, lines = found
        after, image = settings.update(plan, state)
        residual = distance(settings.measured(after), settings.measured(state))
        ended = state
    else:
        update, convert = smooth
        found = iterate(settings, lax.stop_gradient(plan), lax.stop_gradient(state), tolerance, max_iterations)
        ended, count, converged, lines = lax.stop_gradient(found)
        plainly = _Settings(update)
        state = cast(Any, _converge(plainly, tolerance, max_iterations, plan, convert(ended)))[0]
        after, image = update(plan, state)
        residual = distance(after, state)
    trace = {name: jnp.moveaxis(values, 0, -1) for name, values in lines.items()}
    return Solution(image, stopped_status(residual, converged), count, residual, trace or None, ended)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _converge(settings: _Settings, tolerance: float, max_iterations: int, plan: Any, state: Any) -> Any:
    """`iterate`, with implicit gradients with respect to `plan`.

    With J the step's Jacobian at the fixed point, `(I − Jᵀ)⁻¹` is applied by the same kind of iteration, to the same
    tolerance. No gradients flow to the initial state, on which a fixed point does not depend.
    """
    return iterate(settings, plan, state, tolerance, max_iterations)


def _forward(settings: _Settings, tolerance: float, max_iterations: int, plan: Any, state: Any) -> Any:
    result = iterate(settings, plan, state, tolerance, max_iterations)
    return result, (plan, result[0])


def _backward(settings: _Settings, tolerance: float, max_iterations: int, saved: Any, cotangents: Any) -> Any:
    plan, fixed_point = saved
    _, pull = jax.vjp(settings.step, plan, fixed_point)

    def adjoint(start: Any, w: Any) -> Any:
        return jax.tree.map(jnp.add, start, pull(w)[1]), None

    w, _, _, _ = iterate(_Settings(adjoint), cotangents[0], cotangents[0], tolerance, max_iterations)
    return pull(w)[0], jax.tree.map(jnp.zeros_like, fixed_point)


_converge.defvjp(_forward, _backward)


def iterate(
    settings: _Settings, plan: Any, state: Any, tolerance: float, max_iterations: int
) -> tuple[Any, Int[Array, "..."], Bool[Array, "..."], dict[str, Any]]:
    """The loop until each example has come to rest; it has no gradient.

    An example that has converged, or whose next state is not finite, stays as it is while others go on, so its result
    depends on no other. Returns the states, for each example how many steps it took and whether it converged, and the
    trace `[max_iterations, *b]`, NaN after an example's last step.
    """

    def body(carry: Any) -> Any:
        state, count, active, converged, k, lines = carry
        new, image = settings.update(plan, state)
        moved = distance(settings.measured(new), settings.measured(state))
        accept = active & jnp.isfinite(moved)
        line = settings.record(plan, new, image, moved)
        lines = {name: lines[name].at[k].set(jnp.where(accept, line[name], jnp.nan)) for name in lines}
        state = jax.tree.map(partial(_choose, accept), new, state)
        converged = converged | (accept & (moved <= tolerance))
        return state, count + active, accept & ~converged, converged, k + 1, lines

    batch = jax.tree.leaves(state)[0].shape[:-3]
    yes, no = jnp.ones(batch, bool), jnp.zeros(batch, bool)
    kind = jax.eval_shape(lambda: settings.record(plan, *settings.update(plan, state), distance(state, state)))
    lines = {name: jnp.full((max_iterations, *batch), jnp.nan, line.dtype) for name, line in kind.items()}
    carry = (state, jnp.zeros(batch, jnp.int32), yes, no, 0, lines)
    carry = lax.while_loop(lambda c: jnp.any(c[2]) & (c[4] < max_iterations), body, carry)
    return carry[0], carry[1], carry[3], carry[5]


def _choose(accept: Bool[Array, "..."], new: Inexact[Array, "..."], old: Inexact[Array, "..."]) -> Any:
    return jnp.where(accept[..., None, None, None], new, old)


def _one_by_one(solve: Callable[[Any, Any], Solution], plan: Any, state: Any) -> Solution:
    """`solve(plan, state)`, on a CPU for one image of a batch after the other if they are large.

    What one large image needs stays in the cache from one iteration to the next; what all of them need does not. Each
    image then also does only as many iterations as it needs itself.
    """
    shape = max((leaf.shape for leaf in jax.tree.leaves(state)), key=len)
    large = len(shape) == 4 and shape[0] > 1 and shape[1] * shape[2] * shape[3] >= _LARGE
    if not large or jax.default_backend() != "cpu" or not _shared(plan) or parts(DATA) > 1:
        return solve(plan, state)
    leaves, tree = jax.tree.flatten((plan, state))
    batched = [leaf.ndim == 4 and leaf.shape[0] == shape[0] for leaf in leaves]
    common = [leaf[0] if leaf.ndim == 4 else leaf for leaf, own in zip(leaves, batched, strict=True) if not own]

    def one(own: list[Any]) -> Solution:
        first, second = iter(own), iter(common)
        return solve(*jax.tree.unflatten(tree, [next(first) if each else next(second) for each in batched]))

    return lax.map(one, [leaf for leaf, own in zip(leaves, batched, strict=True) if own])


def _shared(plan: Any) -> bool:
    """Whether the operators, priors and data terms in a plan are the same for all examples, as far as one can see."""
    parts = jax.tree.leaves(plan, is_leaf=lambda node: isinstance(node, Operator | Prior | DataTerm))
    operators = [leaf for part in parts if isinstance(part, Operator) for leaf in jax.tree.leaves(part)]
    functions = [leaf for part in parts if isinstance(part, Prior | DataTerm) for leaf in jax.tree.leaves(part)]
    return all(leaf.ndim <= 3 for leaf in operators) and all(leaf.ndim == 0 for leaf in functions)

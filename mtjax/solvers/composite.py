"""The proximal map of priors and a constraint together: a formula where there is one, else steps on their dual."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from mtjax.physics.operator import total
from mtjax.pytree import pytree, static
from mtjax.solvers.bounds import squared_norm
from mtjax.solvers.problem import Problem
from mtjax.solvers.proximal import per_example
from mtjax.solvers.transforms import is_orthogonal
from mtjax.typing import Array, Inexact

Values = Inexact[Array, "..."]
Duals = list[Any]  # a value for each prior, in the range of its analysis; empty where the map has a formula


@pytree
class Regularizer:
    """`h(x) = Σ gᵢ(Lᵢ x) + constraint(x)` of a problem, as its proximal map needs it."""

    problem: Problem
    rate: Values | None = None  # step on the dual, 1 / Σ ‖Lᵢ‖²; None where there is a formula
    inner: int = static(default=1)

    def start(self) -> Duals:
        """Dual variables 0."""
        if self.rate is None:
            return []
        like = self.problem.like
        shapes = [jax.eval_shape(prior.analysis, like) for prior in self.problem.priors]
        return jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

    def prox(self, v: Values, t: Any, duals: Duals) -> tuple[Values, Duals]:
        """`argmin_x t h(x) + ½‖x − v‖²` and its dual variables, given those of a similar problem to start from.

        With one prior, whose analysis is the identity or orthogonal, and no constraint: `Lᴴ prox(L v)`. Otherwise
        `inner` projected gradients with momentum on the dual (Beck and Teboulle, 2009): exact in the limit only, which
        an iteration that starts each of its maps where the last ended reaches with its own. The variables are those of
        the dual divided by their step.
        """
        problem = self.problem
        if self.rate is None:
            for prior in problem.priors:
                v = prior.analysis.adjoint(prior.prox(prior.analysis(v), t))
            return problem.constrain(v, t), duals

        def primal(u: Duals) -> Values:
            pulled = total([prior.analysis.adjoint(part) for prior, part in zip(problem.priors, u, strict=True)])
            return problem.constrain(v - self.rate * pulled, t)

        @jax.checkpoint
        def once(state: tuple[Duals, Duals], momentum: Values) -> tuple[tuple[Duals, Duals], None]:
            last, ahead = state
            x = primal(ahead)
            raised = [
                jax.tree.map(jnp.add, part, prior.analysis(x))
                for prior, part in zip(problem.priors, ahead, strict=True)
            ]
            shrunk = [prior.prox(part, t / self.rate) for prior, part in zip(problem.priors, raised, strict=True)]
            new = jax.tree.map(jnp.subtract, raised, shrunk)
            return (new, jax.tree.map(lambda a, b: a + momentum * (a - b), new, last)), None

        momentum = jnp.asarray(_momentum(self.inner), jnp.finfo(v.dtype).dtype)
        (duals, _), _ = lax.scan(once, (duals, duals), momentum)
        return primal(duals), duals


def make_regularizer(problem: Problem, inner: int) -> Regularizer:
    """That of a problem; ValueError for fewer than one inner iteration."""
    if inner < 1:
        raise ValueError(f"inner={inner} does nothing; expected at least 1")
    priors, like = problem.priors, problem.like
    free = not priors or (len(priors) == 1 and problem.constraint is None and is_orthogonal(priors[0].analysis))
    if free:
        return Regularizer(problem)
    bound = total([squared_norm(prior.analysis) for prior in priors])
    return Regularizer(problem, per_example(1 / bound, like), inner)


def _momentum(count: int) -> list[float]:
    """`(tₖ − 1) / tₖ₊₁` of Beck and Teboulle."""
    t, found = 1.0, []
    for _ in range(count):
        longer = (1 + math.sqrt(1 + 4 * t * t)) / 2
        found.append((t - 1) / longer)
        t = longer
    return found

"""The one problem that all variational solvers solve: `φ(A x; y) + Σ gᵢ(Lᵢ x) + constraint(x)`."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from mtjax.physics.operator import Identity, Operator, Pixels, Shape
from mtjax.pytree import pytree, replace, static
from mtjax.solvers.data_terms import L2, DataTerm
from mtjax.solvers.fixed_point import Update, run
from mtjax.solvers.interpolate import bicubic
from mtjax.solvers.priors import Prior
from mtjax.solvers.solution import Solution, as_images, image_like, start_image
from mtjax.typing import Array, Float, Inexact

Values = Inexact[Array, "..."]


@pytree
class Problem:
    """What is to be minimized over `x`, an image like `like`.

    A prior that needs unknowns beside the image (`TGV`) finds them in further channels of `x`, behind the image's.
    """

    y: Any
    operator: Operator
    data: DataTerm
    priors: tuple[Prior, ...]
    constraint: Any  # a prior whose analysis is the identity, or None
    like: jax.ShapeDtypeStruct = static()
    channels: int = static()  # of the image
    plain: bool = static()  # y came as [H, W], and so the image is to be given back

    def deliver(self, solution: Solution) -> Solution:
        """The solution without unknowns beside the image, in the form in which `y` came."""
        image = solution.image[..., : self.channels]
        return replace(solution, image=image[..., 0] if self.plain and self.channels == 1 else image)

    def objective(self, x: Values) -> Float[Array, "..."]:
        """The value of each example, `[*b]`; infinite outside the constraint."""
        value = self.data.value(self.operator(x), self.y)
        for prior in self.functions:
            value = value + prior.value(x)
        return value

    def constrain(self, x: Values, t: Any) -> Values:
        """The proximal map of `t` times the constraint: mostly the nearest image that satisfies it."""
        if self.constraint is None:
            return x
        if isinstance(self.constraint, Lifted):
            image = self.constraint.take(x)
            return x + self.constraint.take.adjoint(self.constraint.prox(image, t) - image)
        return self.constraint.prox(x, t)

    def penalty(self) -> Values:
        """A penalty to start from: that which the first prior recommends, if its weight is not 0."""
        recommended = lax.stop_gradient(jnp.asarray(self.functions[0].penalty() if self.functions else 0.0))
        return jnp.where(recommended > 0, recommended, 2e-2)

    @property
    def functions(self) -> tuple[Prior, ...]:
        """The priors, and the constraint if there is one."""
        return self.priors if self.constraint is None else (*self.priors, self.constraint)


@pytree
class Leading(Operator):
    """The first `channels` channels of an image of `count` times as many."""

    channels: int = static()
    count: int = static()

    def __call__(self, x: Pixels, /) -> Values:
        """The first channels."""
        return x[..., : self.channels]

    def adjoint(self, y: Pixels, /) -> Values:
        """Zeros in the other channels."""
        return jnp.pad(y, [(0, 0)] * (y.ndim - 1) + [(0, (self.count - 1) * self.channels)])

    def norm_bound(self) -> Array:
        """1."""
        return jnp.ones(())

    def output_shape(self, image_shape: Shape) -> Shape:
        """With fewer channels."""
        return (*image_shape[:-1], self.channels)

    def input_shape(self, y_shape: Shape) -> Shape:
        """With all channels."""
        return (*y_shape[:-1], self.count * self.channels)


@pytree
class Lifted(Prior):
    """A prior of the image alone, where there are further channels."""

    prior: Prior
    take: Leading

    @property
    def analysis(self) -> Operator:
        """The prior's, of the first channels."""
        return self.prior.analysis @ self.take

    def value(self, x: Pixels, /) -> Float[Array, "..."]:
        """The prior's value of the first channels."""
        return self.prior.value(self.take(x))

    def prox(self, v: Any, t: Any, /) -> Any:
        """The prior's."""
        return self.prior.prox(v, t)

    def remainder(self, v: Any, t: Any, /) -> Any:
        """The prior's."""
        return self.prior.remainder(v, t)


def pose(
    y: Any,
    operator: Operator,
    prior: Prior | Sequence[Prior] | None,
    data: DataTerm | None = None,
    constraint: Prior | None = None,
) -> Problem:
    """The problem of some arguments of a solver; `data` is `L2()` unless given.

    ValueError for observations that do not fit the operator, or priors that exclude each other.
    """
    priors = () if prior is None else (prior,) if isinstance(prior, Prior) else tuple(prior)
    if constraint is not None and not isinstance(constraint, Prior):
        raise ValueError(f"constraint={constraint!r} is not a prior; expected one such as NonNegative() or Box(0, 1)")
    if constraint is not None and not isinstance(constraint.analysis, Identity):
        raise ValueError(f"constraint={type(constraint).__name__} is not one on the image itself; give it as a prior")
    y, plain = as_images(y)
    like = image_like(y, operator)
    data = L2() if data is None else data
    channels = like.shape[-1]
    lifting = [p for p in priors if p.lift > 1]
    if len(lifting) > 1:
        raise ValueError(f"prior has {len(lifting)} terms with unknowns of their own; expected one at most")
    if lifting:
        count = lifting[0].lift
        take = Leading(channels, count)
        priors = tuple(p if p.lift > 1 else Lifted(p, take) for p in priors)
        constraint = None if constraint is None else Lifted(constraint, take)
        like = jax.ShapeDtypeStruct((*like.shape[:-1], count * channels), like.dtype)
        operator = operator @ take
    return Problem(y, operator, data, priors, constraint, like, channels, plain)


def initial_image(problem: Problem, init: Any) -> Values | None:
    """The unknowns that belong to the image, or the earlier solution, `init`; None if that is None."""
    if init is None:
        return None
    like = problem.like
    image = start_image(init, jax.ShapeDtypeStruct((*like.shape[:-1], problem.channels), like.dtype))
    more = problem.like.shape[-1] - problem.channels
    return jnp.pad(image, [(0, 0)] * (image.ndim - 1) + [(0, more)]) if more else image


def first_image(problem: Problem, init: Any) -> Values:
    """`initial_image`, or a plain interpolation of the observation."""
    image = initial_image(problem, init)
    return bicubic(problem.y, problem.operator).image if image is None else image


def warm(init: Any, fresh: Any) -> Any:
    """The state in which `init`, an earlier `Solution` of the same solver and sizes, ended; else `fresh`."""
    if not isinstance(init, Solution) or init.state is None:
        return fresh
    described = [jax.tree.map(lambda a: (jnp.shape(a), jnp.result_type(a)), state) for state in (init.state, fresh)]
    return init.state if described[0] == described[1] else fresh


def minimize(
    update: Update,
    plan: Any,
    state: Any,
    init: Any,
    iterations: int | None,
    tolerance: float | None,
    max_iterations: int,
    trace: bool,
    **more: Any,
) -> Solution:
    """`fixed_point.run` for a `plan` with a `problem`, from where the solution `init` ended, or else from `state`."""
    solution = run(
        update,
        plan,
        warm(init, state),
        False,
        iterations=iterations,
        tolerance=tolerance,
        max_iterations=max_iterations,
        trace=trace,
        objective=_objective,
        **more,
    )
    return plan.problem.deliver(solution)


def _objective(plan: Any, x: Values) -> Values:
    return plan.problem.objective(x)

"""How ADMM splits a problem: its terms, and an x-update in closed form wherever the operator allows one."""

from typing import Any

import jax
import jax.numpy as jnp

from mtjax.physics.operator import Identity, Operator, Shape, fourier, inverse_fourier, total
from mtjax.pytree import pytree, static
from mtjax.solvers.interpolate import fill_in
from mtjax.solvers.normal import circular_inverse, conjugate_gradient
from mtjax.solvers.priors import Prior
from mtjax.typing import Array, Inexact

Values = Inexact[Array, "..."]
State = Any  # one v = L x + u for each term; and the last x where conjugate gradients start from it


@pytree
class Selection:
    """The data term `½‖D z − y‖²` of an operator `D` whose `DᴴD` is pixelwise, as a term of its own."""

    weights: Values  # diagonal of DᴴD
    target: Values  # Dᴴ y

    def prox(self, v: Values, t: Values) -> Values:
        """`argmin_z t/2 ‖D z − y‖² + ½‖z − v‖²`, pixel by pixel."""
        return (v + t * self.target) / (1 + t * self.weights)


@pytree
class Term:
    """One term `g(L x)` and its penalty `rho`."""

    operator: Operator
    function: Any  # has prox(v, t)
    rho: Values
    transfer: Any  # of L, where L is cheaper in the Fourier domain

    def gram(self, shape: Shape, dtype: Any) -> Values | None:
        """Spectrum of `ρ LᴴL` where that is circular, or None."""
        return _times(self.rho, self.operator.gram(shape, dtype))

    def approximate_gram(self, shape: Shape, dtype: Any) -> Values | None:
        """Spectrum of a circular convolution near `ρ LᴴL`, or None."""
        return _times(self.rho, self.operator.approximate_gram(shape, dtype))


def _times(rho: Values, spectrum: Values | None) -> Values | None:
    return None if spectrum is None else rho * spectrum


@pytree
class Plan:
    """All that does not change from one iteration to the next."""

    terms: tuple[Term, ...]
    inverse: Any  # spectrum of (AᴴA + Σ ρ LᴴL)⁻¹; None: conjugate gradients
    constant: Any  # Aᴴ y if `A` is in the x-update; its spectrum times `inverse`, if that is known
    operator: Any  # A, where conjugate gradients need it
    like: jax.ShapeDtypeStruct = static()  # the image, its shape and dtype


def make_plan(y: Any, operator: Operator, priors: list[Prior], rho: Values, like: jax.ShapeDtypeStruct) -> Plan:
    """Chooses the x-update for `½‖A x − y‖² + Σ gᵢ(Lᵢ x)`.

    1. `A` and all `Lᵢ` circular: one division of spectra.
    2. `A = D B`, `DᴴD` pixelwise and `B` circular (masks, masks after blurs, decimation after a blur, "valid" blurs,
       whose unknown border is thus recovered too: Almeida and Figueiredo, 2013): `½‖D z − y‖²` with `z = B x` becomes
       a term of its own, and the x-update is again one division of spectra.
    3. Otherwise conjugate gradients, started from the last `x` and preconditioned by the nearest circular problem.
    """
    shape, dtype = like.shape, like.dtype
    terms = tuple(Term(prior.analysis, prior, rho, None) for prior in priors)
    regularized = total([term.gram(shape, dtype) for term in terms])
    gram = operator.gram(shape, dtype)
    if regularized is not None and gram is not None:
        inverse = _inverse(gram + regularized)
        return Plan(terms, inverse, inverse * fourier(operator.adjoint(y)), None, like)
    parts = operator.split(shape, dtype)
    if regularized is not None and parts is not None:
        data = _data_term(y, *parts, rho, like)
        inverse = _inverse(total([data.gram(shape, dtype), regularized]))
        return Plan((data, *terms), inverse, None, None, like)
    return Plan(terms, None, operator.adjoint(y), operator, like)


def _inverse(spectrum: Values) -> Values:
    """1 / spectrum; where a frequency is seen by no term it is left out."""
    return jnp.where(spectrum > 0, 1 / jnp.where(spectrum > 0, spectrum, 1), 0)


def _data_term(y: Any, selection: Operator, blur: Operator, rho: Values, like: jax.ShapeDtypeStruct) -> Term:
    middle = blur.output_shape(like.shape)
    ones = jnp.ones((1,) * (len(middle) - 3) + middle[-3:], like.dtype)
    data = Selection(weights=selection.normal(ones), target=selection.adjoint(y))
    simple = isinstance(blur, Identity)
    # Any positive multiple leads to the same image; these came nearest to it in 10 to 100 iterations on photographs.
    transfer = None if simple else blur.transfer(like.shape, like.dtype)
    return Term(blur, data, rho * (2 if simple else 10), transfer)


def initial_state(plan: Plan, init: Values | None, like: jax.ShapeDtypeStruct) -> State:
    """`v = L x` for the image `init`; without one, 0, or a smooth fill-in where pixels are missing."""
    data = plan.terms[0].function if isinstance(plan.terms[0].function, Selection) else None
    if init is None and data is not None:
        init = jnp.broadcast_to(fill_in(data.target, data.weights), like.shape)
    if init is None:
        image = jnp.zeros(like.shape, like.dtype)
        v = [jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(t.operator, image)) for t in plan.terms]
        init = plan.constant if plan.inverse is None else None
    else:
        v = [term.operator(init) for term in plan.terms]
    return tuple(v) if plan.inverse is not None else (*v, init)


def update(plan: Plan, state: State) -> tuple[State, Values]:
    """One iteration of ADMM: the next state, and the image `x` that it computed on the way.

    With `v = L x + u`, both `z = prox(v)` and `u = v − z` follow from `v`, so that it is the whole state; the x-update
    needs `z − u = 2 z − v`.
    """
    v = state[: len(plan.terms)]
    z = [term.function.prox(part, 1 / term.rho) for term, part in zip(plan.terms, v, strict=True)]
    pull = [jax.tree.map(lambda a, b: 2 * a - b, one, part) for one, part in zip(z, v, strict=True)]
    if plan.inverse is None:
        x, spectrum = _solve(plan, pull, state[-1]), None
    else:
        spectrum = _divide(plan, pull)
        x = inverse_fourier(spectrum, plan.like)
    new = tuple(
        jax.tree.map(lambda a, b, c: a + (b - c), _apply(term, x, spectrum), part, one)
        for term, part, one in zip(plan.terms, v, z, strict=True)
    )
    return (new if plan.inverse is not None else (*new, x)), x


def step(plan: Plan, state: State) -> State:
    """`update`, without the image."""
    return update(plan, state)[0]


def _divide(plan: Plan, pull: list[Any]) -> Values:
    """Spectrum of the x-update."""
    pairs = list(zip(plan.terms, pull, strict=True))
    near = [t.rho * t.operator.adjoint(d) for t, d in pairs if t.transfer is None]
    far = [t.rho * t.transfer.conj() * fourier(d) for t, d in pairs if t.transfer is not None]
    spectrum = plan.inverse * total(([fourier(total(near))] if near else []) + far)
    return spectrum if plan.constant is None else plan.constant + spectrum


def _apply(term: Term, x: Values, spectrum: Values | None) -> Any:
    return term.operator(x) if term.transfer is None else inverse_fourier(term.transfer * spectrum, x)


def _solve(plan: Plan, pull: list[Any], start: Values) -> Values:
    """The x-update by conjugate gradients."""
    operator, shape, dtype = plan.operator, plan.like.shape, plan.like.dtype
    b = plan.constant + sum(t.rho * t.operator.adjoint(d) for t, d in zip(plan.terms, pull, strict=True))

    def matvec(x: Values) -> Values:
        return operator.normal(x) + sum(t.rho * t.operator.normal(x) for t in plan.terms)

    gram = total([part.approximate_gram(shape, dtype) for part in (operator, *plan.terms)])
    return conjugate_gradient(matvec, b, start, circular_inverse(gram, 0))[0]

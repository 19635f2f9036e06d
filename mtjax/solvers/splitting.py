"""How ADMM and half-quadratic splitting see a problem: its terms, and an x-update in closed form where there is one."""

from typing import Any

import jax
import jax.numpy as jnp

from mtjax.physics.operator import Identity, Operator, fourier, inverse_fourier, total
from mtjax.pytree import pytree, replace, static
from mtjax.solvers.aliased import aliased_inverse
from mtjax.solvers.data_terms import L2, DataTerm, WeightedL2
from mtjax.solvers.interpolate import fill_in
from mtjax.solvers.normal import circular_inverse, conjugate_gradient, data_prox
from mtjax.solvers.problem import Problem
from mtjax.solvers.transforms import is_orthogonal
from mtjax.typing import Array, Inexact

Values = Inexact[Array, "..."]
Parts = list[Any]  # one value for each term, in the range of its operator
DATA = 10  # how many times a prior's penalty that of a data term is: what came nearest in 100 iterations on photographs


@pytree
class Selection:
    """The data term `½ Σ w |D z − y|²` of an operator `D` with `DᴴD` pixelwise, as a term of its own."""

    weights: Values  # diagonal of Dᴴ w D
    target: Values  # Dᴴ w y

    def prox(self, v: Values, t: Values) -> Values:
        """`argmin_z t/2 Σ w |D z − y|² + ½‖z − v‖²`, pixel by pixel."""
        return (v + t * self.target) / (1 + t * self.weights)

    def remainder(self, v: Values, t: Values) -> Values:
        """`v − prox(v, t)`."""
        return t * (self.weights * v - self.target) / (1 + t * self.weights)


@pytree
class Fidelity:
    """A data term and its observation, as a term of `z = A x`."""

    data: DataTerm
    y: Any

    def prox(self, v: Any, t: Any) -> Any:
        """The data term's."""
        return self.data.prox(v, t, self.y)

    def remainder(self, v: Any, t: Any) -> Any:
        """`v − prox(v, t)`."""
        return jax.tree.map(jnp.subtract, v, self.prox(v, t))


@pytree
class Term:
    """One term `g(L x)` and its penalty `rho`."""

    operator: Operator
    function: Any  # has prox(v, t) and remainder(v, t), what prox takes away
    rho: Values
    transfer: Any = None  # of L, where L is cheaper in the Fourier domain


@pytree
class Plan:
    """All that does not change from one iteration to the next.

    The x-update minimizes `½‖A x − y‖² + Σ ρᵢ/2 ‖Lᵢ x − dᵢ‖²`, without its first part where the data term is one of
    the terms: by one division of spectra where there are `grams`, group by group of frequencies where these are
    `aliased`, by `data_prox` if that is `exact`, by conjugate gradients otherwise.
    """

    problem: Problem
    terms: tuple[Term, ...]
    grams: Any = None  # spectra of AᴴA (0 if it is one of the terms) and of Σ ρ LᴴL
    inverse: Any = None  # of their sum
    constant: Any = None  # Aᴴ y, its spectrum where there are grams; None if A is one of the terms
    aliased: Any = None
    exact: bool = static(default=False)

    @property
    def direct(self) -> bool:
        """Whether the x-update needs no image to start from."""
        return self.exact or self.inverse is not None or self.aliased is not None

    def scaled(self, factor: Values) -> "Plan":
        """The same plan, with every penalty multiplied by `factor`."""
        terms = tuple(replace(term, rho=factor * term.rho) for term in self.terms)
        if self.aliased is not None:
            return replace(self, terms=terms, aliased=self.aliased.scaled(factor))
        if self.grams is None:
            return replace(self, terms=terms)
        grams = (self.grams[0], factor * self.grams[1])
        return replace(self, terms=terms, grams=grams, inverse=_inverse(grams[0] + grams[1]))


def make_plan(problem: Problem, rho: Values) -> Plan:
    """Chooses the x-update.

    1. `A` and all `Lᵢ` circular, squared error: one division of spectra.
    2. All `Lᵢ` orthogonal, squared error, and `AAᴴ` pixelwise or circular (masks, decimation after a blur): the closed
       form of `data_prox`.
    3. A burst of decimated circular convolutions, all `Lᵢ` circular, squared error: a small system for each group of
       frequencies that decimation does not tell apart, whose cost does not depend on the number of frames.
    4. `A = D B`, `DᴴD` pixelwise and `B` circular (masks, masks after blurs, decimation after a blur, "valid" blurs,
       whose unknown border is thus recovered too: Almeida and Figueiredo, 2013), (weighted) squared error: that of
       `z = B x` becomes a term of its own, and the x-update is again one division of spectra.
    5. Any other data term: it becomes a term of `z = A x`.
    6. Where a division of spectra is not enough: conjugate gradients, started from the last `x` and preconditioned by
       the nearest circular problem.
    """
    operator, data, y = problem.operator, problem.data, problem.y
    shape, dtype = problem.like.shape, problem.like.dtype
    terms = tuple(Term(prior.analysis, prior, rho) for prior in problem.functions)
    if isinstance(data, L2):
        gram = operator.gram(shape, dtype)
        regularized = _regularized(problem, terms)
        if gram is not None and regularized is not None:
            grams = (gram, regularized)
            return Plan(problem, terms, grams, _inverse(grams[0] + grams[1]), fourier(operator.adjoint(y)))
        if terms and all(is_orthogonal(term.operator) for term in terms) and _has_closed_form(problem):
            return Plan(problem, terms, exact=True)
        whole = _regularized(problem, terms, jnp.result_type(dtype, jnp.complex64))
        aliased = aliased_inverse(operator, whole, problem.like)
        if aliased is not None:
            return Plan(problem, terms, constant=operator.adjoint(y), aliased=aliased)
    separate = None
    if isinstance(data, L2 | WeightedL2):
        separate = _selection(problem, rho)
        if separate is None and isinstance(data, L2):
            return Plan(problem, terms, constant=operator.adjoint(y))
    return plan_of_terms(problem, (separate or fidelity(problem, rho), *terms))


def fidelity(problem: Problem, rho: Values) -> Term:
    """The data term as one of `z = A x`; `rho` is the priors' penalty."""
    operator, like = problem.operator, problem.like
    transfer = None if isinstance(operator, Identity) else operator.transfer(like.shape, like.dtype)
    return Term(operator, Fidelity(problem.data, problem.y), DATA * rho, transfer)


def plan_of_terms(problem: Problem, terms: tuple[Term, ...]) -> Plan:
    """The plan of an x-update in which there is nothing but these terms."""
    regularized = _regularized(problem, terms)
    if regularized is None:
        return Plan(problem, terms)
    grams = (jnp.zeros_like(regularized), regularized)
    return Plan(problem, terms, grams, _inverse(regularized))


def _regularized(problem: Problem, terms: tuple[Term, ...], dtype: Any = None) -> Values | None:
    """Spectrum of `Σ ρ LᴴL` for images of this dtype (default: the problem's) where that is circular, or None."""
    shape, dtype = problem.like.shape, problem.like.dtype if dtype is None else dtype
    grams = [term.operator.gram(shape, dtype) for term in terms]
    return total([None if g is None else term.rho * g for term, g in zip(terms, grams, strict=True)])


def _has_closed_form(problem: Problem) -> bool:
    operator, like = problem.operator, problem.like
    if operator.diagonal(like.shape, like.dtype) is not None:
        return True
    return operator.range_gram(operator.output_shape(like.shape), like.dtype) is not None


def _inverse(spectrum: Values) -> Values:
    """1 / spectrum; where a frequency is seen by no term it is left out."""
    return jnp.where(spectrum > 0, 1 / jnp.where(spectrum > 0, spectrum, 1), 0)


def _selection(problem: Problem, rho: Values) -> Term | None:
    """The data term as one of `z = B x`, where `A = D B`; None unless all of the x-update is circular then."""
    like = problem.like
    parts = problem.operator.split(like.shape, like.dtype)
    circular = [prior.analysis.gram(like.shape, like.dtype) is not None for prior in problem.functions]
    if parts is None or not all(circular):
        return None
    selection, blur = parts
    middle = blur.output_shape(like.shape)
    ones = jnp.ones((1,) * (len(middle) - 3) + middle[-3:], like.dtype)
    weights: Any = problem.data.weights.astype(like.dtype) if isinstance(problem.data, WeightedL2) else 1
    data = Selection(
        weights=selection.adjoint(weights * selection(ones)), target=selection.adjoint(weights * problem.y)
    )
    simple = isinstance(blur, Identity)
    transfer = None if simple else blur.transfer(like.shape, like.dtype)
    return Term(blur, data, rho * (2 if simple else DATA), transfer)


def first_guess(plan: Plan, image: Values | None) -> tuple[Values, bool]:
    """An image to start from, and whether it is more than zeros: `image`, or a fill-in where pixels are missing."""
    if image is not None:
        return image, True
    like = plan.problem.like
    function = plan.terms[0].function if plan.terms else None
    if isinstance(function, Selection):
        return jnp.broadcast_to(fill_in(function.target, function.weights), like.shape), True
    return jnp.zeros(like.shape, like.dtype), False


def analyze(plan: Plan, image: Values) -> Parts:
    """`Lᵢ x`."""
    return [term.operator(image) for term in plan.terms]


def solve_x(plan: Plan, pull: Parts, start: Values | None) -> tuple[Values, Parts]:
    """The x-update with `dᵢ = pull`: `x` and its `Lᵢ x`; `start` is where conjugate gradients begin."""
    if plan.inverse is not None:
        spectrum = _divide(plan, pull)
        x = inverse_fourier(spectrum, plan.problem.like)
        return x, [_apply(term, x, spectrum) for term in plan.terms]
    if plan.exact:
        x = _closed_form(plan, pull)
    else:
        right = _right_side(plan, pull)
        x = plan.aliased(right) if plan.aliased is not None else _iterate(plan, right, start)
    return x, analyze(plan, x)


def _right_side(plan: Plan, pull: Parts) -> Values:
    """`Aᴴ y + Σ ρ Lᴴ d`."""
    pulled = [t.rho * t.operator.adjoint(d) for t, d in zip(plan.terms, pull, strict=True)]
    return total(pulled if plan.constant is None else [plan.constant, *pulled])


def _divide(plan: Plan, pull: Parts) -> Values:
    """Spectrum of the x-update."""
    pairs = list(zip(plan.terms, pull, strict=True))
    near = [t.rho * t.operator.adjoint(d) for t, d in pairs if t.transfer is None]
    far = [t.rho * t.transfer.conj() * fourier(d) for t, d in pairs if t.transfer is not None]
    known = [] if plan.constant is None else [plan.constant]
    return plan.inverse * total(known + ([fourier(total(near))] if near else []) + far)


def _apply(term: Term, x: Values, spectrum: Values) -> Any:
    return term.operator(x) if term.transfer is None else inverse_fourier(term.transfer * spectrum, x)


def _closed_form(plan: Plan, pull: Parts) -> Values:
    penalty = total([term.rho for term in plan.terms])
    pairs = zip(plan.terms, pull, strict=True)
    z = total([term.rho / penalty * term.operator.adjoint(d) for term, d in pairs])
    return data_prox(z, plan.problem.y, plan.problem.operator, penalty)


def _iterate(plan: Plan, right: Values, start: Values | None) -> Values:
    """The x-update by conjugate gradients."""
    shape, dtype = plan.problem.like.shape, plan.problem.like.dtype
    data = [] if plan.constant is None else [plan.problem.operator]

    def matvec(x: Values) -> Values:
        return total([op.normal(x) for op in data] + [t.rho * t.operator.normal(x) for t in plan.terms])

    grams = [op.approximate_gram(shape, dtype) for op in data]
    for term in plan.terms:
        gram = term.operator.approximate_gram(shape, dtype)
        grams.append(None if gram is None else term.rho * gram)
    return conjugate_gradient(matvec, right, start, circular_inverse(total(grams), 0))[0]

"""The solvers and priors that a config or the command line may name.

An entry of `SOLVERS` says how to run it (`run(y, operator, /, **params)`, its keyword-only parameters being what a
config may set), which parameters may be searched for, what problem it solves, and where it comes from.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple

from mtjax.physics.operator import Identity, Operator
from mtjax.physics.tomography import Radon
from mtjax.registry import accepted, lookup
from mtjax.solvers.admm import admm
from mtjax.solvers.data_terms import L1, L2, DataTerm, Huber, Poisson
from mtjax.solvers.denoise import denoise_tv
from mtjax.solvers.filtered_back_projection import filtered_back_projection
from mtjax.solvers.interpolate import bicubic, lanczos
from mtjax.solvers.priors import Prior, TotalVariation
from mtjax.solvers.solution import Solution
from mtjax.solvers.wiener import wiener

PRIORS: dict[str, Callable[..., Prior]] = {"tv": TotalVariation}
_DATA_TERMS: dict[str, Callable[[], DataTerm]] = {"l2": L2, "l1": L1, "huber": Huber, "poisson": Poisson}


class SolverInfo(NamedTuple):
    """A solver as a config names it.

    `run(y, operator, /, **params) -> Solution`; `tunable` maps parameters to the range in which to search for them;
    `problem` is what it solves, `source` where it comes from.
    """

    run: Callable[..., Solution]
    tunable: dict[str, tuple[float, float]]
    problem: str
    source: str


def make(spec: Mapping[str, Any]) -> tuple[Callable[..., Solution], dict[str, tuple[float, float]]]:
    """From `{"kind": name, **params}` to `(solve, tunable)`: `solve(y, operator, **values)`, values of `tunable`.

    A parameter that the node fixes is not tunable. ValueError, with the nearest name, for an unknown kind.
    """
    params = dict(spec)
    entry = lookup(SOLVERS, params.pop("kind"), "solver")
    fixed = set(params) | set(params.get("prior") or {})
    return partial(entry.run, **params), {name: span for name, span in entry.tunable.items() if name not in fixed}


def _wiener(
    y: Any,
    operator: Operator,
    /,
    *,
    noise_to_signal: Any = 1e-2,
    regularizer: Literal["white", "laplacian"] = "laplacian",
) -> Solution:
    return wiener(y, operator, noise_to_signal, regularizer)


def _prior(node: Mapping[str, Any] | None, weight: Any) -> Prior:
    """The prior of a node of `PRIORS` (default: tv); `weight`, where given, is that prior's if it has one."""
    params = dict(node or {"kind": "tv"})
    entry = lookup(PRIORS, params.pop("kind"), "prior")
    if weight is not None and "weight" in accepted(entry):
        params["weight"] = weight
    return entry(**params)


def _variational(solver: Callable[..., Solution]) -> Callable[..., Solution]:
    """A solver of `φ(A x; y) + g(L x)` as a config names it."""

    def run(
        y: Any,
        operator: Operator,
        /,
        *,
        prior: Mapping[str, Any] | None = None,
        weight: Any = None,
        data: Literal["l2", "l1", "huber", "poisson"] = "l2",
        iterations: int = 100,
    ) -> Solution:
        return solver(y, operator, _prior(prior, weight), data=_DATA_TERMS[data](), iterations=iterations)

    return run


def _admm(
    y: Any,
    operator: Operator,
    /,
    *,
    prior: Mapping[str, Any] | None = None,
    weight: Any = None,
    rho: Any = None,
    data: Literal["l2", "l1", "huber", "poisson"] = "l2",
    iterations: int = 100,
) -> Solution:
    solve = _variational(partial(admm, rho=rho))
    return solve(y, operator, prior=prior, weight=weight, data=data, iterations=iterations)


def _bicubic(y: Any, operator: Operator, /) -> Solution:
    return bicubic(y, operator)


def _lanczos(y: Any, operator: Operator, /) -> Solution:
    return lanczos(y, operator)


def _filtered_back_projection(
    y: Any,
    operator: Operator,
    /,
    *,
    filter: Literal["ramp", "shepp-logan", "cosine", "hamming", "hann"] = "ramp",
) -> Solution:
    if not isinstance(operator, Radon):
        name = type(operator).__name__
        raise ValueError(f"solver 'filtered_back_projection' is for operator 'radon', not {name}; try 'admm'")
    return filtered_back_projection(y, operator, filter)


def _denoise_tv(y: Any, operator: Operator, /, *, weight: Any = 0.1, iterations: int = 100) -> Solution:
    if not isinstance(operator, Identity):
        raise ValueError(f"solver 'denoise_tv' is for operator 'identity', not {type(operator).__name__}; try 'admm'")
    return denoise_tv(y, weight, iterations)


SOLVERS: dict[str, SolverInfo] = {
    "wiener": SolverInfo(_wiener, {"noise_to_signal": (1e-5, 1.0)}, "‖Ax − y‖² + λ‖Rx‖²", "Wiener, 1949"),
    "admm": SolverInfo(_admm, {"weight": (1e-5, 1e-1)}, "½‖Ax − y‖² + g(Lx)", "Boyd et al., 2011"),
    "bicubic": SolverInfo(_bicubic, {}, "interpolation, filling in", "Keys, 1981; Knutsson and Westin, 1993"),
    "lanczos": SolverInfo(_lanczos, {}, "interpolation, filling in", "Duchon, 1979; Knutsson and Westin, 1993"),
    "filtered_back_projection": SolverInfo(
        _filtered_back_projection, {}, "inverse Radon transform", "Kak and Slaney, 1988"
    ),
    "denoise_tv": SolverInfo(_denoise_tv, {"weight": (1e-3, 1.0)}, "½‖x − y‖² + λ TV(x)", "Beck and Teboulle, 2009"),
}

"""The priors that a config or the command line may name, and the solvers of `φ(Ax; y) + g(Lx)`.

Entries are as in `mtjax.solvers.catalog`.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

from mtjax.physics.operator import Operator
from mtjax.registry import accepted, lookup
from mtjax.solvers.admm import admm
from mtjax.solvers.constraints import Box, NonNegative, Simplex
from mtjax.solvers.data_terms import L1, L2, DataTerm, Huber, Poisson
from mtjax.solvers.denoise.tv import denoise_tv
from mtjax.solvers.douglas_rachford import douglas_rachford
from mtjax.solvers.half_quadratic import hqs
from mtjax.solvers.info import SolverInfo
from mtjax.solvers.linearized_admm import linearized_admm
from mtjax.solvers.low_rank import NuclearNorm
from mtjax.solvers.primal_dual import pdhg
from mtjax.solvers.priors import GroupL21, Prior, TotalVariation
from mtjax.solvers.proximal_gradient import davis_yin, fista, ista
from mtjax.solvers.red import red
from mtjax.solvers.solution import Solution
from mtjax.solvers.sparsity import LpNorm, Wavelet
from mtjax.solvers.tgv import TGV

PRIORS: dict[str, Callable[..., Prior]] = {
    "box": Box,
    "group_l21": GroupL21,
    "lp": LpNorm,
    "nonnegative": NonNegative,
    "nuclear_norm": NuclearNorm,
    "simplex": Simplex,
    "tgv": TGV,
    "tv": TotalVariation,
    "wavelet": Wavelet,
}
_DATA_TERMS: dict[str, Callable[[], DataTerm]] = {"l2": L2, "l1": L1, "huber": Huber, "poisson": Poisson}


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
        init: Any = None,
        /,
        *,
        prior: Mapping[str, Any] | None = None,
        weight: Any = None,
        data: Literal["l2", "l1", "huber", "poisson"] = "l2",
        constraint: Literal["box", "nonnegative", "simplex"] | None = None,
        iterations: int = 100,
    ) -> Solution:
        chosen, misfit = _prior(prior, weight), _DATA_TERMS[data]()
        limits = None if constraint is None else PRIORS[constraint]()
        return solver(y, operator, chosen, data=misfit, constraint=limits, iterations=iterations, init=init)

    return run


def _admm(
    y: Any,
    operator: Operator,
    init: Any = None,
    /,
    *,
    prior: Mapping[str, Any] | None = None,
    weight: Any = None,
    rho: Any = None,
    data: Literal["l2", "l1", "huber", "poisson"] = "l2",
    constraint: Literal["box", "nonnegative", "simplex"] | None = None,
    iterations: int = 100,
) -> Solution:
    solve: Any = _variational(partial(admm, rho=rho))
    return solve(y, operator, init, prior=prior, weight=weight, data=data, constraint=constraint, iterations=iterations)


def _red(
    y: Any,
    operator: Operator,
    init: Any = None,
    /,
    *,
    weight: Any = 0.02,
    strength: Any = 0.02,
    iterations: int = 100,
) -> Solution:
    """The denoiser is 20 iterations of `denoise_tv`, whose weight is `strength`."""
    return red(y, operator, _denoise_by_tv, weight, strength, iterations, init=init)


def _denoise_by_tv(image: Any, strength: Any) -> Any:
    return denoise_tv(image, strength, 20).image


def _hqs(
    y: Any,
    operator: Operator,
    init: Any = None,
    /,
    *,
    prior: Mapping[str, Any] | None = None,
    weight: Any = None,
    growth: Any = 1.5,
    iterations: int = 20,
) -> Solution:
    """From a tenth of the penalty with which `admm` starts on."""
    chosen = _prior(prior, weight)
    return hqs(y, operator, chosen, chosen.penalty() / 10, growth, iterations, init=init)


def _hyper_laplacian(y: Any, operator: Operator, /, *, weight: Any = 5e-4, iterations: int = 6) -> Solution:
    """With the schedule of its source, where `1 / weight` is called λ and `rho / weight` is β, from 1 on."""
    prior = LpNorm(weight, 2 / 3, "gradient")
    return hqs(y, operator, prior, rho=weight, growth=8**0.5, iterations=iterations)


VARIATIONAL: dict[str, SolverInfo] = {
    "admm": SolverInfo(_admm, {"weight": (1e-5, 1e-1)}, "½‖Ax − y‖² + g(Lx)", "Boyd et al., 2011"),
    "hqs": SolverInfo(
        _hqs, {"weight": (1e-5, 1e-1)}, "½‖Ax − y‖² + g(z) + ½ρ‖Lx − z‖², ρ growing", "Geman and Yang, 1995"
    ),
    "pdhg": SolverInfo(_variational(pdhg), {"weight": (1e-5, 1e-1)}, "φ(Ax) + g(Lx)", "Chambolle and Pock, 2011"),
    "linearized_admm": SolverInfo(
        _variational(linearized_admm), {"weight": (1e-5, 1e-1)}, "φ(Ax) + g(Lx)", "Lin, Liu and Su, 2011"
    ),
    "douglas_rachford": SolverInfo(
        _variational(douglas_rachford), {"weight": (1e-5, 1e-1)}, "φ(Ax) + g(Lx)", "Raguet, Fadili and Peyré, 2013"
    ),
    "ista": SolverInfo(
        _variational(ista), {"weight": (1e-5, 1e-1)}, "φ(Ax) + g(Lx), smooth φ", "Daubechies, Defrise and De Mol, 2004"
    ),
    "fista": SolverInfo(
        _variational(fista), {"weight": (1e-5, 1e-1)}, "φ(Ax) + g(Lx), smooth φ", "Beck and Teboulle, 2009"
    ),
    "davis_yin": SolverInfo(
        _variational(davis_yin), {"weight": (1e-5, 1e-1)}, "φ(Ax) + g(Lx), smooth φ", "Davis and Yin, 2017"
    ),
    "red": SolverInfo(
        _red, {"weight": (1e-3, 0.3), "strength": (1e-3, 0.1)}, "Aᴴ(Ax − y) + λ(x − f(x)) = 0", "Romano et al., 2017"
    ),
    "hyper_laplacian": SolverInfo(
        _hyper_laplacian, {"weight": (1e-5, 1e-1)}, "½‖Ax − y‖² + λ Σ |∇x|^⅔", "Krishnan and Fergus, 2009"
    ),
}

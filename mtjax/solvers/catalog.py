"""The solvers and priors that a config or the command line may name.

An entry of `SOLVERS` says how to run it (`run(y, operator, /, **params)`, its keyword-only parameters being what a
config may set; a third argument, where there is one, is an earlier solution to go on from), which parameters may be
searched for, what problem it solves, and where it comes from.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple

from mtjax.physics.blur import Blur
from mtjax.physics.operator import Identity, Operator
from mtjax.physics.tomography import Radon
from mtjax.registry import accepted, lookup
from mtjax.solvers.admm import admm
from mtjax.solvers.back_projection import iterative_back_projection
from mtjax.solvers.blind import blind_deconvolution
from mtjax.solvers.constraints import Box, NonNegative, Simplex
from mtjax.solvers.data_terms import L1, L2, DataTerm, Huber, Poisson
from mtjax.solvers.denoise import (
    denoise_bilateral,
    denoise_bm3d,
    denoise_diffusion,
    denoise_median,
    denoise_nlm,
    denoise_tv,
    denoise_wavelet,
    estimate_noise,
)
from mtjax.solvers.douglas_rachford import douglas_rachford
from mtjax.solvers.filtered_back_projection import filtered_back_projection
from mtjax.solvers.gray_world import gray_world
from mtjax.solvers.half_quadratic import dpir_schedule, hqs
from mtjax.solvers.interpolate import bicubic, lanczos
from mtjax.solvers.linear import conjugate_gradient, landweber, pseudo_inverse, tikhonov
from mtjax.solvers.linearized_admm import linearized_admm
from mtjax.solvers.low_rank import NuclearNorm
from mtjax.solvers.multiframe import multiframe_tv
from mtjax.solvers.multiframe_nlm import multiframe_nlm
from mtjax.solvers.nonlinear import gauss_newton, gradient_descent
from mtjax.solvers.pocs import pocs
from mtjax.solvers.primal_dual import pdhg
from mtjax.solvers.priors import Gradient, GroupL21, Prior, TotalVariation
from mtjax.solvers.proximal_gradient import davis_yin, fista, ista
from mtjax.solvers.red import red
from mtjax.solvers.register import register
from mtjax.solvers.richardson_lucy import richardson_lucy
from mtjax.solvers.selection import best_weight, discrepancy, gcv, sure
from mtjax.solvers.shift_and_add import shift_and_add
from mtjax.solvers.solution import Solution
from mtjax.solvers.sparsity import LpNorm, Wavelet
from mtjax.solvers.tgv import TGV
from mtjax.solvers.unsupervised_wiener import unsupervised_wiener
from mtjax.solvers.wiener import wiener

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


def _bicubic(y: Any, operator: Operator, /) -> Solution:
    return bicubic(y, operator)


def _lanczos(y: Any, operator: Operator, /) -> Solution:
    return lanczos(y, operator)


def _gray_world(y: Any, operator: Operator, /, *, mean: Any = 0.45) -> Solution:
    return gray_world(y, operator, mean)


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


def _unsupervised_wiener(
    y: Any, operator: Operator, /, *, regularizer: Literal["white", "laplacian"] = "laplacian"
) -> Solution:
    return unsupervised_wiener(y, operator, regularizer)


def _tikhonov(
    y: Any,
    operator: Operator,
    /,
    *,
    weight: Any = 1e-2,
    analysis: Literal["identity", "gradient"] = "gradient",
) -> Solution:
    """`analysis` is what is kept small: the image or its differences."""
    return tikhonov(y, operator, weight, Gradient() if analysis == "gradient" else None)


def _pseudo_inverse(y: Any, operator: Operator, /, *, cutoff: float | None = None) -> Solution:
    return pseudo_inverse(y, operator, cutoff)


def _conjugate_gradient(y: Any, operator: Operator, /, *, iterations: int = 20) -> Solution:
    return conjugate_gradient(y, operator, iterations)


def _landweber(y: Any, operator: Operator, init: Any = None, /, *, step: Any = None, iterations: int = 100) -> Solution:
    return landweber(y, operator, step, iterations=iterations, init=init)


def _gauss_newton(
    y: Any, operator: Operator, init: Any = None, /, *, weight: Any = 0.0, iterations: int = 20
) -> Solution:
    return gauss_newton(y, operator, weight, iterations=iterations, init=init)


def _gradient_descent(
    y: Any, operator: Operator, init: Any = None, /, *, weight: Any = 0.0, iterations: int = 100
) -> Solution:
    return gradient_descent(y, operator, weight, iterations=iterations, init=init)


def _richardson_lucy(
    y: Any,
    operator: Operator,
    init: Any = None,
    /,
    *,
    tv_weight: Any = 0.0,
    accelerate: bool = False,
    background: Any = 0.0,
    iterations: int = 30,
) -> Solution:
    return richardson_lucy(y, operator, tv_weight, accelerate, background, iterations=iterations, init=init)


def _iterative_back_projection(y: Any, operator: Operator, /, *, step: Any = None, iterations: int = 20) -> Solution:
    return iterative_back_projection(y, operator, step, iterations)


def _pocs(y: Any, operator: Operator, /, *, radius: Any = 1e-2, iterations: int = 50) -> Solution:
    return pocs(y, operator, radius, Box(), iterations)


def _multiframe_tv(
    y: Any,
    operator: Operator,
    /,
    *,
    weight: Any = 2e-3,
    data: Literal["l2", "l1"] = "l2",
    rho: Any = None,
    iterations: int = 100,
) -> Solution:
    return multiframe_tv(y, operator, weight, rho, iterations, data=None if data == "l2" else L1())


def _blind_deconvolution(
    y: Any, operator: Operator, /, *, kernel_size: int = 21, tv_weight: Any = 1e-3, iterations: int = 5
) -> Solution:
    """The kernel is found from `y`: the operator says nothing, and if it is a blur, it has to keep the size."""
    if not isinstance(operator, Identity | Blur) or operator.output_shape(y.shape) != y.shape:
        name = type(operator).__name__
        raise ValueError(
            f"solver 'blind_deconvolution' finds its own blur; it is for operator 'identity', not {name}; try 'admm'"
        )
    return blind_deconvolution(y, kernel_size, tv_weight=tv_weight, iterations=iterations)


def _hyper_laplacian(y: Any, operator: Operator, /, *, weight: Any = 5e-4, iterations: int = 6) -> Solution:
    """With the schedule of its source, where `1 / weight` is called λ and `rho / weight` is β, from 1 on."""
    prior = LpNorm(weight, 2 / 3, "gradient")
    return hqs(y, operator, prior, rho=weight, growth=8**0.5, iterations=iterations)


def _denoise_tv(y: Any, operator: Operator, /, *, weight: Any = 0.1, iterations: int = 100) -> Solution:
    _only_noise("denoise_tv", operator)
    return denoise_tv(y, weight, iterations)


def _denoise_nlm(
    y: Any, operator: Operator, /, *, strength: Any = 0.08, sigma: Any = 0.0, patch: int = 5, distance: int = 6
) -> Solution:
    _only_noise("denoise_nlm", operator)
    return denoise_nlm(y, strength, sigma, patch, distance)


def _denoise_bm3d(
    y: Any, operator: Operator, /, *, sigma: Any = 0.1, profile: Literal["normal", "high"] = "normal"
) -> Solution:
    _only_noise("denoise_bm3d", operator)
    return denoise_bm3d(y, sigma, profile)


def _denoise_wavelet(
    y: Any,
    operator: Operator,
    /,
    *,
    sigma: Any = None,
    method: Literal["bayes", "visu"] = "bayes",
    threshold: Literal["soft", "hard"] = "soft",
    wavelet: str = "sym4",
    levels: int = 4,
    shifts: int = 1,
) -> Solution:
    _only_noise("denoise_wavelet", operator)
    return denoise_wavelet(y, sigma, method, threshold, wavelet, levels, shifts)


def _denoise_bilateral(
    y: Any, operator: Operator, /, *, sigma_color: Any = 0.25, sigma_spatial: float | int = 1.5, size: int | None = None
) -> Solution:
    _only_noise("denoise_bilateral", operator)
    return denoise_bilateral(y, sigma_color, sigma_spatial, size)


def _denoise_median(y: Any, operator: Operator, /, *, size: int = 3) -> Solution:
    _only_noise("denoise_median", operator)
    return denoise_median(y, size)


def _denoise_diffusion(
    y: Any,
    operator: Operator,
    /,
    *,
    iterations: int = 10,
    kappa: Any = 0.1,
    step: Any = 0.2,
    function: Literal["exponential", "rational"] = "rational",
) -> Solution:
    _only_noise("denoise_diffusion", operator)
    return denoise_diffusion(y, iterations, kappa, step, function)


def _only_noise(kind: str, operator: Operator) -> None:
    if not isinstance(operator, Identity):
        raise ValueError(f"solver {kind!r} is for operator 'identity', not {type(operator).__name__}; try 'admm'")


# What takes other things than `(y, A)`: for Python alone, and for `mtjax show solvers`.
BESIDE: tuple[Callable[..., Any], ...] = (
    register, shift_and_add, multiframe_nlm, estimate_noise, gcv, sure, discrepancy, best_weight, dpir_schedule,
)  # fmt: skip

SOLVERS: dict[str, SolverInfo] = {
    "wiener": SolverInfo(_wiener, {"noise_to_signal": (1e-5, 1.0)}, "‖Ax − y‖² + λ‖Rx‖²", "Wiener, 1949"),
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
    "bicubic": SolverInfo(_bicubic, {}, "interpolation, filling in", "Keys, 1981; Knutsson and Westin, 1993"),
    "lanczos": SolverInfo(_lanczos, {}, "interpolation, filling in", "Duchon, 1979; Knutsson and Westin, 1993"),
    "filtered_back_projection": SolverInfo(
        _filtered_back_projection, {}, "inverse Radon transform", "Kak and Slaney, 1988"
    ),
    "gray_world": SolverInfo(_gray_world, {"mean": (0.05, 0.8)}, "white balance and exposure", "Buchsbaum, 1980"),
    "unsupervised_wiener": SolverInfo(
        _unsupervised_wiener, {}, "‖Ax − y‖² + λ‖Rx‖², λ from y", "Orieux, Giovannelli and Rodet, 2010"
    ),
    "tikhonov": SolverInfo(_tikhonov, {"weight": (1e-6, 1.0)}, "½‖Ax − y‖² + ½λ‖Lx‖²", "Tikhonov, 1963"),
    "pseudo_inverse": SolverInfo(_pseudo_inverse, {}, "‖Ax − y‖², least ‖x‖", "Penrose, 1956"),
    "conjugate_gradient": SolverInfo(_conjugate_gradient, {}, "‖Ax − y‖², stopped early", "Hestenes and Stiefel, 1952"),
    "landweber": SolverInfo(_landweber, {}, "‖Ax − y‖², stopped early", "Landweber, 1951"),
    "gauss_newton": SolverInfo(
        _gauss_newton, {"weight": (1e-6, 1.0)}, "½‖F(x) − y‖² + ½λ‖x‖², F not linear too", "Levenberg, 1944"
    ),
    "gradient_descent": SolverInfo(
        _gradient_descent,
        {"weight": (1e-6, 1.0)},
        "½‖F(x) − y‖² + ½λ‖x‖², F not linear too",
        "Barzilai and Borwein, 1988",
    ),
    "richardson_lucy": SolverInfo(
        _richardson_lucy, {}, "KL(y, Ax) + λ TV(x), x ≥ 0, stopped early", "Richardson, 1972; Lucy, 1974"
    ),
    "iterative_back_projection": SolverInfo(
        _iterative_back_projection, {}, "A x = y, one frame or a burst, stopped early", "Irani and Peleg, 1991"
    ),
    "pocs": SolverInfo(_pocs, {"radius": (1e-4, 1e-1)}, "|Ax − y| ≤ radius, 0 ≤ x ≤ 1", "Stark and Oskoui, 1989"),
    "multiframe_tv": SolverInfo(
        _multiframe_tv, {"weight": (1e-5, 1e-1)}, "Σ φ(Aₖx; yₖ) + λ TV(x), a burst", "Farsiu et al., 2004"
    ),
    "denoise_bm3d": SolverInfo(
        _denoise_bm3d, {"sigma": (1e-3, 0.3)}, "sparse groups of patches", "Dabov, Foi, Katkovnik and Egiazarian, 2007"
    ),
    "denoise_nlm": SolverInfo(
        _denoise_nlm, {"strength": (1e-3, 1.0)}, "means of like pixels", "Buades, Coll and Morel, 2005"
    ),
    "blind_deconvolution": SolverInfo(
        _blind_deconvolution, {}, "‖k * x − y‖², k and x unknown", "Xu, Zheng and Jia, 2013; Cho and Lee, 2009"
    ),
    "denoise_wavelet": SolverInfo(
        _denoise_wavelet,
        {"sigma": (1e-3, 0.3)},
        "thresholds of wavelet details",
        "Chang, Yu and Vetterli, 2000; Donoho and Johnstone, 1994",
    ),
    "denoise_bilateral": SolverInfo(
        _denoise_bilateral, {"sigma_color": (1e-2, 1.0)}, "means of near and like pixels", "Tomasi and Manduchi, 1998"
    ),
    "denoise_median": SolverInfo(_denoise_median, {}, "medians of windows", "Tukey, 1977"),
    "denoise_diffusion": SolverInfo(
        _denoise_diffusion, {"kappa": (1e-2, 1.0)}, "anisotropic diffusion", "Perona and Malik, 1990"
    ),
    "hyper_laplacian": SolverInfo(
        _hyper_laplacian, {"weight": (1e-5, 1e-1)}, "½‖Ax − y‖² + λ Σ |∇x|^⅔", "Krishnan and Fergus, 2009"
    ),
    "denoise_tv": SolverInfo(_denoise_tv, {"weight": (1e-3, 1.0)}, "½‖x − y‖² + λ TV(x)", "Beck and Teboulle, 2009"),
}

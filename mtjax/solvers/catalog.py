"""The solvers that a config or the command line may name.

An entry of `SOLVERS` says how to run it (`run(y, operator, /, **params)`, its keyword-only parameters being what a
config may set; a third argument, where there is one, is an earlier solution to go on from), which parameters may be
searched for, what problem it solves, and where it comes from.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

from mtjax.physics.blur import Blur
from mtjax.physics.operator import Identity, Operator
from mtjax.physics.tomography import Radon
from mtjax.registry import lookup
from mtjax.solvers.back_projection import iterative_back_projection
from mtjax.solvers.blind import blind_deconvolution
from mtjax.solvers.constraints import Box
from mtjax.solvers.data_terms import L1
from mtjax.solvers.denoise import (
    estimate_noise,
)
from mtjax.solvers.denoise.catalog import DENOISERS
from mtjax.solvers.filtered_back_projection import filtered_back_projection
from mtjax.solvers.gray_world import gray_world
from mtjax.solvers.half_quadratic import dpir_schedule
from mtjax.solvers.info import SolverInfo
from mtjax.solvers.interpolate import bicubic, lanczos
from mtjax.solvers.linear import conjugate_gradient, landweber, pseudo_inverse, tikhonov
from mtjax.solvers.multiframe import multiframe_tv
from mtjax.solvers.multiframe_nlm import multiframe_nlm
from mtjax.solvers.nonlinear import gauss_newton, gradient_descent
from mtjax.solvers.pocs import pocs
from mtjax.solvers.priors import Gradient
from mtjax.solvers.register import register
from mtjax.solvers.richardson_lucy import richardson_lucy
from mtjax.solvers.selection import best_weight, discrepancy, gcv, sure
from mtjax.solvers.shift_and_add import shift_and_add
from mtjax.solvers.solution import Solution
from mtjax.solvers.unsupervised_wiener import unsupervised_wiener
from mtjax.solvers.variational_catalog import VARIATIONAL
from mtjax.solvers.wiener import wiener


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


# What takes other things than `(y, A)`: for Python alone, and for `mtjax show solvers`.
BESIDE: tuple[Callable[..., Any], ...] = (
    register, shift_and_add, multiframe_nlm, estimate_noise, gcv, sure, discrepancy, best_weight, dpir_schedule,
)  # fmt: skip

SOLVERS: dict[str, SolverInfo] = {
    **VARIATIONAL,
    "wiener": SolverInfo(_wiener, {"noise_to_signal": (1e-5, 1.0)}, "‖Ax − y‖² + λ‖Rx‖²", "Wiener, 1949"),
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
    "blind_deconvolution": SolverInfo(
        _blind_deconvolution, {}, "‖k * x − y‖², k and x unknown", "Xu, Zheng and Jia, 2013; Cho and Lee, 2009"
    ),
    **DENOISERS,
}

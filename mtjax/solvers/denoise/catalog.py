"""The denoisers that a config or the command line may name: entries as in `mtjax.solvers.catalog`."""

from typing import Any, Literal

from mtjax.physics.operator import Identity, Operator
from mtjax.solvers.denoise.bilateral import denoise_bilateral
from mtjax.solvers.denoise.bm3d import denoise_bm3d
from mtjax.solvers.denoise.diffusion import denoise_diffusion
from mtjax.solvers.denoise.median import denoise_median
from mtjax.solvers.denoise.nlm import denoise_nlm
from mtjax.solvers.denoise.tv import denoise_tv
from mtjax.solvers.denoise.wavelet import denoise_wavelet
from mtjax.solvers.info import SolverInfo
from mtjax.solvers.solution import Solution


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


DENOISERS: dict[str, SolverInfo] = {
    "denoise_bm3d": SolverInfo(
        _denoise_bm3d, {"sigma": (1e-3, 0.3)}, "sparse groups of patches", "Dabov, Foi, Katkovnik and Egiazarian, 2007"
    ),
    "denoise_nlm": SolverInfo(
        _denoise_nlm, {"strength": (1e-3, 1.0)}, "means of like pixels", "Buades, Coll and Morel, 2005"
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
    "denoise_tv": SolverInfo(_denoise_tv, {"weight": (1e-3, 1.0)}, "½‖x − y‖² + λ TV(x)", "Beck and Teboulle, 2009"),
}

"""The classical methods that protocols are tried with. `value` is what is tried of each, in the unit that it says."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mtjax import solvers
from mtjax.compare.protocols.protocol import Method

ITERATIONS = 150
PNP_ITERATIONS = 8
HIGH = 40 / 255  # noise above which BM3D has other parameters
NOISE = 1e-3  # of what was observed without any, to a plug-and-play method: a quarter of a gray level


def spread(low: float, high: float, count: int) -> tuple[float, ...]:
    """So many numbers, each the same factor above the last."""
    return tuple(float(value) for value in np.geomspace(low, high, count))


def estimate(y: Any, operator: Any, sigma: Any, value: Any) -> Any:
    """Without a regularizer: `y` itself, interpolated, filled in, or `Aᴴ y` (see `solvers.bicubic`)."""
    del sigma, value
    return solvers.bicubic(y, operator).image


def wiener(y: Any, operator: Any, sigma: Any, value: Any) -> Any:
    """`value`: of the noise's variance, to the inverse of the power of the image's Laplacian."""
    return solvers.wiener(y, operator, value * sigma**2, "laplacian").image


def tv(y: Any, operator: Any, sigma: Any, value: Any) -> Any:
    """Total variation by ADMM; `value`: weight over the noise's variance, both on the scale of 255."""
    weight = 255 * value * sigma**2
    return solvers.admm(y, operator, solvers.TotalVariation(weight), rho=5 * weight, iterations=ITERATIONS).image


def tv_weight(y: Any, operator: Any, sigma: Any, value: Any) -> Any:
    """Total variation by ADMM where there is no noise; `value`: the weight."""
    del sigma
    return solvers.admm(y, operator, solvers.TotalVariation(value), rho=20 * value, iterations=ITERATIONS).image


def wavelet_weight(y: Any, operator: Any, sigma: Any, value: Any) -> Any:
    """Sparse wavelet details by ADMM where there is no noise; `value`: the weight."""
    del sigma
    return solvers.admm(y, operator, solvers.Wavelet(value), rho=20 * value, iterations=ITERATIONS).image


def hyper_laplacian(y: Any, operator: Any, sigma: Any, value: Any) -> Any:
    """Krishnan and Fergus (2009); `value`: weight over the noise's variance."""
    weight = value * sigma**2
    prior = solvers.LpNorm(weight, 2 / 3, "gradient")
    return solvers.hqs(y, operator, prior, rho=weight, growth=8**0.5, iterations=6).image


def denoise_tv(y: Any, operator: Any, sigma: Any, value: Any) -> Any:
    """Rudin, Osher and Fatemi (1992); `value`: weight over the noise's variance, both on the scale of 255."""
    del operator
    return solvers.denoise_tv(y, 255 * value * sigma**2).image


def bm3d(y: Any, operator: Any, sigma: Any, value: Any) -> Any:
    """Block matching, with its parameters for this noise."""
    del operator, value
    normal, high = (lambda y, p=p: solvers.denoise_bm3d(y, sigma, p).image for p in ("normal", "high"))
    return jax.lax.cond(sigma > HIGH, high, normal, y)


def pnp_bm3d(y: Any, operator: Any, sigma: Any, value: Any, iterations: int = PNP_ITERATIONS) -> Any:
    """BM3D as the prior of half-quadratic splitting, by DPIR's schedule."""
    del value
    return plug_and_play(_bm3d_at, y, operator, sigma, iterations)


def plug_and_play(denoise: Any, y: Any, operator: Any, sigma: Any, iterations: int = PNP_ITERATIONS) -> Any:
    """A denoiser `(image, level) -> image` as the prior, levels falling from 49/255 to the noise's."""
    schedule = solvers.dpir_schedule(jnp.maximum(sigma, NOISE), iterations)
    prior = solvers.Denoiser(denoise, schedule.weight)
    start = solvers.bicubic(y, operator).image
    return solvers.hqs(y, operator, prior, schedule.rho, schedule.growth, iterations, init=start).image


def _bm3d_at(image: Any, level: Any) -> Any:
    return solvers.denoise_bm3d(image, level).image


WIENER = Method("Wiener", wiener, spread(1.0, 1e5, 21), note="best noise-to-signal ratio of 21")
TV = Method("TV", tv, spread(0.01, 0.12, 13), note="best weight of 13")
TV_WEIGHT = Method("TV", tv_weight, spread(1e-5, 1e-3, 3), note="best weight of 3")
WAVELET_WEIGHT = Method("wavelets", wavelet_weight, spread(1e-4, 1e-2, 3), note="best weight of 3")
HYPER_LAPLACIAN = Method("hyper-Laplacian", hyper_laplacian, spread(0.1, 100.0, 10), note="best weight of 10")
DENOISE_TV = Method("TV", denoise_tv, spread(0.01, 0.12, 13), note="best weight of 13")
BM3D = Method("BM3D", bm3d)
PNP_BM3D = Method("PnP-BM3D", pnp_bm3d, note="DPIR's schedule of 8 iterations")

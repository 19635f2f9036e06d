"""Denoisers: solvers for `y = x + e`, which need no operator."""

from mtjax.solvers.denoise.bilateral import denoise_bilateral
from mtjax.solvers.denoise.bm3d import denoise_bm3d
from mtjax.solvers.denoise.diffusion import denoise_diffusion
from mtjax.solvers.denoise.median import denoise_median
from mtjax.solvers.denoise.nlm import denoise_nlm
from mtjax.solvers.denoise.noise_level import estimate_noise
from mtjax.solvers.denoise.tv import denoise_tv
from mtjax.solvers.denoise.wavelet import denoise_wavelet

__all__ = [
    "denoise_bilateral",
    "denoise_bm3d",
    "denoise_diffusion",
    "denoise_median",
    "denoise_nlm",
    "denoise_tv",
    "denoise_wavelet",
    "estimate_noise",
]

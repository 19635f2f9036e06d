"""Denoisers: solvers for `y = x + e`, which need no operator."""

from mtjax.solvers.denoise.tv import denoise_tv

__all__ = ["denoise_tv"]

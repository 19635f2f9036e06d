"""Classical ways back from `y = A x + e`: pure functions `(y, A, ...) -> Solution` that jit, batch and differentiate.

`SOLVERS` and `PRIORS` are the kinds that a config may name; `make` turns a config's node into a function: see
`catalog.py`.
"""

from mtjax.solvers.admm import admm
from mtjax.solvers.back_projection import iterative_back_projection
from mtjax.solvers.blind import BlindSolution, blind_deconvolution
from mtjax.solvers.catalog import SOLVERS, make
from mtjax.solvers.constraints import Box, NonNegative, Simplex
from mtjax.solvers.data_terms import L1, L2, DataTerm, Huber, L2Ball, Poisson, WeightedL2
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
from mtjax.solvers.info import SolverInfo
from mtjax.solvers.interpolate import bicubic, lanczos
from mtjax.solvers.linear import conjugate_gradient, landweber, pseudo_inverse, tikhonov
from mtjax.solvers.linearized_admm import linearized_admm
from mtjax.solvers.low_rank import NuclearNorm
from mtjax.solvers.multiframe import multiframe_tv, windows
from mtjax.solvers.multiframe_nlm import multiframe_nlm
from mtjax.solvers.nonlinear import gauss_newton, gradient_descent
from mtjax.solvers.normal import data_prox
from mtjax.solvers.pocs import pocs
from mtjax.solvers.primal_dual import pdhg
from mtjax.solvers.priors import Denoiser, GroupL21, Prior, TotalVariation
from mtjax.solvers.proximal_gradient import davis_yin, fista, ista
from mtjax.solvers.red import red
from mtjax.solvers.register import Registration, phase_correlation, register, registered
from mtjax.solvers.richardson_lucy import richardson_lucy
from mtjax.solvers.selection import best_weight, degrees_of_freedom, discrepancy, gcv, sure
from mtjax.solvers.shift_and_add import shift_and_add
from mtjax.solvers.solution import Solution, Status, status_name
from mtjax.solvers.sparsity import LpNorm, Wavelet
from mtjax.solvers.tgv import TGV
from mtjax.solvers.tuning import grid_search
from mtjax.solvers.unsupervised_wiener import UnsupervisedSolution, unsupervised_wiener
from mtjax.solvers.variational_catalog import PRIORS
from mtjax.solvers.wiener import wiener

__all__ = [
    "L1", "L2", "PRIORS", "SOLVERS", "TGV", "BlindSolution", "Box", "DataTerm", "Denoiser", "GroupL21", "Huber",
    "L2Ball", "LpNorm", "NonNegative", "NuclearNorm", "Poisson", "Prior", "Registration", "Simplex", "Solution",
    "SolverInfo", "Status", "TotalVariation", "UnsupervisedSolution", "Wavelet", "WeightedL2", "admm", "best_weight",
    "bicubic", "blind_deconvolution", "conjugate_gradient", "data_prox", "davis_yin", "degrees_of_freedom",
    "denoise_bilateral", "denoise_bm3d", "denoise_diffusion", "denoise_median", "denoise_nlm", "denoise_tv",
    "denoise_wavelet", "discrepancy", "douglas_rachford", "dpir_schedule", "estimate_noise", "filtered_back_projection",
    "fista", "gauss_newton", "gcv", "gradient_descent", "gray_world", "grid_search", "hqs", "ista",
    "iterative_back_projection", "lanczos", "landweber", "linearized_admm", "make", "multiframe_nlm", "multiframe_tv",
    "pdhg", "phase_correlation", "pocs", "pseudo_inverse", "red", "register", "registered", "richardson_lucy",
    "shift_and_add", "status_name", "sure", "tikhonov", "unsupervised_wiener", "wiener", "windows",
]  # fmt: skip

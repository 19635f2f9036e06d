"""Classical ways back from `y = A x + e`: pure functions `(y, A, ...) -> Solution` that jit, batch and differentiate.

`SOLVERS` and `PRIORS` are the kinds that a config may name; `make` turns a config's node into a function: see
`catalog.py`.
"""

from mtjax.solvers.admm import admm
from mtjax.solvers.catalog import PRIORS, SOLVERS, SolverInfo, make
from mtjax.solvers.data_terms import L1, L2, DataTerm, Huber, L2Ball, Poisson, WeightedL2
from mtjax.solvers.denoise import denoise_tv
from mtjax.solvers.half_quadratic import dpir_schedule, hqs
from mtjax.solvers.interpolate import bicubic
from mtjax.solvers.normal import data_prox
from mtjax.solvers.priors import Denoiser, Prior, TotalVariation
from mtjax.solvers.solution import Solution, Status, status_name
from mtjax.solvers.tuning import grid_search
from mtjax.solvers.wiener import wiener

__all__ = [
    "DataTerm", "Denoiser", "Huber", "L1", "L2", "L2Ball", "PRIORS", "Poisson", "Prior", "SOLVERS", "Solution",
    "SolverInfo", "Status", "TotalVariation", "WeightedL2", "admm", "bicubic", "data_prox", "denoise_tv",
    "dpir_schedule", "grid_search", "hqs", "make", "status_name", "wiener",
]  # fmt: skip

"""Times SCICO's ADMM-TV deconvolution; run by benchmarks/solvers.py with the Python of an environment that has SCICO.

    python benchmarks/scico_admm.py SIZE ITERATIONS TURNS

SCICO pins JAX, so it seldom lives in the environment of mtjax. Prints milliseconds, the best of several turns.
"""

import sys
import time

import jax
import numpy as np
import scico.numpy as snp
from scico import functional, linop, loss
from scico.optimize.admm import ADMM, CircularConvolveSolver


def main() -> None:
    """Times whole solves, set-up not included."""
    size, iterations, turns = (int(word) for word in sys.argv[1:4])
    y = snp.array(np.random.default_rng(0).uniform(size=(size, size)).astype(np.float32))
    profile = np.exp(-0.5 * ((np.arange(15) - 7) / 1.6) ** 2)
    kernel = np.outer(profile, profile) / np.outer(profile, profile).sum()
    common = {"input_shape": y.shape, "input_dtype": np.float32}
    blur = linop.CircularConvolve(h=snp.array(kernel.astype(np.float32)), h_center=[7, 7], **common)
    gradient = linop.FiniteDifference(circular=True, **common)
    best = float("inf")
    for _ in range(turns):
        solver = ADMM(
            f=loss.SquaredL2Loss(y=y, A=blur),
            g_list=[1e-3 * functional.L21Norm()],
            C_list=[gradient],
            rho_list=[2e-2],
            x0=y,
            maxiter=iterations,
            subproblem_solver=CircularConvolveSolver(),
        )
        start = time.perf_counter()
        jax.block_until_ready(solver.solve())
        best = min(best, time.perf_counter() - start)
    print(1e3 * best)


if __name__ == "__main__":
    main()

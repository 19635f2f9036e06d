"""Times solvers beside their floor (the real FFTs that they must make) and beside scikit-image.

    python benchmarks/solvers.py [--size=512] [--iterations=100]

Everything runs in this one process, in turns, so that ratios hold on a busy machine too; the best of several turns
counts. Compilation is not included. "floor" of ADMM: one forward and one inverse real FFT for each iteration;
of Wiener: the two FFTs of the image and the one of the kernel. scikit-image's TV denoising is Chambolle's algorithm,
with as many iterations as ours.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import skimage.restoration

from mtjax import physics, solvers
from mtjax.physics.operator import fourier, inverse_fourier

TURNS = 7


def best_times(runs: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Milliseconds of each run, the best of `TURNS`, one of each per turn."""
    times = dict.fromkeys(runs, float("inf"))
    for _ in range(TURNS + 1):  # the first turn compiles
        for name, run in runs.items():
            start = time.perf_counter()
            jax.block_until_ready(run())
            times[name] = min(times[name], 1e3 * (time.perf_counter() - start))
    return times


def fft_pairs(count: int) -> Callable[[Any], Any]:
    """`count` times a forward and an inverse real FFT of a batch of images."""
    return jax.jit(lambda y: jax.lax.fori_loop(0, count, lambda _, x: inverse_fourier(fourier(x), x), y))


def measure(shape: tuple[int, ...], iterations: int) -> list[tuple[str, float, str, float]]:
    """Rows (what, ms, compared with, ms) for a batch of this shape."""
    y = jax.random.uniform(jax.random.key(0), shape)
    kernel = physics.kernels.gaussian(1.6)
    mask = physics.Mask((jax.random.uniform(jax.random.key(1), (*shape[:-1], 1)) < 0.4).astype(y.dtype))
    prior = solvers.TotalVariation(1e-3)
    blur = physics.Blur(kernel)
    admm = jax.jit(lambda y, a: solvers.admm(y, a, prior, iterations=iterations).image)
    gradient = jax.jit(jax.grad(lambda w, y: admm_loss(w, y, blur, iterations)))
    denoise = jax.jit(lambda y: solvers.denoise_tv(y, 0.1, iterations=iterations).image)
    wiener = jax.jit(lambda y: solvers.wiener(y, blur, 0.01, "laplacian").image)
    floor, once = fft_pairs(iterations), fft_pairs(1)
    times = best_times(
        {
            "floor": lambda: floor(y),
            "admm, blur": lambda: admm(y, blur),
            "admm, mask": lambda: admm(y, mask),
            "admm, gradient": lambda: gradient(jnp.float32(1e-3), y),
            "denoise_tv": lambda: denoise(y),
            "once": lambda: once(y),
            "wiener": lambda: wiener(y),
        }
    )
    host, psf = np.asarray(y), np.asarray(kernel)
    planes = [host[i, ..., c] for i in range(shape[0]) for c in range(shape[-1])]
    peers = best_times(
        {
            "chambolle": lambda: [
                skimage.restoration.denoise_tv_chambolle(p, 0.1, eps=0, max_num_iter=iterations) for p in planes[:3]
            ],
            "wiener": lambda: [skimage.restoration.wiener(p, psf, 0.01, clip=False) for p in planes[:3]],
        }
    )
    scale = len(planes) / len(planes[:3])
    rows = [(name, times[name], "its FFTs", times["floor"]) for name in ("admm, blur", "admm, mask", "admm, gradient")]
    rows.append(("denoise_tv", times["denoise_tv"], "scikit-image", peers["chambolle"] * scale))
    rows.append(("wiener", times["wiener"], "its FFTs", times["once"]))
    rows.append(("wiener", times["wiener"], "scikit-image", peers["wiener"] * scale))
    return rows


def admm_loss(weight: Any, y: Any, blur: physics.Operator, iterations: int) -> Any:
    """A scalar of the solution, to differentiate."""
    return jnp.sum(solvers.admm(y, blur, solvers.TotalVariation(weight), iterations=iterations).image ** 2)


def main() -> None:
    """Prints a table for one large image and one for a batch of small ones."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512, help="side of the large image")
    parser.add_argument("--iterations", type=int, default=100)
    options = parser.parse_args()
    print(f"{jax.devices()[0].device_kind}, {options.iterations} iterations, float32")
    for shape in ((1, options.size, options.size, 1), (16, 64, 64, 3)):
        print(f"\n{list(shape)}\n{'solver':16}{'ms/image':>10}{'us/iteration':>14}   against")
        for name, ms, other, other_ms in measure(shape, options.iterations):
            each = ms / shape[0]
            steps = "" if name == "wiener" else f"{1e3 * each / options.iterations:.0f}"
            print(f"{name:16}{each:10.2f}{steps:>14}   {ms / other_ms:.2f} x the time of {other}")


if __name__ == "__main__":
    main()

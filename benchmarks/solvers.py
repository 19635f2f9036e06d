"""Times solvers beside their floor, beside scikit-image and, where there is one, SCICO.

    python benchmarks/solvers.py [--size=512] [--iterations=100] [--scico=PYTHON]

Everything runs in this one process, in turns, so that ratios hold on a busy machine too; the best of several turns
counts. Compilation is not included. The *floor* is what an iteration cannot do without: its real FFTs, and the fewest
passes over memory (each array that it must read and each that it must write, once), both measured here. scikit-image's
TV denoising is Chambolle's algorithm, with as many iterations as ours. A batch is measured against its images one by
one, which takes as long: the best of a few short runs and the best of a few long ones do not compare. `--scico` is the
Python of an environment that has SCICO, which pins an older JAX: it is timed in a process of its own, between two
halves of the turns.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import skimage.restoration

from mtjax import physics, solvers
from mtjax.physics.operator import fourier, inverse_fourier

TURNS = 8
BATCH = 16


class Row(NamedTuple):
    """A line of the table: what ran, and what it is measured against."""

    name: str
    run: Callable[[], Any]
    iterations: int = 0
    images: int = 1
    ffts: int = 0  # pairs of a forward and an inverse one, over all iterations
    passes: int = 0  # arrays read or written, over all iterations
    peers: dict[str, Callable[[], Any]] = {}  # noqa: RUF012  (read only)


def best_times(runs: dict[str, Callable[[], Any]], turns: int, times: dict[str, float]) -> None:
    """Lowers `times`, milliseconds of each run, to the best of some more turns, one of each per turn."""
    for _ in range(turns):
        for name, run in runs.items():
            start = time.perf_counter()
            jax.block_until_ready(run())
            times[name] = min(times.get(name, float("inf")), 1e3 * (time.perf_counter() - start))


def rows(size: int, iterations: int) -> list[Row]:
    """What is measured on one gray image, and on a batch."""
    y = jax.random.uniform(jax.random.key(0), (size, size, 1))
    batch = jax.random.uniform(jax.random.key(1), (BATCH, size, size, 1))
    images = list(batch)
    mask = physics.Mask((jax.random.uniform(jax.random.key(2), (size, size, 1)) < 0.4).astype(y.dtype))
    kernel = physics.kernels.gaussian(1.6)
    blur, prior = physics.Blur(kernel), solvers.TotalVariation(1e-3)
    zero_blur = physics.Blur(kernel, "zero")
    positive = y + 0.1
    admm = jax.jit(lambda y, a: solvers.admm(y, a, prior, rho=2e-2, iterations=iterations).image)
    gradient = jax.jit(jax.grad(lambda w, y: loss(w, y, blur, iterations)))
    wiener = jax.jit(lambda y: solvers.wiener(y, blur, 0.01, "laplacian").image)
    denoise = jax.jit(lambda y: solvers.denoise_tv(y, 0.1, iterations=iterations).image)
    lucy = jax.jit(lambda y, a: solvers.richardson_lucy(y, a, iterations=30).image)
    nlm = jax.jit(lambda y: solvers.denoise_nlm(y, 0.08, patch=5, distance=6).image)
    host, psf, bright = np.asarray(y[..., 0]), np.asarray(kernel), np.asarray(positive[..., 0])
    restoration = skimage.restoration
    tv_peer = {"chambolle": lambda: restoration.denoise_tv_chambolle(host, 0.1, eps=0, max_num_iter=iterations)}
    wiener_peer = {"skimage": lambda: restoration.wiener(host, psf, 0.01, clip=False)}

    def lucy_taps(size: int, std: float) -> Row:
        taps = physics.kernels.gaussian(std, size)
        peer = lambda: restoration.richardson_lucy(bright, np.asarray(taps), 30, clip=False)  # noqa: E731
        run = lambda: lucy(positive, physics.Blur(taps, "zero"))  # noqa: E731
        return Row(f"richardson_lucy, {size}x{size}", run, 30, peers={"skimage": peer})

    alone = {"one by one": lambda: [jax.block_until_ready(admm(y, blur)) for y in images]}
    means = {"patch_size": 5, "patch_distance": 6, "h": 0.08}
    return [
        # ADMM reads v (2 arrays), writes what goes into the FFT, reads v and x again and writes v.
        Row("admm, blur", lambda: admm(y, blur), iterations, ffts=iterations, passes=8 * iterations),
        Row("admm, mask", lambda: admm(y, mask), iterations, ffts=iterations, passes=12 * iterations),
        Row("admm, gradient", lambda: gradient(jnp.float32(1e-3), y), iterations),
        Row(f"admm, batch of {BATCH}", lambda: admm(batch, blur), iterations, BATCH, peers=alone),
        Row("wiener", lambda: wiener(y), ffts=1, peers=wiener_peer),
        Row("denoise_tv", lambda: denoise(y), iterations, passes=8 * iterations, peers=tv_peer),
        Row(
            "richardson_lucy",
            lambda: lucy(positive, zero_blur),
            30,
            ffts=60,
            passes=6 * 30,
            peers={"skimage": lambda: restoration.richardson_lucy(bright, psf, 30, clip=False)},
        ),
        *(lucy_taps(n, std) for n, std in ((5, 0.8), (9, 1.2))),
        Row(
            "denoise_nlm",
            lambda: nlm(y),
            peers={
                "skimage, fast": lambda: restoration.denoise_nl_means(host, **means, fast_mode=True),
                "skimage": lambda: restoration.denoise_nl_means(host, **means, fast_mode=False),
            },
        ),
    ]  # fmt: skip


def loss(weight: Any, y: Any, blur: physics.Operator, iterations: int) -> Any:
    """A scalar of the solution, to differentiate."""
    return jnp.sum(solvers.admm(y, blur, solvers.TotalVariation(weight), rho=2e-2, iterations=iterations).image ** 2)


def floors(size: int) -> dict[str, Callable[[], Any]]:
    """One hundred FFT pairs, and one hundred passes that read an array and write it, all of one image."""
    y = jax.random.uniform(jax.random.key(0), (size, size, 1))
    ffts = jax.jit(lambda y: jax.lax.fori_loop(0, 100, lambda _, x: inverse_fourier(fourier(x), x), y))
    passes = jax.jit(lambda y: jax.lax.fori_loop(0, 100, lambda _, x: 0.5 * x + 0.25, y))
    return {"ffts": lambda: ffts(y), "passes": lambda: passes(y)}


def scico(python: str, size: int, iterations: int) -> float:
    """Milliseconds of SCICO's ADMM-TV, in a process of its own; the program ends, in one line, if that fails."""
    script = Path(__file__).resolve().parent / "scico_admm.py"
    words = [python, str(script), str(size), str(iterations), "4"]
    try:
        return float(subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[-1])
    except (OSError, subprocess.CalledProcessError) as error:
        last = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1]
        sys.exit(f"--scico={python}: {last}")


def main() -> None:
    """Measures, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512, help="side of the images")
    parser.add_argument("--iterations", type=int, default=100, help="of ADMM and TV denoising")
    parser.add_argument("--scico", help="Python of an environment with SCICO")
    parser.add_argument("--only", default="", help="only what has this in its name")
    options = parser.parse_args()
    table = [row for row in rows(options.size, options.iterations) if options.only in row.name]
    runs = {row.name: row.run for row in table}
    peers = {f"{row.name}/{peer}": run for row in table for peer, run in row.peers.items()}
    floor, times = floors(options.size), {}
    best_times({**runs, **peers, **floor}, 1, {})  # compiles
    for half in range(2):
        best_times({**runs, **floor}, TURNS // 2, times)
        best_times(peers, 2, times)
        if half == 0 and options.scico:
            times["admm, blur/scico"] = scico(options.scico, options.size, options.iterations)
    print(f"{jax.devices()[0].device_kind}, {options.size}x{options.size} gray float32, best of {TURNS}\n")
    columns = f"{'solver':22}{'ms/image':>10}{'us/iteration':>14}{'floor, ms':>11}{'x floor':>9}{'x FFTs':>8}"
    print(f"{columns}   time of others / ours")
    for row in table:
        each = times[row.name] / row.images
        per_fft, per_pass = times["ffts"] / 100, times["passes"] / 200
        least, transforms = row.ffts * per_fft + row.passes * per_pass, row.ffts * per_fft
        steps = f"{1e3 * each / row.iterations:.0f}" if row.iterations else ""
        ratio = f"{least:11.2f}{each / least:9.2f}" if least else " " * 20
        ratio += f"{each / transforms:8.2f}" if transforms else " " * 8
        against = {name.partition("/")[2]: ms for name, ms in times.items() if name.startswith(f"{row.name}/")}
        others = ", ".join(f"{name} {ms / row.images / each:.2f}" for name, ms in against.items())
        print(f"{row.name:22}{each:10.2f}{steps:>14}{ratio}   {others}")


if __name__ == "__main__":
    main()

"""Times what decides how mtjax is written: convolutions inside and outside of loops, branches and `vmap`.

    python benchmarks/loops.py

Each line is the same work done in several ways, in turns in this one process; the best of some turns counts.
"""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

TURNS = 4


def convolve(x: Any, kernel: Any) -> Any:
    """A 3x3 convolution, channels last."""
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def gradient(x: Any, kernel: Any) -> Any:
    """Of a function of two convolutions by their kernel: what an encoder's backward pass is made of."""
    return jax.grad(lambda k: jnp.sum(convolve(jnp.tanh(convolve(x, k)), k) ** 2))(kernel)


def report(title: str, ways: dict[str, Callable[[], Any]]) -> None:
    """Prints the milliseconds of each way, and what it takes beside the first."""
    times = dict.fromkeys(ways, float("inf"))
    for turn in range(TURNS + 1):
        for name, run in ways.items():
            start = time.perf_counter()
            jax.block_until_ready(run())
            if turn:  # the first compiles
                times[name] = min(times[name], 1e3 * (time.perf_counter() - start))
    first = next(iter(times.values()))
    print(f"\n{title}")
    for name, each in times.items():
        print(f"  {name:34}{each:10.2f} ms{each / first:9.2f} times")


def main() -> None:
    """Measures, and prints."""
    print(jax.devices()[0].device_kind)
    x = jax.random.normal(jax.random.key(0), (16, 64, 64, 32))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 32, 32))
    kernels = jnp.stack([kernel, kernel + 1, kernel - 1])
    plain, together = jax.jit(gradient), jax.jit(jax.vmap(gradient, (None, 0)))
    looped = jax.jit(lambda x, ks: lax.map(lambda k: gradient(x, k), ks))
    branch = jax.jit(lambda p, x, k: lax.cond(p, lambda: gradient(x, k), lambda: k))
    yes = jnp.array(True)
    report(
        "gradient of two convolutions, [16, 64, 64, 32]",
        {
            "by itself": lambda: plain(x, kernel),
            "in a branch": lambda: branch(yes, x, kernel),
            "in a loop, once": lambda: looped(x, kernels[:1]),
        },
    )
    report(
        "the same for three kernels (three seeds, or three copies of an encoder)",
        {
            "one after the other": lambda: [plain(x, k) for k in kernels],
            "together, by vmap": lambda: together(x, kernels),
        },
    )


if __name__ == "__main__":
    main()

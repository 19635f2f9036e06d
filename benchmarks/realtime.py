"""Frames per second of the smallest super-resolution network, 180 × 320 to 360 × 640 pixels, one frame at a time.

    python benchmarks/realtime.py

A U-Net encoder of one stride and the `realtime` head, beside bicubic interpolation; in turns, the best of some counts.
"""

import time
from typing import Any

import jax
import jax.numpy as jnp

from mtjax import physics, solvers
from mtjax.models import HEADS, MultiTask
from mtjax.models.encoders import unet
from mtjax.models.sharing import hard
from mtjax.physics import Observed

HEIGHT, WIDTH, FACTOR = 180, 320, 2
WIDTHS = (4, 8, 16)  # channels of the encoder, and of the head
TURNS = 20


def network(width: int, observed: Observed) -> Any:
    """A network with initial parameters, compiled, as a function of the small picture."""
    encoder = unet(None, width=width, depth=1, blocks=0)
    model = MultiTask(
        encoder, hard(("enlarge",)), {"enlarge": HEADS["realtime"](None, 3, width=width)}, {"enlarge": ""}
    )
    params = jax.jit(lambda: model.init(jax.random.key(0), {"": observed}))()

    def run(y: Any) -> Any:
        return model.apply(params, {"": Observed(y, observed.operator, observed.noise_level)})["enlarge"]

    return jax.jit(run)


def main() -> None:
    """Measures, and prints."""
    print(jax.devices()[0].device_kind)
    y = jax.random.uniform(jax.random.key(0), (1, HEIGHT, WIDTH, 3))
    observed = Observed(y, physics.Bicubic(FACTOR), jnp.zeros((1, 1, 1, 1)))
    ways = {"bicubic": jax.jit(lambda y: solvers.bicubic(y, observed.operator).image)}
    ways |= {f"realtime, width {width}": network(width, observed) for width in WIDTHS}
    best = dict.fromkeys(ways, float("inf"))
    for turn in range(TURNS + 1):
        for name, run in ways.items():
            start = time.perf_counter()
            jax.block_until_ready(run(y))
            if turn:  # the first compiles
                best[name] = min(best[name], time.perf_counter() - start)
    for name, seconds in best.items():
        ratio = seconds / best["bicubic"]
        print(f"  {name:24}{1e3 * seconds:8.2f} ms{1 / seconds:8.1f} frames/s{ratio:8.2f} times bicubic")


if __name__ == "__main__":
    main()

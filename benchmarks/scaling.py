"""What more devices cost in communication, counted and measured on this machine's cores, and a model for accelerators.

    python benchmarks/scaling.py [--devices=1,2,4,8] [--side=1024] [--each=4]
        [--chip=h100] [--examples=256] [--utilization=0.3]

For each number of devices, in a process of its own with as many forced CPU devices: the training step of
configs/quickstart.py with the first and third of its tasks (deblurring by unrolled ADMM, digits), `--each` examples per
device, with the state replicated and fully sharded; and 20 iterations of ADMM-TV on one image of `--side` pixels
squared, split by rows. Bytes are counted in the compiled program. All devices
share the same cores, so that times can at best stay what they are where the work does (ADMM), and grow with it where it
is per device (training): what they say is what splitting itself costs. Bytes and memory are what they are on any.

Then the model (`scaling_model.py`): the same bytes, at the speeds of real links, for 8 to 1024 of `--chip`
(`scaling_model.CHIPS`). Training is weak scaling with `--examples` per device, and strong scaling with a batch of 16 *
`--examples`; ADMM is weak scaling with 4096 x 4096 pixels per device, and strong scaling with 65,536 x 65,536 in all.
`--utilization` is the share of its FLOP/s that a chip reaches in the network, which small ones keep low.
"""

import json
import os
import subprocess
import sys
import time
from typing import Any

ROWS_OF_MODEL = (8, 16, 32, 64, 128, 256, 512, 1024)
ITERATIONS = 20
RECIPE = "configs/quickstart.py"
TASKS = ("deblur", "digit")


def option(name: str, default: str) -> str:
    """The value of `--name=value` on the command line."""
    return next((word.partition("=")[2] for word in sys.argv[1:] if word.startswith(f"--{name}=")), default)


def seconds(program: Any, arguments: Any, again: Any) -> float:
    """The best of five runs; `again(arguments, result)` gives the arguments of the next one."""
    import jax

    best = float("inf")
    for turn in range(6):
        start = time.perf_counter()
        result = jax.block_until_ready(program(*arguments))
        if turn:
            best = min(best, time.perf_counter() - start)
        arguments = again(arguments, result)
    return best


def found(name: str, program: Any, arguments: Any, again: Any, flops: float) -> dict[str, Any]:
    """A row of the table: what is measured of a compiled program, and what it sends."""
    from mtjax.communication import collectives

    memory = program.memory_analysis()
    return {
        "name": name,
        "seconds": seconds(program, arguments, again),
        "collectives": collectives(program),
        "memory": memory.argument_size_in_bytes + memory.temp_size_in_bytes,
        "flops": flops,
    }


def training(shard: str, each: int) -> dict[str, Any]:
    """The training step on all devices of this process."""
    import jax

    from mtjax import config as configs
    from mtjax import flops
    from mtjax.data import build as build_source
    from mtjax.data.pipeline import batch_at
    from mtjax.train.build import build
    from mtjax.train.evaluation import initial_state
    from mtjax.train.parallel import layout, place_batch, traced_on
    from mtjax.train.step import make_train_step

    size = each * jax.device_count()
    words = [f"--config.data.batch_size={size}", f"--config.train.mesh.shard={shard}"]
    recipe = configs.read(RECIPE)
    for name in set(recipe.tasks) - set(TASKS):
        del recipe.tasks[name]
    recipe.weighting.weights = {name: recipe.weighting.weights[name] for name in TASKS}
    recipe.compare = {"deblur": recipe.compare.deblur}
    config, _ = configs.resolve(recipe, words)
    source = build_source(config.data, "train")
    experiment = build(config, source.info, len(source))
    devices = layout(shard=shard)
    state = initial_state(experiment, config, source, devices)
    host = batch_at(source, size, config.train.seed, 0)
    batch = place_batch(host, devices)
    step = make_train_step(experiment)
    places: dict[str, Any] = {
        "in_shardings": (devices.of(state), devices.split),
        "out_shardings": (devices.of(state), devices.everywhere),
    }
    program = jax.jit(traced_on(devices.mesh, step), **places, donate_argnums=0).lower(state, batch).compile()
    operations = float(flops.total(step, state, host)) / jax.device_count()
    return found(f"step, {shard}", program, (state, batch), lambda old, new: (new[0], old[1]), operations)


def splitting(side: int) -> dict[str, Any]:
    """ADMM on one image over all devices of this process."""
    import jax
    import jax.numpy as jnp
    from jax.sharding import PartitionSpec

    from mtjax import physics, solvers

    blur, prior = physics.Blur(physics.kernels.gaussian(1.6, 9)), solvers.TotalVariation(2e-3)

    def solve(y: Any) -> Any:
        return solvers.admm(y, blur, prior, iterations=ITERATIONS).image

    with jax.set_mesh(physics.row_mesh()):
        y = jax.device_put(jax.random.uniform(jax.random.key(0), (side, side, 1), jnp.float32), PartitionSpec("rows"))
        program = jax.jit(solve).lower(y).compile()
        return found("ADMM, split image", program, (y,), lambda old, _: old, 0.0)


def on_devices(count: int) -> list[dict[str, Any]]:
    """The rows of one number of devices, from a process that has as many."""
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": str(count), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, __file__, "--measure", *sys.argv[1:]], env=environment, stdout=subprocess.PIPE, check=True
    )
    return json.loads(done.stdout)


def measure() -> None:
    """Prints the rows of this process."""
    each = int(option("each", "4"))
    rows = [training("replicated", each), training("full", each), splitting(int(option("side", "1024")))]
    print(json.dumps(rows))


def print_measured(measured: dict[int, list[dict[str, Any]]]) -> None:
    """The table of what was counted and timed."""
    from mtjax.communication import Collective

    print(f"{'':20}{'devices':>8}{'ms':>9}{'MiB each':>10}{'MB sent each, by kind':>24}")
    for index in range(len(next(iter(measured.values())))):
        for count, rows in measured.items():
            row = rows[index]
            by_kind: dict[str, float] = {}
            for each in (Collective(*fields) for fields in row["collectives"]):
                by_kind[each.kind] = by_kind.get(each.kind, 0) + each.times * each.sent / 1e6
            kinds = ", ".join(f"{kind} {size:.2f}" for kind, size in sorted(by_kind.items()))
            head = f"{row['name']:20}{count:8}{1e3 * row['seconds']:9.1f}{row['memory'] / 2**20:10.1f}"
            print(f"{head}{sum(by_kind.values()):9.2f}  {kinds}")


def main() -> None:
    """Measures and models."""
    if "--measure" in sys.argv:
        measure()
        return
    import scaling_model as model
    from machine import described

    counts = [int(count) for count in option("devices", "1,2,4,8").split(",")]
    print(described())
    measured = {count: on_devices(count) for count in counts}
    print_measured(measured)
    several = max(count for count in counts if count > 1)
    chip = model.chip(option("chip", "h100"))
    print(f"\n{chip.described()}\n")
    replicated, full, _ = measured[several]
    each, utilization = int(option("each", "4")), float(option("utilization", "0.3"))
    for row in (replicated, full):
        one = model.Training.counted(row, several, each, utilization)
        model.print_training(row["name"], one, chip, ROWS_OF_MODEL, int(option("examples", "256")))
    model.print_admm(chip, ROWS_OF_MODEL, weak=4096**2, strong=65_536**2)
    print("\ncounted bytes over those of the model, ADMM: " + model.check_admm(measured, int(option("side", "1024"))))


if __name__ == "__main__":
    main()

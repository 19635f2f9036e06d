"""Times a training step in a process that keeps the memory that it frees, and in one that gives it back.

    python benchmarks/allocator.py [--config=configs/quickstart.py] [--rounds=3] [--config.data.batch_size=8]

Commands of mtjax keep it (`mtjax.allocator`). Each process is new, takes the same compiled step from a cache, and the
two take turns; what is printed are medians over the rounds. The system's part of the CPU time is what clearing pages
costs, and is disturbed by other programs less than the time on the clock. All end with the same state, bit for bit.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zlib

STEPS = 20
KEPT, GIVEN_BACK = "kept", "given back"


def steps(which: str, recipe: str, changes: list[str]) -> dict[str, float]:
    """What a measured process does: a step's costs in milliseconds, pages and, of the process, MiB."""
    from mtjax.allocator import keep_freed_memory

    if which == KEPT and not keep_freed_memory():
        raise SystemExit("this system's C library cannot be told to keep what is freed")
    import jax

    from mtjax import config as configs
    from mtjax.data import build as build_source
    from mtjax.data.pipeline import batch_at
    from mtjax.train.build import build
    from mtjax.train.evaluation import initial_state
    from mtjax.train.step import make_train_step

    config, _ = configs.resolve(configs.read(recipe), changes)
    source = build_source(config.data, "train")
    experiment = build(config, source.info, len(source))
    state = initial_state(experiment, config, source)
    batch = batch_at(source, config.data.batch_size, config.train.seed, 0)
    step = jax.jit(make_train_step(experiment), donate_argnums=0).lower(state, batch).compile()
    state = jax.block_until_ready(step(step(state, batch)[0], batch)[0])
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    for _ in range(STEPS):
        state, _ = step(state, batch)
    jax.block_until_ready(state)
    clock, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    bits = b"".join(jax.device_get(leaf).tobytes() for leaf in jax.tree.leaves(state.params))
    return {
        "ms": 1e3 * clock / STEPS,
        "ms of CPU, own": 1e3 * (after.ru_utime - before.ru_utime) / STEPS,
        "ms of CPU, system's": 1e3 * (after.ru_stime - before.ru_stime) / STEPS,
        "pages cleared": (after.ru_minflt - before.ru_minflt) / STEPS,
        "bits": zlib.crc32(bits),
        "MiB at most": after.ru_maxrss / 1024,
    }


def main() -> None:
    """Measures, and prints the table."""
    words = sys.argv[1:]
    if words and words[0] in (KEPT, GIVEN_BACK):
        print(json.dumps(steps(words[0], words[1], words[2:])))
        return
    from machine import described

    changes = [word for word in words if word.startswith("--config.")]
    options = dict(word.removeprefix("--").split("=", 1) for word in words if word not in changes)
    recipe, rounds = options.pop("config", "configs/quickstart.py"), int(options.pop("rounds", 3))
    if options:
        raise SystemExit(f"unknown --{next(iter(options))}; known are --config, --rounds and --config.FIELD")
    found: dict[str, list[dict[str, float]]] = {GIVEN_BACK: [], KEPT: []}
    with tempfile.TemporaryDirectory() as programs:
        environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": programs}
        for turn in range(rounds + 1):  # the first only compiles
            for which, runs in found.items():
                command = [sys.executable, __file__, which, recipe, *changes]
                done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
                if turn:
                    runs.append(json.loads(done.stdout.splitlines()[-1]))
    if len({run.pop("bits") for runs in found.values() for run in runs}) > 1:
        raise SystemExit("the processes ended with different parameters")
    print(f"{described()}, {recipe}")
    print(f"{'a step':24}" + "".join(f"{which:>12}" for which in found))
    for row in found[KEPT][0]:
        print(f"{row:24}" + "".join(f"{statistics.median(run[row] for run in runs):12.0f}" for runs in found.values()))


if __name__ == "__main__":
    main()

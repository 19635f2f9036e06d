"""What a step of a method costs: its time, the memory that XLA plans for it, and the parameters it trains."""

import dataclasses
import json
import statistics
import time
from pathlib import Path
from typing import Any

import jax

from mtjax.data import build as build_source
from mtjax.data.pipeline import batch_at
from mtjax.train.build import build
from mtjax.train.evaluation import initial_state
from mtjax.train.parallel import compile_step, layout
from mtjax.train.run import write_json
from mtjax.train.step import make_train_step

STEPS = 11  # timed after the first two; an odd number has a middle one


@dataclasses.dataclass(frozen=True)
class Cost:
    """seconds: the median step, compiled, its batch on the device. temporary_bytes: XLA's plan. parameters: trained."""

    seconds: float
    temporary_bytes: int
    parameters: int


def measure(config: Any) -> Cost:
    """The cost of the config's training step, averaged over those that update the weights and those that do not."""
    source = build_source(config.data, "train")
    experiment = build(config, source.info, len(source))
    state = initial_state(experiment, config, source)
    batch = batch_at(source, config.data.batch_size, config.train.seed, 0)
    every = config.weighting.every
    shares = {True: 1 / every, False: 1 - 1 / every}
    seconds, room = 0.0, 0
    for refresh, share in shares.items():
        if share:
            taken, planned = time_step(make_train_step(experiment, refresh), state, batch)
            seconds, room = seconds + share * taken, max(room, planned)
    return Cost(seconds, room, sum(leaf.size for leaf in jax.tree.leaves(state.params)))


def time_step(step: Any, state: Any, batch: Any) -> tuple[float, int]:
    """Seconds of the median call, and the bytes planned for temporaries; steps follow each other, as in training."""
    compiled = compile_step(step)
    state, batch = compiled.place_state(state), compiled.place_batch(batch)
    devices = layout()
    placed = {"in_shardings": (devices.everywhere, devices.split), "out_shardings": devices.everywhere}
    # Just as training compiles it: where compiled programs are kept, this one is there already.
    program = jax.jit(step, **placed, donate_argnums=(0,)).lower(state, batch).compile()
    taken = []
    for _ in range(STEPS + 2):
        start = time.perf_counter()
        state, _ = jax.block_until_ready(program(state, batch))
        taken.append(time.perf_counter() - start)
    memory = program.memory_analysis()
    return statistics.median(taken[2:]), int(memory.temp_size_in_bytes) if memory else 0


def save(cost: Cost, file: Path) -> None:
    """Writes it, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, dataclasses.asdict(cost))


def load(file: Path) -> Cost | None:
    """What was written, if it was."""
    return Cost(**json.loads(file.read_text())) if file.is_file() else None

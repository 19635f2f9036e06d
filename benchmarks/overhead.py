"""Times what a run does beside its steps: its guard, logging, checkpoints with digests, the table in a terminal.

    python benchmarks/overhead.py [--config=configs/quickstart.py] [--rounds=10] [--config.data.batch_size=8]

The bare loop only calls the compiled step, made without its guard, on batches from memory, and waits at the end. Beside
it, in turns in this one process: the step with its guard in the same loop; the loop of `mtjax train`, watchdog and all,
without checkpoints; with one in its midst; with the table that a terminal shows. What counts is the difference within a
round: its median over the rounds, with the quarter and three quarters between which half of them lie. What a checkpoint
adds to a pass is spread over the steps from one to the next. Nothing is evaluated. The CPU time of all threads is
beside the time on the clock: other programs disturb it less.

The second table is what each part takes by itself, in CPU time: what it takes from the step where all cores are busy.
"""

import dataclasses
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import jax
import numpy as np
from machine import described
from rich.console import Console

from mtjax import config as configs
from mtjax.allocator import keep_freed_memory
from mtjax.config import ConfigError
from mtjax.data import build as build_source
from mtjax.data.pipeline import batch_at
from mtjax.train.build import build
from mtjax.train.checkpoint import Checkpoints
from mtjax.train.display import Display
from mtjax.train.evaluation import identity, initial_state
from mtjax.train.logging import Writer
from mtjax.train.loop import Loop
from mtjax.train.parallel import Compiled, compile_step
from mtjax.train.run import schedule
from mtjax.train.signals import StopRequest
from mtjax.train.step import make_train_step
from mtjax.train.watchdog import Watchdog

STEPS = 20  # of a pass
STEP = 100.0  # ms: the step that shares are of
FRAMES = 4  # of a terminal's table in a second


class Cost(NamedTuple):
    """Milliseconds per step: on the clock, and of all threads' CPU time."""

    clock: float
    cpu: float


def timed(run: Callable[[], Any]) -> Cost:
    """What a pass costs."""
    clock, cpu = time.perf_counter(), time.process_time()
    run()
    return Cost(1e3 * (time.perf_counter() - clock) / STEPS, 1e3 * (time.process_time() - cpu) / STEPS)


class Chosen(Checkpoints):
    """Checkpoints of the step that is wanted, and of no other."""

    wanted: int | None = None

    def save(self, step: int, state: Any, score: float | None = None) -> None:
        """Saves, if the step is wanted."""
        if step == self.wanted:
            super().save(step, state, score)


def unasked(batch: dict[str, Any]) -> dict[str, Any]:
    """The batch, with the flags by which a process says that it was not asked to stop."""
    return {**batch, "stopping": np.zeros(len(batch["position"]), bool)}


def unguarded(step: Callable[..., Any]) -> Callable[..., Any]:
    """The step as it is where everything is finite: XLA removes what only the guard reads."""

    def run(state: Any, batch: Any, axis_name: str | None = None) -> Any:
        with mock.patch("jax.lax.cond", lambda finite, changed, kept: changed()):
            return step(state, batch, axis_name)

    return run


class Bench:
    """What is built once, and a pass of each kind."""

    def __init__(self, config: Any, folder: Path):
        source = build_source(config.data, "train")
        self.config, self.folder, self.passes = config, folder, 0
        self.experiment = build(config, source.info, len(source))
        self.batches = [batch_at(source, config.data.batch_size, config.train.seed, k) for k in range(8)]
        step = make_train_step(self.experiment, ema=config.train.ema, spike=config.train.spike)
        self.compiled, self.bare = compile_step(step), compile_step(unguarded(step))
        self.initial = initial_state(self.experiment, config, source)
        self.checkpoints = Chosen(folder / "checkpoints", metadata=identity(self.experiment))

    def only(self, compiled: Compiled) -> Cost:
        """A loop that only calls the step; what it says of itself stays on the device."""
        state = compiled.place_state(self.initial)

        def run() -> None:
            nonlocal state
            for batch in itertools.islice(itertools.cycle(self.batches), STEPS):
                state, _ = compiled.run(state, unasked(batch))
            jax.block_until_ready(state)

        return timed(run)

    def whole(self, saving: bool = False, terminal: bool = False) -> Cost:
        """The loop of `mtjax train`."""
        self.passes += 1
        start = self.passes * STEPS
        self.checkpoints.wanted = start + STEPS // 4 if saving else None
        state = self.compiled.place_state(self.initial)

        def run() -> None:
            with jax.transfer_guard("disallow"):
                jax.block_until_ready(loop.run(state, start))
            self.checkpoints.wait()

        with (
            open(os.devnull, "w") as nowhere,
            self.writer(start, nowhere, terminal) as writer,
            Watchdog(self.config.train.watchdog) as watchdog,
        ):
            loop = self.loop(writer, watchdog, start)
            return timed(run)

    def writer(self, start: int, stream: Any, terminal: bool = False) -> Writer:
        """What writes the metrics; what it shows goes to `stream`."""
        tasks, size = tuple(self.experiment.tasks), self.config.data.batch_size
        console = Console(file=stream, force_terminal=terminal, width=100)
        display = Display(tasks, start + STEPS, size, start, console)
        return Writer(self.folder, tasks, start + STEPS, size, start, display)

    def loop(self, writer: Writer, watchdog: Watchdog, start: int) -> Loop:
        """The loop of `mtjax train`, over as many steps as a pass has."""
        when = schedule(self.config, self.experiment.steps_per_epoch)
        return Loop(
            compiled=self.compiled,
            between=self.compiled,
            batches=itertools.cycle(self.batches),
            validate=lambda params: {"nothing/loss": 1.0},
            show=lambda step, params: None,
            tasks=tuple(self.experiment.tasks),
            checkpoints=self.checkpoints,
            writer=writer,
            stopping=StopRequest(),
            schedule=dataclasses.replace(when, steps=start + STEPS, eval_every=10**9, checkpoint_every=STEPS // 4),
            watchdog=watchdog,
        )


def side_by_side(bench: Bench, rounds: int) -> dict[str, list[Cost]]:
    """The cost of each way in each round, after one round to warm up; every other round goes through them backward."""
    ways: dict[str, Callable[[], Cost]] = {
        "bare": lambda: bench.only(bench.bare),
        "guarded": lambda: bench.only(bench.compiled),
        "loop": bench.whole,
        "checkpoint": lambda: bench.whole(saving=True),
        "terminal": lambda: bench.whole(terminal=True),
    }
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name in list(ways)[:: 1 if turn % 2 else -1]:
            cost = ways[name]()
            if turn:
                costs[name].append(cost)
    return costs


def cpu_time(run: Callable[[], Any], times: int) -> float:
    """Milliseconds of CPU time of a call, over all threads; the median of some."""
    found = []
    for _ in range(times):
        begin = time.process_time()
        run()
        found.append(1e3 * (time.process_time() - begin))
    return statistics.median(found)


def parts(bench: Bench) -> Iterator[tuple[str, float, float]]:
    """Name, milliseconds of CPU time and steps between two, of what the loop does beside the steps."""
    train, compiled, numbers = bench.config.train, bench.compiled, itertools.count(1)
    batch = unasked(bench.batches[0])
    state, metrics = jax.block_until_ready(
        compiled.run(compiled.place_state(bench.initial), compiled.place_batch(batch))
    )
    yield "batch to the device", cpu_time(lambda: jax.block_until_ready(compiled.place_batch(batch)), 50), 1
    with open(os.devnull, "w") as nowhere, bench.writer(0, nowhere) as writer:
        loop = bench.loop(writer, Watchdog(), 0)
        values = loop.named(compiled.fetch(metrics))
        yield "metrics fetched and named", cpu_time(lambda: loop.named(compiled.fetch(metrics)), 50), 1
        yield "progress", cpu_time(lambda: writer.progress(next(numbers), values), 50), 1
        yield "metrics written", cpu_time(lambda: writer.training(1, values), 50), train.log_every

    def save(score: Callable[[int], float | None]) -> None:
        step = bench.checkpoints.wanted = 10**6 + next(numbers)
        bench.checkpoints.save(step, state, score(step))
        bench.checkpoints.wait()

    yield "checkpoint", cpu_time(lambda: save(lambda step: None), 8), train.checkpoint_every
    best = cpu_time(lambda: save(float), 8)
    yield "checkpoint, the best so far", best, train.eval_every or bench.experiment.steps_per_epoch
    with open(os.devnull, "w") as nowhere, bench.writer(0, nowhere, terminal=True) as writer:
        writer.progress(1, values)
        live: Any = writer._display._live
        yield "table in a terminal", cpu_time(live.refresh, 20), 1e3 / STEP / FRAMES


def main() -> None:
    """Measures, and prints the tables."""
    keep_freed_memory()  # as commands do
    words = [word for word in sys.argv[1:] if not word.startswith("--rounds=")]
    rounds = next((int(word.partition("=")[2]) for word in sys.argv[1:] if word.startswith("--rounds=")), 10)
    recipe = next((word.partition("=")[2] for word in words if word.startswith("--config=")), "configs/quickstart.py")
    changes = ["--config.data.batch_size=8", *(word for word in words if word.startswith("--config."))]
    try:
        config, _ = configs.resolve(configs.read(recipe), changes)
    except ConfigError as error:
        sys.exit(f"benchmarks/overhead.py: {error}")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(config, Path(folder))
        report(bench, side_by_side(bench, rounds), list(parts(bench)))
        bench.checkpoints.close()


def report(bench: Bench, costs: dict[str, list[Cost]], found: list[tuple[str, float, float]]) -> None:
    """Prints both tables."""
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(bench.initial)) / 2**20
    rounds, every = len(costs["bare"]), bench.config.train.checkpoint_every
    bare = Cost(*(statistics.median(values) for values in zip(*costs["bare"], strict=True)))
    print(
        f"{described()}\nbatch of {bench.config.data.batch_size}, state of {size:.1f} MiB, {rounds} rounds of {STEPS}"
    )
    print(f"bare step: {bare.clock:.1f} ms, {bare.cpu:.1f} ms of CPU time\n")
    rows = {
        "guard of the step": [("guarded", 1.0), ("bare", -1.0)],
        "logging, batches, watchdog": [("loop", 1.0), ("guarded", -1.0)],
        f"a checkpoint every {every} steps": [("checkpoint", STEPS / every), ("loop", -STEPS / every)],
    }
    rows["all of it"] = [term for terms in rows.values() for term in terms]
    rows["a table in a terminal, besides"] = [("terminal", 1.0), ("loop", -1.0)]
    share = f"of {STEP:.0f} ms"
    print(f"{'side by side':32}{'ms/step':>9}{'quarter':>9}{'3/4':>9}{share:>12}{'CPU ms':>10}{share:>12}")
    for name, terms in rows.items():
        clock, cpu = ([sum(f * costs[way][k][i] for way, f in terms) for k in range(rounds)] for i in (0, 1))
        low, middle, high = statistics.quantiles(clock, n=4)
        taken = statistics.median(cpu)
        print(f"{name:32}{middle:9.2f}{low:9.2f}{high:9.2f}{middle / STEP:12.2%}{taken:10.2f}{taken / STEP:12.2%}")
    print(f"\n{'by itself':32}{'CPU ms':>9}{'steps':>9}{'ms/step':>9}{share:>12}")
    for name, each, steps in found:
        print(f"{name:32}{each:9.2f}{steps:9.1f}{each / steps:9.3f}{each / steps / STEP:12.2%}")


if __name__ == "__main__":
    main()

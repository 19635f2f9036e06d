"""Times the input pipeline beside the step that it feeds, in one process, and in two that share every batch.

    python benchmarks/pipeline.py [--config=configs/quickstart.py] [--rounds=3]

Sources: `digit_scenes`, decoded from the prepared files (first epoch) and kept in memory (later ones); a folder of JPEG
photographs of 1024×768 pixels, made here, decoded anew for each crop (`memory=0`) and kept. All read in processes of
their own, with the threads that a run has, and do nothing else; two read their halves of the batches at the same time.
The recipe's step is measured in turns with them. Below 1 the step waits for its input. In a run both share the cores: a
ratio of 10 means that the input takes up to a tenth of what the step takes. The median over the rounds counts.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from machine import described
from PIL import Image

from mtjax import config as configs
from mtjax.allocator import keep_freed_memory
from mtjax.data import SOURCES, Source
from mtjax.data import build as build_source
from mtjax.data.pipeline import TrainBatches, batch_at
from mtjax.data.sources.digit_scenes_builder import load_material
from mtjax.train.build import build
from mtjax.train.evaluation import initial_state
from mtjax.train.parallel import compile_step
from mtjax.train.step import make_train_step

FILES, SHAPE, QUALITY = 48, (1024, 768), 90  # of the JPEG photographs
SECONDS = 1.5  # that each measurement takes, or an epoch
STEPS = 8  # timed at once


def write_photographs(folder: Path) -> None:
    """Crops of the photographs that `digit_scenes` are made of, as JPEG files."""
    pictures = [picture for picture, _ in load_material("train").photographs.values()]
    for number in range(FILES):
        picture = pictures[number % len(pictures)]
        box = (number, number, picture.width - number, picture.height - number)
        crop = picture.resize(SHAPE, Image.Resampling.LANCZOS, box)
        crop.save(folder / f"{number:03d}.jpg", quality=QUALITY)


def rate(source: Source, batch_size: int, shard: tuple[int, int]) -> float:
    """Examples per second of this process, from the first batch on, in less than an epoch."""
    stream = TrainBatches(source, batch_size, seed=0, shard=shard)
    next(stream)  # threads start
    examples, begin = 0, time.perf_counter()
    for _ in range(len(source) // batch_size - 1):
        examples += len(next(stream)["index"])
        if time.perf_counter() - begin > SECONDS:
            break
    seconds = time.perf_counter() - begin
    stream.close()
    return examples / seconds


def kept(source: Source) -> Source:
    """The source, after every example was read."""
    for index in range(len(source)):
        source.sample(index, np.random.default_rng(0))
    return source


def sources(size: int, folder: str) -> dict[str, Callable[[], Source]]:
    """What is read, by name."""

    def scenes() -> Source:
        return SOURCES["digit_scenes"]("train", size=size)

    def photographs(memory: int) -> Source:
        return SOURCES["folder"]("train", path=folder, size=size, crops=64, memory=memory)

    return {
        "digit_scenes, first epoch": scenes,
        "digit_scenes, kept": lambda: kept(scenes()),
        "JPEG folder, decoded each time": lambda: photographs(0),
        "JPEG folder, kept": lambda: kept(photographs(1024)),
    }


def read(size: int, batch_size: int, folder: str, shard: tuple[int, int]) -> None:
    """What a reading process does: for each line on standard input, the rate of the source that it names."""
    made = sources(size, folder)
    for line in sys.stdin:
        source = made[line.strip()]()
        print("ready", flush=True)
        sys.stdin.readline()
        print(rate(source, batch_size, shard), flush=True)


class Readers:
    """Reading processes that share every batch."""

    def __init__(self, config: Any, folder: str, count: int):
        common = [sys.executable, __file__, f"--read={config.data.size},{config.data.batch_size},{folder}"]
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
        self.processes: list[Any] = [
            subprocess.Popen([*common, f"--shard={rank},{count}"], **pipes) for rank in range(count)
        ]

    def rates(self, name: str) -> list[float]:
        """Examples per second of each process, all reading at the same time."""
        self._tell(name)
        for process in self.processes:
            process.stdout.readline()
        self._tell("go")
        return [float(process.stdout.readline()) for process in self.processes]

    def close(self) -> None:
        """Ends the processes."""
        for process in self.processes:
            process.stdin.close()
            process.wait(60)

    def _tell(self, word: str) -> None:
        for process in self.processes:
            process.stdin.write(word + "\n")


def step_rate(config: Any) -> Callable[[], float]:
    """What measures the examples per second of the recipe's step, fed from memory."""
    source = build_source(config.data, "train")
    experiment = build(config, source.info, len(source))
    compiled = compile_step(make_train_step(experiment))
    batch = compiled.place_batch(batch_at(source, config.data.batch_size, config.train.seed, 0))
    state = compiled.place_state(initial_state(experiment, config, source))
    state, _ = jax.block_until_ready(compiled.run(state, batch))  # compiles

    def run() -> float:
        nonlocal state
        begin = time.perf_counter()
        for _ in range(STEPS):
            state, _ = compiled.run(state, batch)
        jax.block_until_ready(state)
        return STEPS * config.data.batch_size / (time.perf_counter() - begin)

    return run


def main() -> None:
    """Reads the flags, and measures, or reads for the process that does."""
    keep_freed_memory()  # as commands do
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--config", default="configs/quickstart.py", help="recipe, whose data has a `size`")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--read", help=argparse.SUPPRESS)  # of the processes that this one starts
    parser.add_argument("--shard", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        size, batch_size, folder = options.read.split(",", 2)
        rank, count = options.shard.split(",")
        read(int(size), int(batch_size), folder, (int(rank), int(count)))
    else:
        measure(configs.resolve(configs.read(options.config))[0], options.rounds)


def measure(config: Any, rounds: int) -> None:
    """Measures, and prints the table."""
    measure_step = step_rate(config)
    steps: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        write_photographs(Path(folder))
        names = list(sources(config.data.size, folder))
        found: dict[tuple[str, int], list[list[float]]] = {(name, count): [] for name in names for count in (1, 2)}
        readers = {count: Readers(config, folder, count) for count in (1, 2)}
        for _ in range(rounds):
            steps.append(measure_step())
            for name, count in found:
                found[name, count].append(readers[count].rates(name))
        for each in readers.values():
            each.close()
    report(config, statistics.median(steps), found)


def report(config: Any, step: float, found: dict[tuple[str, int], list[list[float]]]) -> None:
    """Prints the table."""
    size = config.data.size
    print(f"{described()}\nbatch of {config.data.batch_size}, {size}×{size}; the step takes {step:.0f} examples/s\n")
    print(f"{'source':32}{'1 process':>11}{'over step':>11}{'2 processes':>13}{'over step':>11}   each")
    for name in dict.fromkeys(name for name, _ in found):
        alone = statistics.median(rates[0] for rates in found[name, 1])
        together = statistics.median(sum(rates) for rates in found[name, 2])
        each = ", ".join(f"{statistics.median(rates):.0f}" for rates in zip(*found[name, 2], strict=True))
        print(f"{name:32}{alone:11.0f}{alone / step:11.1f}{together:13.0f}{together / step:11.1f}   {each}")


if __name__ == "__main__":
    main()

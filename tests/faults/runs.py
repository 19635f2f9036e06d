"""Real runs in processes of their own, what they leave, and how they may end."""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable

import jax
import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
STEPS = 60
started: list[subprocess.Popen] = []  # for whoever has to end them


def command(workdir: pathlib.Path, *more: str) -> list[str]:
    """The command of the run in `workdir`."""
    recipe = f"--config={HERE / 'recipe.py'}"
    return [sys.executable, "-m", "mtjax.cli", "train", recipe, f"--workdir={workdir}", *more]


def start(workdir: pathlib.Path, *more: str, fault: str = "") -> subprocess.Popen:
    """Starts the run, with a fault of `faulty_source`; its data lies beside the workdirs and is shared by them."""
    environment = {**os.environ, "MTJAX_DATA": str(workdir.parent / "data"), "MTJAX_TEST_FAULT": fault}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    started.append(subprocess.Popen(command(workdir, *more), env=environment, **pipes))
    return started[-1]


def start_ranks(workdir: pathlib.Path, *more: str, faults: tuple[str, str] = ("", "")) -> list[subprocess.Popen]:
    """Starts the run in two processes, each with a fault of its own."""
    from mtjax.train.local import free_port

    flags = (*more, f"--coordinator=127.0.0.1:{free_port()}", "--num-processes=2")
    return [start(workdir, *flags, f"--process-id={rank}", fault=fault) for rank, fault in enumerate(faults)]


def finish(process: subprocess.Popen, timeout: float = 240) -> tuple[int, str]:
    """Its exit code and all it said."""
    output, _ = process.communicate(timeout=timeout)
    return process.returncode, output


def until(condition: Callable[[], bool], process: subprocess.Popen, timeout: float = 240) -> None:
    """Waits for a condition while the process lives."""
    begin = time.monotonic()
    while not condition():
        if process.poll() is not None:
            raise AssertionError(f"the run ended with {process.returncode}: {process.stdout.read()}")
        assert time.monotonic() - begin < timeout
        time.sleep(0.005)


def steps_written(workdir: pathlib.Path) -> int:
    """The last step in the metrics file, 0 if there is none."""
    path = workdir / "metrics.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return json.loads(lines[-1])["step"] if lines else 0


def validated(workdir: pathlib.Path) -> list[int]:
    """The steps in the metrics file that the validation split was evaluated after."""
    path = workdir / "metrics.jsonl"
    lines = map(json.loads, path.read_text().split("\n")[:-1]) if path.exists() else []
    return [line["step"] for line in lines if line["split"] == "validation"]


def saved(workdir: pathlib.Path) -> int:
    """The step of the latest checkpoint, 0 if there is none."""
    names = [path.name for path in (workdir / "checkpoints" / "latest").glob("[0-9]*")]
    return max((int(name) for name in names if name.isdigit()), default=0)


def example_of(step: int, folder: pathlib.Path) -> int:
    """The number of an example that is read for a step of the recipe, and for no other of its epoch."""
    from faulty_source import faulty

    from mtjax.data.pipeline import batch_at

    source = faulty("train", data_dir=str(folder / "data"))
    return int(batch_at(source, batch_size=4, seed=0, step=step - 1)["index"][0])


def fingerprint(workdir: pathlib.Path) -> dict[str, str]:
    """SHA-256 of every array of the final state, of the metrics file and of the evaluation."""
    from mtjax import config as configs
    from mtjax.data import build as build_source
    from mtjax.train.build import build
    from mtjax.train.checkpoint import Checkpoints
    from mtjax.train.evaluation import identity, state_template

    config = configs.load(workdir)
    config.unlock()
    config.data.data_dir = str(workdir.parent / "data")
    source = build_source(config.data, "train")
    experiment = build(config, source.info, len(source))
    template = state_template(experiment, config, source)
    with Checkpoints(workdir / "checkpoints", metadata=identity(experiment)) as checkpoints:
        state, step = checkpoints.restore(template)
    assert step == STEPS
    files = ("metrics.jsonl", "evaluation.json")
    prints = {name: hashlib.sha256((workdir / name).read_bytes()).hexdigest() for name in files}
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        data = jax.random.key_data(leaf) if jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
        prints[jax.tree_util.keystr(path)] = hashlib.sha256(np.asarray(data).tobytes()).hexdigest()
    return prints

"""Times what comes before the first step of `mtjax train`, with nothing kept of earlier runs, and with all of it.

    python benchmarks/startup.py [--config=configs/quickstart.py] [--rounds=3]

Each start is the command itself in a process of its own, up to the metrics of its first step, and is then ended. The
cold one makes the data set too and compiles everything; it is run once. The warm ones find both: their median counts.
Where the phases begin and end is seen by wrapping functions of `mtjax.train.run`; the same for `import`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

FIRST_STEP = "first step"
IMPORTS = ("jax", "mtjax", "mtjax.solvers", "mtjax.models", "mtjax.data", "mtjax.train")


def start(arguments: list[str]) -> None:
    """What a measured process does: `mtjax train`, printing the time at the end of each phase."""
    marks = {"Python": time.time()}

    def marked(function: Callable[..., Any], phase: str) -> Callable[..., Any]:
        def watched(*positional: Any, **named: Any) -> Any:
            result = function(*positional, **named)
            marks[phase] = time.time()
            if phase == FIRST_STEP:
                print(json.dumps(marks), flush=True)
                os._exit(0)
            return result

        return watched

    from mtjax import cli
    from mtjax.train import logging

    module = sys.modules["mtjax.train.run"]  # `mtjax.train.run` is the function of that name
    marks["imports"] = time.time()
    for name, phase in {"build_source": "data", "initial_state": "parameters"}.items():
        setattr(module, name, marked(getattr(module, name), phase))
    logging.Writer.progress = marked(logging.Writer.progress, FIRST_STEP)
    sys.exit(cli.main(["train", *arguments]))


def phases(config: str, folder: str) -> dict[str, float]:
    """Seconds of each phase of a start that keeps its data and its compiled programs in `folder`."""
    environment = {**os.environ, "MTJAX_DATA": f"{folder}/data", "JAX_COMPILATION_CACHE_DIR": f"{folder}/programs"}
    with tempfile.TemporaryDirectory() as workdir:
        command = [sys.executable, __file__, f"--start={config}", f"--workdir={workdir}"]
        last = time.time()
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=600)
    found = {}
    for phase, at in json.loads(done.stdout.splitlines()[-1]).items():
        found[phase], last = at - last, at
    return found


def imports() -> dict[str, float]:
    """Seconds that it takes a new Python to start and import each package."""
    found = {}
    for name in IMPORTS:
        begin = time.time()
        subprocess.run([sys.executable, "-c", f"import {name}"], check=True, timeout=600)
        found[name] = time.time() - begin
    return found


def table(title: str, columns: dict[str, list[dict[str, float]]]) -> None:
    """Prints the median of each row, and the sum of phases."""
    print(f"\n{title:24}" + "".join(f"{name:>10}" for name in columns))
    for row in next(iter(columns.values()))[0]:
        print(f"{row:24}" + "".join(f"{statistics.median(r[row] for r in runs):10.2f}" for runs in columns.values()))


def main() -> None:
    """Measures, and prints the tables."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--config", default="configs/quickstart.py", help="recipe")
    parser.add_argument("--rounds", type=int, default=3, help="of warm starts")
    parser.add_argument("--start", help=argparse.SUPPRESS)  # of the processes that this one starts
    parser.add_argument("--workdir", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.start:
        start([f"--config={options.start}", f"--workdir={options.workdir}"])
    from machine import described  # imports JAX, which a measured process must not have done before it begins

    with tempfile.TemporaryDirectory() as folder:
        cold = [phases(options.config, folder)]
        warm = [phases(options.config, folder) for _ in range(options.rounds)]
    print(described())
    for run in (*cold, *warm):
        run["all"] = sum(run.values())
    table("seconds, mtjax train", {"cold": cold, "warm": warm})
    imports()  # from here on, files are in the system's memory
    table("seconds, import", {"": [imports() for _ in range(options.rounds)]})


if __name__ == "__main__":
    main()

"""`mtjax compare`: from a workdir to its tables, pictures and page."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mtjax.compare.figures import grid
from mtjax.compare.page import page
from mtjax.compare.results import Comparison, to_json
from mtjax.compare.run import compare
from mtjax.compare.table import print_comparison, to_csv


def compare_command(workdir: str | Path, limit: int | None = None, single_task: bool = False) -> int:
    """Compares the network of a workdir with the solvers of its config, prints the tables and writes the files.

    Args:
        workdir: the folder of a training.
        limit: at most so many test images.
        single_task: first train each task alone, in `WORKDIR/single/TASK`; what is there already is not trained again.

    Returns:
        The exit code: 0, or that of a single-task training which was stopped.
    """
    from rich.console import Console

    from mtjax import train

    console = Console()
    console = console if console.is_terminal else Console(width=120)  # in a file nothing needs to be cut off
    trained = train.restore(workdir)
    if single_task and (code := train_alone(trained.config, Path(workdir), console.print)):
        return code
    with console.status("comparing") as status:
        comparison = compare(trained, workdir, limit=limit, progress=lambda what: status.update(f"comparing {what}"))
    print_comparison(comparison, console)
    for file in write(comparison, workdir):
        console.print(f"  {file}", highlight=False, markup=False, soft_wrap=True)
    return 0


def train_alone(config: Any, workdir: Path, say: Callable[[str], None]) -> int:
    """Trains every task of a config alone, with the same recipe and equal weighting; 0, or the exit code of a stop."""
    from mtjax import train
    from mtjax.config import plain, resolve

    if len(config.tasks) < 2:
        return 0
    for task in config.tasks:
        say(f"training {task} alone")
        alone, overrides = resolve(plain(config), [f"--config.tasks={task}", "--config.weighting.kind=equal"])
        if code := train.run(alone, overrides, workdir / "single" / task):
            return code
    return 0


def write(comparison: Comparison, workdir: str | Path) -> list[Path]:
    """Writes comparison.json, .csv, .html and a picture per task, comparison_TASK.png; comparison.png is the first one.

    Returns the paths. Each file is written whole or not at all.
    """
    workdir = Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    figures = {task.task: grid(task) for task in comparison.tasks}
    contents = {
        "comparison.json": json.dumps(to_json(comparison), indent=1, allow_nan=False, default=str).encode(),
        "comparison.csv": to_csv(comparison).encode(),
        "comparison.html": page(comparison, figures).encode(),
        **{f"comparison_{task}.png": figure for task, figure in figures.items()},
    }
    if figures:
        contents["comparison.png"] = next(iter(figures.values()))
    for name, content in contents.items():
        draft = workdir / f"{name}.tmp"
        draft.write_bytes(content)
        os.replace(draft, workdir / name)
    return [workdir / name for name in contents]

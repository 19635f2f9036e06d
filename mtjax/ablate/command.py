"""`mtjax ablate`: runs what there is to run, and says what came of it."""

import json
import os
from pathlib import Path
from typing import Any

from mtjax.ablate.figure import figure
from mtjax.ablate.plan import check_folder, make_plan
from mtjax.ablate.results import Ablation, collect, to_json
from mtjax.ablate.run import make_runs
from mtjax.ablate.table import print_ablation, to_csv, to_markdown
from mtjax.compare.run import environment
from mtjax.data import build as build_source
from mtjax.train.build import build_tasks


def ablate_command(
    config: Any,
    workdir: str | Path,
    weightings: str | None = None,
    sharings: str | None = None,
    seeds: int = 3,
    learning_rates: str | None = None,
) -> int:
    """Trains every task alone and every combination, prints the tables and writes the files; see `make_plan`.

    The files are written when it is stopped, too. Failed runs are made again by the next call.

    Returns:
        The exit code: 0, or that of a training which was stopped.

    Raises:
        ConfigError: the flags ask for what there is not, or the folder holds runs of another config.
    """
    from rich.console import Console

    workdir = Path(workdir)
    plan = make_plan(config, weightings, sharings, seeds, learning_rates)
    check_folder(plan.runs, workdir)
    tasks = build_tasks(config, build_source(config.data, "validation").info)
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=160)
    code, failed = make_runs(plan, workdir, lambda text: console.print(text, style="bold", markup=False))
    ablation = collect(plan, workdir, tasks, failed, environment())
    print_ablation(ablation, console)
    for file in write(ablation, workdir):
        console.print(f"  {file}", markup=False, soft_wrap=True)
    if code:
        console.print(f"stopped and saved; the same command goes on in {workdir}", markup=False, soft_wrap=True)
    return code


def write(ablation: Ablation, workdir: Path) -> list[Path]:
    """Writes ablation.json, .csv, .md and .png, each whole or not at all; returns their paths."""
    workdir.mkdir(parents=True, exist_ok=True)
    contents = {
        "ablation.json": json.dumps(to_json(ablation), indent=1, allow_nan=False).encode(),
        "ablation.csv": to_csv(ablation).encode(),
        "ablation.md": to_markdown(ablation).encode(),
        "ablation.png": figure(ablation),
    }
    for name, content in contents.items():
        draft = workdir / f"{name}.tmp"
        draft.write_bytes(content)
        os.replace(draft, workdir / name)
    return [workdir / name for name in contents]

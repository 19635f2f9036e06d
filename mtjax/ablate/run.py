"""Makes the runs of a plan, one after the other; those that are done already are not repeated."""

from collections.abc import Callable
from pathlib import Path

import jax

from mtjax import train
from mtjax.ablate import cost
from mtjax.ablate.plan import Method, Plan, Run
from mtjax.compare.together import FILE
from mtjax.registry import one_line
from mtjax.train.signals import EXIT_STOPPED, stop_requested


def make_runs(plan: Plan, workdir: Path, say: Callable[[str], None]) -> tuple[int, dict[Path, str]]:
    """Trains what is not yet trained, and measures what a step of each method costs.

    Returns:
        The exit code, 0 or `EXIT_STOPPED`, and why runs failed, by their folders; a failed run ends no other.
    """
    failed: dict[Path, str] = {}
    with stop_requested() as stopping:
        for number, run in enumerate(plan.runs, 1):
            if stopping():
                return EXIT_STOPPED, failed
            try:
                if not (workdir / run.folder / FILE).is_file():
                    say(f"run {number} of {len(plan.runs)}: {run.folder.relative_to('runs')}")
                if code := make_run(run, workdir):
                    return code, failed
            except Exception as error:
                failed[run.folder] = one_line(error)
                say(f"failed: {failed[run.folder]}")
    return 0, failed


def make_run(run: Run, workdir: Path) -> int:
    """One run, unless it is done, and the cost of its method, unless it is known; the exit code of the training.

    Raises:
        ValueError: there is no such config.
        Exception: whatever goes wrong in training.
    """
    if run.config is None:
        raise ValueError(run.problem)
    folder, file = workdir / run.folder, cost_file(run.method, workdir)
    try:
        if not (folder / FILE).is_file() and (code := train.run(run.config, dict(run.overrides), folder)):
            return code
        if not file.is_file():
            cost.save(cost.measure(run.config), file)
    finally:
        jax.clear_caches()  # no run meets another's programs again, and there may be hundreds
    return 0


def cost_file(method: Method, workdir: Path) -> Path:
    """Where the cost of a method is kept."""
    return workdir / "costs" / f"{method.name}.json"

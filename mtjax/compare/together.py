"""What learning together did to each task, against the same task learned alone: from the evaluations in the workdir."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

from mtjax.compare.results import Together
from mtjax.metrics import delta_m_flat, delta_m_task
from mtjax.tasks import Task

FILE = "evaluation.json"


def together(tasks: Mapping[str, Task], workdir: Path) -> Together:
    """Each metric of `WORKDIR/evaluation.json` beside that of `WORKDIR/single/TASK/evaluation.json`, and both Δm.

    Tasks that were not trained alone have no second number and no part in Δm; nor has a metric that is not finite or
    whose single-task value is 0.
    """
    values = split_metrics(workdir)
    metrics: dict[str, tuple[float, float | None, bool]] = {}
    for name, task in tasks.items():
        alone = split_metrics(workdir / "single" / name)
        for metric, direction in task.directions.items():
            key = f"{name}/{metric}"
            if key in values:
                metrics[key] = (values[key], alone.get(key), direction == "higher")
    here = {key: value for key, (value, _, _) in metrics.items() if math.isfinite(value)}
    there = {key: alone for key, (_, alone, _) in metrics.items() if alone and math.isfinite(alone)}
    compared = {key: value for key, value in here.items() if key in there}
    if not compared:
        return Together(metrics, None, None, ())
    higher = {key: row[2] for key, row in metrics.items()}
    flat, by_task = (delta(compared, there, higher) for delta in (delta_m_flat, delta_m_task))
    return Together(metrics, flat, by_task, tuple(compared))


def split_metrics(workdir: Path, split: str = "test") -> dict[str, float]:
    """The metrics that a training wrote of a split at its end, by "TASK/METRIC"; none if it has not ended."""
    file = workdir / FILE
    if not file.is_file():
        return {}
    try:
        return {name: float(value) for name, value in json.loads(file.read_text())[split].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} is damaged: {type(error).__name__}: {error}") from error

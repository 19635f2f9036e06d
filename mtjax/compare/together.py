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
    values = test_metrics(workdir)
    metrics: dict[str, tuple[float, float | None, bool]] = {}
    for name, task in tasks.items():
        alone = test_metrics(workdir / "single" / name)
        for metric, direction in task.better.items():
            key = f"{name}/{metric}"
            if key in values:
                metrics[key] = (values[key], alone.get(key), direction == "higher")
    usable = {
        key: row
        for key, row in metrics.items()
        if row[1] is not None and row[1] != 0 and math.isfinite(row[0]) and math.isfinite(row[1])
    }
    if not usable:
        return Together(metrics, None, None, ())
    arguments = [{key: row[column] for key, row in usable.items()} for column in range(3)]
    return Together(metrics, delta_m_flat(*arguments), delta_m_task(*arguments), tuple(usable))


def test_metrics(workdir: Path) -> dict[str, float]:
    """The test metrics that a training wrote at its end, by "TASK/METRIC"; none if it has not ended."""
    file = workdir / FILE
    if not file.is_file():
        return {}
    try:
        return {name: float(value) for name, value in json.loads(file.read_text())["test"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} is damaged: {type(error).__name__}: {error}") from error

"""What a run writes down of itself: metrics.jsonl, TensorBoard's event files, and the display."""

import json
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtjax.train.display import Display
from mtjax.train.tensorboard import EventFile


def _for_json(value: Any) -> int | float | None:
    """A number as short as float32 allows; null where it is not finite, which JSON cannot say."""
    if isinstance(value, int | np.integer):
        return int(value)
    value = float(value)
    if not math.isfinite(value):
        return None
    with np.errstate(over="ignore"):
        single = np.float32(value)
    return float(str(single)) if float(single) == value else value


def _kept_lines(path: pathlib.Path, last_step: int) -> list[str]:
    """The lines up to a step; what a killed run left half-written is no line."""
    kept = []
    for line in path.read_text(errors="replace").splitlines() if path.exists() else []:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and record.get("step", math.inf) <= last_step:
            kept.append(line)
    return kept


def written(path: pathlib.Path, step: int, split: str) -> bool:
    """Whether a metrics file has the line of a step and a split."""
    records = (json.loads(line) for line in _kept_lines(path, step))
    return any(record.get("step") == step and record.get("split") == split for record in records)


class MetricsFile:
    """A file of one JSON object per line: {"step": 20, "split": "train", "loss": 0.5, "TASK/loss": ...}.

    Args:
        path: the file. If it is there, what it says of steps after `start` is dropped: the run makes them again.
        start: the step that the run goes on from.
    """

    def __init__(self, path: pathlib.Path | str, start: int = 0):
        path = pathlib.Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(path.name + ".tmp")
        draft.write_text("".join(line + "\n" for line in _kept_lines(path, start)))
        os.replace(draft, path)
        self._file = path.open("a")

    def write(self, step: int, split: str, values: Mapping[str, Any]) -> None:
        """Appends a line, and hands it to the operating system before it returns."""
        record = {"step": step, "split": split, **{name: _for_json(value) for name, value in values.items()}}
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class Writer:
    """Writes a run's metrics to all places at once.

    Args:
        workdir: gets metrics.jsonl and tensorboard/.
        tasks: names of the tasks.
        steps: length of the run.
        batch_size: examples per step.
        start: the step that the run goes on from.
        display: what shows the run; one on standard output by default.
    """

    def __init__(
        self,
        workdir: pathlib.Path | str,
        tasks: Sequence[str],
        steps: int,
        batch_size: int,
        start: int = 0,
        display: Display | None = None,
    ):
        self._tasks = tuple(tasks)
        self._metrics = MetricsFile(pathlib.Path(workdir) / "metrics.jsonl", start)
        self._events = EventFile(pathlib.Path(workdir) / "tensorboard", start)
        self._display = display or Display(tasks, steps, batch_size, start)

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self._display.close()
        self._events.close()
        self._metrics.close()

    def progress(self, step: int, values: Mapping[str, Any]) -> None:
        """Shows a step; writes nothing."""
        self._display.step(step, self._losses(values))

    def training(self, step: int, values: Mapping[str, Any]) -> None:
        """Writes a training step's metrics: "loss", which is the weighted sum, and "TASK/..."."""
        self._write(step, "train", values)
        self._display.training(step, float(values["loss"]), self._losses(values))

    def evaluation(self, step: int, split: str, values: Mapping[str, Any]) -> None:
        """Writes an evaluation's metrics, "TASK/METRIC"."""
        self._write(step, split, values)
        self._display.evaluation(step, split, {name: float(value) for name, value in values.items()})

    def _losses(self, values: Mapping[str, Any]) -> dict[str, float]:
        return {task: float(values[f"{task}/loss"]) for task in self._tasks if f"{task}/loss" in values}

    def _write(self, step: int, split: str, values: Mapping[str, Any]) -> None:
        self._metrics.write(step, split, values)
        self._events.scalars(step, {f"{split}/{name}": float(value) for name, value in values.items()})


class Mute(Writer):
    """Writes nothing and shows nothing: the writer of all processes of a run but the first."""

    def __init__(self):
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def progress(self, step: int, values: Mapping[str, Any]) -> None:
        """Nothing."""

    def training(self, step: int, values: Mapping[str, Any]) -> None:
        """Nothing."""

    def evaluation(self, step: int, split: str, values: Mapping[str, Any]) -> None:
        """Nothing."""

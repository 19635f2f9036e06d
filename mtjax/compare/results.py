"""What a comparison found, as plain data; `to_json` is what comparison.json holds."""

import dataclasses
import math
from typing import Any

import numpy as np

from mtjax.compare.statistics import Interval


@dataclasses.dataclass(frozen=True)
class Scores:
    """What one method did with the test images.

    name: as in the tables. family: "observed", "solver" or "learned".
    psnr, ssim: [N], of the images clipped to [0, 1]. failed: images with pixels that are not finite, counted as black.
    milliseconds: per image, in a whole batch. working_bytes: scratch memory of the compiled program, per image.
    chosen: the solver parameters found on the validation split. at_edge: those at the edge of what was searched.
    parameters: of a network, {"shared": ..., "head": ...}. detail: what else there is to say.
    """

    name: str
    family: str
    psnr: np.ndarray
    ssim: np.ndarray
    failed: int
    milliseconds: float
    working_bytes: float
    chosen: dict[str, float] = dataclasses.field(default_factory=dict)
    at_edge: tuple[str, ...] = ()
    parameters: dict[str, int] = dataclasses.field(default_factory=dict)
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class Row:
    """A method's line in the tables: `scores`, and their intervals.

    difference: PSNR minus that of the reference on the same images; None for the reference itself.
    """

    scores: Scores
    psnr: Interval
    ssim: Interval
    difference: Interval | None


@dataclasses.dataclass(frozen=True)
class Example:
    """Pictures of one test image, by its index in the split: clean, observed, each method's, [H, W, C] in [0, 1]."""

    title: str
    index: int
    clean: np.ndarray
    observed: np.ndarray
    images: dict[str, np.ndarray]
    psnr: dict[str, float]


@dataclasses.dataclass(frozen=True)
class TaskComparison:
    """One task: what was observed, every method's row, and what follows for the learned head.

    reference: the name of the method that the differences are to: the best solver by mean test PSNR.
    better: whether the learned head is better, in `verdict`'s words; None if they cannot be told apart.
    """

    task: str
    observation: dict[str, Any]
    test_images: int
    validation_images: int
    batch_size: int
    reference: str
    rows: tuple[Row, ...]
    verdict: str
    better: bool | None
    examples: tuple[Example, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader should know before trusting the numbers."""
        lines = []
        for row in self.rows:
            scores = row.scores
            for parameter in scores.at_edge:
                value = scores.chosen[parameter]
                lines.append(
                    f"{self.task}: {parameter} of {scores.name} was chosen at the edge of its range, {value:.3g}; "
                    "a wider range may serve it better"
                )
            if scores.failed:
                lines.append(
                    f"{self.task}: {scores.name} gave pixels that are not finite in {scores.failed} of "
                    f"{self.test_images} images, which count as black"
                )
        return tuple(lines)


@dataclasses.dataclass(frozen=True)
class LabelRow:
    """A method of a task that gives no image: its metrics on the test split, its time, and what was chosen for it.

    note: what a reader should know of its numbers.
    """

    name: str
    values: dict[str, float]
    milliseconds: float
    chosen: dict[str, Any]
    note: str = ""


@dataclasses.dataclass(frozen=True)
class LabelComparison:
    """One task whose head gives no image, or that is judged by more than its image, beside classical counterparts.

    better: by metric, "higher" or "lower". difference: of the headline, learned minus `reference`, the best
    counterpart on the test split. learned_is_better: None if they cannot be told apart.
    """

    task: str
    kind: str
    headline: str
    better: dict[str, str]
    test_images: int
    validation_images: int
    reference: str
    rows: tuple[LabelRow, ...]
    difference: Interval
    learned_is_better: bool | None

    @property
    def verdict(self) -> str:
        """One honest sentence."""
        words = {True: "better than", False: "worse than", None: "not told apart from"}[self.learned_is_better]
        return f"learned is {words} {self.reference} in {self.headline}: {self.difference.text(3, sign=True)}"


@dataclasses.dataclass(frozen=True)
class Together:
    """Every task's metrics on the test split, learned together and alone, and both Δm in percent.

    metrics: by "TASK/METRIC", (together, alone or None, higher is better). delta_m_flat: lower is better; delta_m_task:
    higher is better; None where no task was trained alone. compared: the metrics that they are about.
    """

    metrics: dict[str, tuple[float, float | None, bool]]
    delta_m_flat: float | None
    delta_m_task: float | None
    compared: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """All of it. `environment` says on what the times were taken."""

    tasks: tuple[TaskComparison, ...]
    together: Together
    environment: dict[str, Any]
    config: dict[str, Any]
    step: int | None
    evaluation_seed: int
    labels: tuple[LabelComparison, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Those of every task."""
        return tuple(line for task in self.tasks for line in task.warnings)


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Plain dicts, lists, numbers and strings; what is not finite becomes None. Pictures are left out."""
    return to_plain({**dataclasses.asdict(comparison), "warnings": comparison.warnings})


def to_plain(value: Any) -> Any:
    """Dicts, lists, numbers and strings; what is not finite becomes None, `examples` are left out."""
    if isinstance(value, dict):
        return {str(key): to_plain(item) for key, item in value.items() if key != "examples"}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return [round(float(item), 5) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

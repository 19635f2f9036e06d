"""The one training loop.

Order of what happens after step k (k counts from 1), which resuming relies on; do not change it:
  1. metrics of step k - 1 are fetched and written, while the device is at work on step k;
  2. at the end of an epoch, or every `eval_every` steps, and after the last step: metrics of step k are written too,
     then those of the validation split, and pictures where a task makes some;
  3. then, and every `checkpoint_every` steps, and when the run was asked to stop: the state is saved, with its
     validation score where there is one, by which the best is kept.
So all metrics up to step k are on disk before a checkpoint of step k exists; on resuming, later lines are dropped and
written again.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from mtjax.train.checkpoint import Checkpoints
from mtjax.train.evaluation import validation_score
from mtjax.train.logging import Writer
from mtjax.train.parallel import Compiled
from mtjax.train.state import State


class TooManySkips(RuntimeError):
    """So many updates in a row were not finite that going on is pointless; the last good checkpoint stands."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """When things happen, in steps."""

    steps: int
    eval_every: int
    log_every: int
    checkpoint_every: int
    skip_limit: int
    refresh_every: int  # of the task weights


# What a step says in one number, if it says it; "solved": whether the weighting solved its own small problem.
SINGLE = ("conflict_rate", "norm_ratio", "solved", "gradient_norm", "update_norm")


@dataclasses.dataclass
class Loop:
    """Everything the loop touches.

    compiled: the step, compiled for the devices; between: the one that keeps task weights, for the steps between two
    updates of them; batches: from the state's step on; validate: parameters to values; show: `(step, parameters)`, to
    keep pictures of what the network makes.
    stopping: whether the run was asked to stop.
    """

    compiled: Compiled
    between: Compiled
    batches: Iterator[dict[str, Any]]
    validate: Callable[[Any], dict[str, float]]
    show: Callable[[int, Any], None]
    tasks: tuple[str, ...]
    checkpoints: Checkpoints
    writer: Writer
    stopping: Callable[[], bool]
    schedule: Schedule

    def run(self, state: State, start: int) -> State:
        """Trains from step `start` to the last, or until asked to stop; returns the final state.

        Raises:
            TooManySkips: `skip_limit` updates in a row changed nothing.
        """
        when = self.schedule
        pending: tuple[int, dict[str, Any]] | None = None
        for step in range(start + 1, when.steps + 1):
            compiled = self.compiled if (step - 1) % when.refresh_every == 0 else self.between
            state, metrics = compiled.run(state, compiled.place_batch(next(self.batches)))
            self.write(pending)
            pending = (step, metrics)
            evaluating = step % when.eval_every == 0 or step == when.steps
            stopping = self.stopping()
            if not (evaluating or stopping or step % when.checkpoint_every == 0):
                continue
            self.write(pending)
            pending, score = None, None
            if evaluating:
                values = self.validate(state.evaluated)
                self.writer.evaluation(step, "validation", values)
                self.show(step, state.evaluated)
                score = validation_score(values)
            self.checkpoints.save(step, state, score)
            if stopping:
                break
        return state

    def write(self, pending: tuple[int, dict[str, Any]] | None) -> None:
        """Fetches one step's metrics and hands them on; gives up if too many updates in a row were skipped."""
        if pending is None:
            return
        step, metrics = pending[0], self.compiled.fetch(pending[1])
        if (in_row := int(metrics["skipped_in_row"])) >= self.schedule.skip_limit:
            raise TooManySkips(
                f"{in_row} updates in a row were not finite, up to step {step}; the last good checkpoint is that of "
                f"step {self.checkpoints.latest_step()}. Lower optimizer.lr, or look at the data with `mtjax show data`"
            )
        epoch_end = step % self.schedule.eval_every == 0
        if step % self.schedule.log_every == 0 or epoch_end or step == self.schedule.steps:
            self.writer.training(step, self.named(metrics))
        self.writer.progress(step, self.named(metrics))

    def named(self, metrics: dict[str, Any]) -> dict[str, float]:
        """One step's metrics by name: of each task, of each pair of tasks the cosine of their gradients, of all."""
        values = {"loss": float(np.sum(metrics["weights"] * metrics["losses"]))}
        for i, task in enumerate(self.tasks):
            values[f"{task}/loss"] = float(metrics["losses"][i])
            values[f"{task}/epoch_loss"] = float(metrics["epoch_losses"][i])
            values[f"{task}/weight"] = float(metrics["weights"][i])
        for i, j in itertools.combinations(range(len(self.tasks)), 2):
            values[f"cosine/{self.tasks[i]}/{self.tasks[j]}"] = float(metrics["cosine"][i, j])
        values |= {name: float(metrics[name]) for name in SINGLE if name in metrics}
        values["skipped"] = int(metrics["skipped"])
        return values

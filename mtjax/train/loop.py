"""The one training loop.

Order of what happens after step k (k counts from 1), which resuming relies on; do not change it:
  1. metrics of step k - 1 are fetched and written, while the device is at work on step k;
  2. at the end of an epoch, or every `eval_every` steps, and after the last step: metrics of step k are written too,
     then those of the validation split, and pictures where a task makes some;
  3. then, and every `checkpoint_every` steps, and when the run was asked to stop: the state is saved, with its
     validation score where there is one, by which the best is kept; but not while updates are skipped, unless the run
     ends here.
So all metrics up to step k are on disk before a checkpoint of step k exists; on resuming, later lines are dropped and
written again.

A request to stop goes with the batch of the next step to all processes and comes back with that step's metrics, so all
of them learn of it at the same step. It goes before an evaluation, and ends one; a run that goes on begins with it.
"""

import contextlib
import dataclasses
import itertools
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from mtjax.train.checkpoint import Checkpoints
from mtjax.train.evaluation import validation_score
from mtjax.train.logging import Writer
from mtjax.train.parallel import Compiled
from mtjax.train.signals import Stopped, StopRequest
from mtjax.train.state import State
from mtjax.train.watchdog import Watchdog

_LOG = logging.getLogger("mtjax")


class TooManySkips(RuntimeError):
    """So many updates in a row were skipped that going on is pointless; the last good checkpoint stands."""


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
    updates of them; batches: from the state's step on; validate: parameters to values, or Stopped; show:
    `(step, parameters)`, to keep pictures of what the network makes.
    stopping: whether this process was asked to stop; watchdog: what ends the run where it hangs.
    """

    compiled: Compiled
    between: Compiled
    batches: Iterator[dict[str, Any]]
    validate: Callable[[Any], dict[str, float]]
    show: Callable[[int, Any], None]
    tasks: tuple[str, ...]
    checkpoints: Checkpoints
    writer: Writer
    stopping: StopRequest
    schedule: Schedule
    watchdog: Watchdog = dataclasses.field(default_factory=Watchdog)
    skipping: bool = dataclasses.field(default=False, init=False)  # whether the last step known of changed nothing

    def run(self, state: State, start: int, evaluated: bool = True) -> State:
        """Trains from step `start` to the last; returns the final state.

        Args:
            state: after step `start`, on the devices.
            start: the number of steps made.
            evaluated: whether the metrics of step `start` have those of the validation split, if it is their turn.

        Raises:
            Stopped: the run was asked to stop, and has saved.
            TooManySkips: `skip_limit` updates in a row changed nothing.
        """
        when = self.schedule
        pending: tuple[int, dict[str, Any]] | None = None
        if self.evaluates(start) and not evaluated:
            self.save(start, state, self.evaluate(start, state))
        for step in range(start + 1, when.steps + 1):
            compiled = self.compiled if (step - 1) % when.refresh_every == 0 else self.between
            try:
                batch = self.next_batch(step)
            except Stopped:
                self.write(pending)
                self.save_for_good(step - 1, state)
                raise
            # One step more than there are programs: it waits for the one before, which others may still compile.
            self.watchdog.waits_for(f"step {step}", compiles=step <= start + when.refresh_every + 1)
            state, metrics = compiled.run(state, compiled.place_batch(batch))
            stopping = self.write(pending)
            pending = (step, metrics)
            if not (stopping or self.evaluates(step) or step % when.checkpoint_every == 0):
                continue
            stopping = self.write(pending) or stopping
            pending = None
            if stopping:
                self.save_for_good(step, state)
                raise Stopped
            score = self.evaluate(step, state) if self.evaluates(step) else None
            # A run that has stopped learning is not to push out its last good checkpoints, one by one.
            if not self.skipping or step == when.steps:
                self.save(step, state, score)
        return state

    def evaluates(self, step: int) -> bool:
        """Whether the validation split is evaluated after this step."""
        return step > 0 and (step % self.schedule.eval_every == 0 or step == self.schedule.steps)

    def next_batch(self, step: int) -> dict[str, Any]:
        """The batch of a step, and with it whether this process was asked to stop, or has to, for a save failed.

        Raises:
            Stopped: it was asked to while it waited, and there is no other process, which would go on.
        """
        self.watchdog.waits_for(f"the input of step {step}")
        alone = jax.process_count() == 1
        with self.stopping.interrupting() if alone else contextlib.nullcontext():
            batch = next(self.batches)
        return {**batch, "stopping": np.full(len(batch["position"]), self.stopping() or self.checkpoints.failed)}

    def evaluate(self, step: int, state: State) -> float:
        """The validation score, after the values it is made of were written.

        Raises:
            Stopped: the run was asked to stop, and the state is saved.
        """
        try:
            values = self.validate(state.evaluated)
        except Stopped:
            self.save_for_good(step, state)
            raise
        self.writer.evaluation(step, "validation", values)
        self.watchdog.waits_for(f"the pictures of step {step}", compiles=True)
        self.show(step, state.evaluated)
        return validation_score(values)

    def save(self, step: int, state: State, score: float | None = None) -> None:
        """Saves the state, as soon as the save before is done."""
        self.watchdog.waits_for(f"the checkpoint of step {step}, or the one before it")
        self.checkpoints.save(step, state, score)

    def save_for_good(self, step: int, state: State) -> None:
        """Saves the state, and returns when it is on the disk."""
        self.save(step, state)
        self.checkpoints.wait()

    def write(self, pending: tuple[int, dict[str, Any]] | None) -> bool:
        """Fetches one step's metrics and hands them on; returns whether any process was then asked to stop.

        Raises:
            TooManySkips: too many updates in a row were skipped.
        """
        if pending is None:
            return False
        step, metrics = pending[0], self.compiled.fetch(pending[1])
        self.report_skip(step, metrics)
        values = self.named(metrics)
        if self.evaluates(step) or step % self.schedule.log_every == 0:
            self.writer.training(step, values)
        self.writer.progress(step, values)
        return bool(metrics["stopping"])

    def report_skip(self, step: int, metrics: dict[str, Any]) -> None:
        """Says in one line why a step changed nothing, if that is so; gives up after too many in a row."""
        in_row = int(metrics["skipped_in_row"])
        self.skipping = in_row > 0
        if not self.skipping:
            return
        losses = zip(self.tasks, metrics["losses"], metrics["spiked"], strict=True)
        causes = [
            f"the loss of {task} is {'a spike, ' * bool(spike)}{loss:.4g}"
            for task, loss, spike in losses
            if spike or not np.isfinite(loss)
        ]
        _LOG.warning("step %d changed nothing: %s", step, "; ".join(causes) or "a gradient or an update is not finite")
        if in_row >= self.schedule.skip_limit:
            raise TooManySkips(
                f"{in_row} updates in a row were skipped, up to step {step}; the last good checkpoint is that of "
                f"step {self.checkpoints.latest_step()}. Lower optimizer.lr, or look at the data with `mtjax show data`"
            )

    def named(self, metrics: Mapping[str, Any]) -> dict[str, float]:
        """One step's metrics by name: of each task, of each pair of tasks the cosine of their gradients, of all.

        A task without a valid example in the batch has no loss, which is NaN and not 0.
        """
        values = {"loss": float(np.sum(metrics["weights"] * metrics["losses"]))}
        for i, task in enumerate(self.tasks):
            values[f"{task}/loss"] = float(metrics["losses"][i]) if metrics["counts"][i] else math.nan
            values[f"{task}/epoch_loss"] = float(metrics["epoch_losses"][i])
            values[f"{task}/weight"] = float(metrics["weights"][i])
            values[f"{task}/valid"] = int(metrics["counts"][i])
        for i, j in itertools.combinations(range(len(self.tasks)), 2):
            values[f"cosine/{self.tasks[i]}/{self.tasks[j]}"] = float(metrics["cosine"][i, j])
        values |= {name: float(metrics[name]) for name in SINGLE if name in metrics}
        values["skipped"] = int(metrics["skipped"])
        return values

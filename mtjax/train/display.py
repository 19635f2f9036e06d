"""What a person sees of a run: a live table in a terminal, an occasional line in a log."""

import collections
import time
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

WINDOW = 50  # steps that the speed is measured over
QUIET = 5.0  # least seconds between two lines about training in a log


def duration(seconds: float) -> str:
    """A length of time for people: "1 h 05 min", "3 min 20 s" or "12 s"."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


def number(value: float) -> str:
    """A value in four significant digits."""
    return f"{value:.4g}"


class Display:
    """Shows the progress of a run.

    In a terminal: a bar with the step, examples per second and the time left, and a table of the tasks with their
    losses and last validation metrics. Elsewhere: a line about training now and then, one per task and evaluation.

    Args:
        tasks: names of the tasks.
        steps: length of the run.
        batch_size: examples per step.
        start: the step that the run goes on from.
        console: where to write; standard output by default.
        clock: seconds, from any origin.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        steps: int,
        batch_size: int,
        start: int = 0,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._tasks, self._steps, self._batch_size, self._clock = tuple(tasks), steps, batch_size, clock
        self._console = console or Console(soft_wrap=True)
        self._times: collections.deque[tuple[int, float]] = collections.deque(maxlen=WINDOW + 1)
        self._losses: dict[str, float] = {}
        self._validation: dict[str, str] = {}
        self._validated: int | None = None
        self._last_line: float | None = None
        self._progress = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[speed]}"),
            TimeElapsedColumn(),
            console=self._console,
        )
        self._bar = self._progress.add_task("", total=steps, completed=start, speed="")
        self._live = None
        if self._console.is_terminal:
            self._live = Live(get_renderable=self._render, console=self._console, refresh_per_second=4)
            self._live.start()

    def step(self, step: int, losses: Mapping[str, float]) -> None:
        """Takes note of a step that was made, with each task's loss."""
        self._times.append((step, self._clock()))
        self._losses = dict(losses)
        self._progress.update(self._bar, completed=step, speed=self._speed(step))

    def training(self, step: int, loss: float, losses: Mapping[str, float]) -> None:
        """Tells of a training step that is also written to the files: the weighted sum, and each task's loss."""
        now = self._clock()
        due = self._last_line is None or now - self._last_line >= QUIET or step == self._steps
        if self._live is None and due:
            self._last_line = now
            each = "  ".join(f"{task} {number(value)}" for task, value in losses.items())
            parts = [f"step {step}/{self._steps}", f"loss {number(loss)}", each, self._speed(step)]
            self._say(" | ".join(part for part in parts if part))

    def evaluation(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Tells of an evaluation; `values` are by "TASK/METRIC"."""
        self._validated = step
        for task in self._tasks:
            own = {name.removeprefix(f"{task}/"): v for name, v in values.items() if name.startswith(f"{task}/")}
            self._validation[task] = "  ".join(f"{name} {number(value)}" for name, value in own.items())
            if self._live is None:
                self._say(f"{split} at step {step} | {task} | {self._validation[task]}")
        self._times.clear()  # the time that this took says nothing about the speed of training

    def close(self) -> None:
        """Leaves the last state of the table on the terminal."""
        if self._live is not None:
            self._live.stop()

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)

    def _speed(self, step: int) -> str:
        if len(self._times) < 2:
            return ""
        (first, since), (last, until) = self._times[0], self._times[-1]
        if until <= since:
            return ""
        steps_per_second = (last - first) / (until - since)
        left = duration((self._steps - step) / steps_per_second)
        return f"{number(self._batch_size * steps_per_second)} examples/s, {left} left"

    def _render(self) -> Group:
        title = "validation" if self._validated is None else f"validation at step {self._validated}"
        table = Table("task", "training loss", title, box=None, pad_edge=False)
        for task in self._tasks:
            loss = number(self._losses[task]) if task in self._losses else ""
            table.add_row(task, loss, self._validation.get(task, ""))
        return Group(self._progress, table)

"""The comparison as tables: for the console, and as CSV."""

import csv
import io
from typing import Any

from mtjax.compare.results import Comparison, LabelComparison, LabelRow, Row, TaskComparison, Together


def task_table(task: TaskComparison) -> Any:
    """A rich table of one task's methods, at most 80 characters wide."""
    from rich import box
    from rich.table import Table

    title = f"{task.task}: {describe(task.observation)}, {task.test_images} test images"
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", padding=(0, 1, 0, 0))
    table.add_column("method", no_wrap=True)
    for heading in ("PSNR dB", "SSIM", f"dB over {task.reference}", "ms each"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in task.rows:
        style = "bold green" if row.scores.family == "learned" else None
        table.add_row(row.scores.name, *cells(row), style=style)
    return table


def label_table(task: LabelComparison) -> Any:
    """A rich table of the methods of a task that gives no image."""
    from rich import box
    from rich.table import Table

    title = f"{task.task}: {task.kind}, {task.test_images} test images"
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", padding=(0, 1, 0, 0))
    table.add_column("method", no_wrap=True)
    for heading in (*(f"{name} {'↑' if way == 'higher' else '↓'}" for name, way in task.better.items()), "ms each"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in task.rows:
        table.add_row(row.name, *label_cells(task, row), style="bold green" if row.name == "learned" else None)
    return table


def label_cells(task: LabelComparison, row: LabelRow) -> list[str]:
    """Every metric and the time of a method, as text."""
    return [*(f"{row.values[name]:.4g}" for name in task.better), f"{row.milliseconds:.3g}"]


def label_notes(task: LabelComparison) -> list[str]:
    """What was chosen for each counterpart, and what else there is to know of its numbers."""
    lines = [
        f"{row.name}: {', '.join(f'{name} {value:g}' for name, value in row.chosen.items())}, "
        f"chosen on {task.validation_images} validation images"
        for row in task.rows
        if row.chosen
    ]
    return [*lines, *(f"{row.name}: {row.note}" for row in task.rows if row.note)]


def cells(row: Row) -> tuple[str, str, str, str]:
    """PSNR, SSIM, difference and time of a method, as text."""
    difference = row.difference.text(2, sign=True) if row.difference else "(reference)"
    return row.psnr.text(2), f"{row.ssim.mean:.3f}", difference, f"{row.scores.milliseconds:.3g}"


def together_table(together: Together) -> Any:
    """A rich table of every task's metrics, learned together and alone."""
    from rich import box
    from rich.table import Table

    table = Table(title="every task, test split", box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    table.add_column("metric", no_wrap=True)
    for heading in ("together", "alone", "better"):
        table.add_column(heading, justify="right")
    for name, (value, alone, higher) in together.metrics.items():
        arrow = "higher" if higher else "lower"
        table.add_row(name, f"{value:.4g}", "not trained" if alone is None else f"{alone:.4g}", arrow)
    return table


def print_comparison(comparison: Comparison, console: Any) -> None:
    """Everything that a person at a terminal wants to know first."""
    for task in comparison.tasks:
        console.print(task_table(task))
        for line in note_lines(task):
            console.print(f"  {line}", style="dim", highlight=False, markup=False)
        console.print(f"  {task.verdict}", highlight=False, markup=False)
    for label in comparison.labels:
        console.print(label_table(label))
        for line in label_notes(label):
            console.print(f"  {line}", style="dim", highlight=False, markup=False)
        console.print(f"  {label.verdict}", highlight=False, markup=False)
    if comparison.together.metrics:
        console.print(together_table(comparison.together))
    for line in delta_m_lines(comparison.together):
        console.print(f"  {line}", highlight=False, markup=False)
    for line in comparison.warnings:
        console.print(f"  warning: {line}", style="yellow", highlight=False, markup=False)


def note_lines(task: TaskComparison) -> list[str]:
    """What was chosen for each solver, and how large the network is."""
    lines = []
    for scores in (row.scores for row in task.rows):
        if scores.chosen:
            values = ", ".join(f"{name} {value:.3g}" for name, value in scores.chosen.items())
            lines.append(f"{scores.name}: {values}, chosen on {task.validation_images} validation images")
        if scores.parameters:
            sizes = f"{scores.parameters['shared']:,} shared and {scores.parameters['head']:,} own parameters"
            lines.append(f"{scores.name}: {scores.detail}, {sizes}")
    return lines


def delta_m_lines(together: Together) -> list[str]:
    """Both Δm by name, each with the direction that is better; the task mean first, which counts each task once."""
    if together.delta_m_flat is None or together.delta_m_task is None:
        return []
    tasks = len({name.partition("/")[0] for name in together.compared})
    metrics = len(together.compared)
    return [
        f"delta_m_task {together.delta_m_task:+.2f} % against alone: mean over {tasks} tasks, higher is better",
        f"delta_m_flat {together.delta_m_flat:+.2f} % against alone: mean over {metrics} metrics, lower is better",
    ]


def describe(observation: dict[str, Any]) -> str:
    """An observation in a few words: `blurred: blur (kernel gaussian, std 1.6) + gaussian (sigma 0.02)`."""
    parts = []
    for node in (observation.get("operator"), observation.get("noise")):
        if node:
            values = ", ".join(f"{key} {value}" for key, value in node.items() if key != "kind" and value is not None)
            parts.append(f"{node['kind']} ({values})" if values else node["kind"])
    return f"{observation['name']}: {' + '.join(parts)}"


COLUMNS = (
    "task", "method", "family", "images", "psnr", "psnr_low", "psnr_high", "ssim", "ssim_low", "ssim_high", "reference",
    "psnr_difference", "psnr_difference_low", "psnr_difference_high", "ms_per_image", "working_kib_per_image",
    "shared_parameters", "head_parameters", "chosen", "failed",
)  # fmt: skip


def to_csv(comparison: Comparison) -> str:
    """One line per task and method; intervals are 95 % bootstrap intervals over images."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for task in comparison.tasks:
        for row in task.rows:
            writer.writerow(csv_cells(task, row))
    return text.getvalue()


def csv_cells(task: TaskComparison, row: Row) -> list[Any]:
    """The line of one method, in the order of `COLUMNS`."""
    scores, difference = row.scores, row.difference
    intervals = [row.psnr.mean, row.psnr.low, row.psnr.high, row.ssim.mean, row.ssim.low, row.ssim.high]
    against = [difference.mean, difference.low, difference.high] if difference else [0.0, 0.0, 0.0]
    return [
        task.task,
        scores.name,
        scores.family,
        task.test_images,
        *(f"{value:.5f}" for value in intervals),
        task.reference,
        *(f"{value:.5f}" for value in against),
        f"{scores.milliseconds:.5g}",
        f"{scores.working_bytes / 1024:.5g}",
        scores.parameters.get("shared", ""),
        scores.parameters.get("head", ""),
        " ".join(f"{name}={value:.6g}" for name, value in scores.chosen.items()),
        scores.failed,
    ]

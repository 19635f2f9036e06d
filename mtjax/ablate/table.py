"""The ablation as tables: for the console, as Markdown and as CSV."""

import csv
import io
import math
from typing import Any, NamedTuple

from mtjax.ablate.cost import STEPS
from mtjax.ablate.results import BASELINE, Ablation, Row, Series, apart, mean, std
from mtjax.compare.statistics import Interval, sure

NOTHING = "–"
NOISE = "within noise"
WORDS = (("better", True), ("worse", False), (NOISE, None))


class Sheet(NamedTuple):
    """A table: its title, its headings, and its rows; the first two columns are words, the others numbers."""

    title: str
    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]


def sheets(ablation: Ablation) -> list[Sheet]:
    """The summary, every task's headline, and, where there is `equal`, what sets the headlines apart from its."""
    every = (ablation.reference, *ranked(ablation))
    arrows = {task: f"{key} {'↑' if ablation.higher[key] else '↓'}" for task, key in ablation.headlines.items()}
    summary = ("weighting", "sharing", "seeds", "Δm task % ↑", "Δm flat % ↓", f"Δm task over {BASELINE}")
    found = [
        Sheet(
            "together against alone, test split",
            (*summary, "learning rate", "ms/step", "MiB", "parameters"),
            [summary_cells(ablation, row) for row in every],
        ),
        Sheet(
            "every task's headline, test split",
            ("weighting", "sharing", *arrows.values()),
            [(*names(row), *(spread(row.values.get(key, ())) for key in ablation.headlines.values())) for row in every],
        ),
    ]
    compared = [row for row in every if row.over_equal]
    if compared:
        rows = [(*names(row), *(difference_cell(ablation, row, task) for task in arrows)) for row in compared]
        found.append(
            Sheet(f"headlines over {BASELINE} on the same sharing", ("weighting", "sharing", *arrows.values()), rows)
        )
    return found


def ranked(ablation: Ablation) -> list[Row]:
    """The rows, best Δm first; those without one last."""

    def key(row: Row) -> float:
        value = mean(row.delta_m_task)
        return -value if math.isfinite(value) else math.inf

    return sorted(ablation.rows, key=key)


def names(row: Row) -> tuple[str, str]:
    """Weighting and sharing; a task alone has no sharing."""
    return row.method.label, NOTHING if row.method.label == "alone" else row.method.sharing


def summary_cells(ablation: Ablation, row: Row) -> tuple[str, ...]:
    """The line of a method; one without a single run that has ended says why."""
    difference, cost, reference = row.over_equal, row.cost, row is ablation.reference
    said = statement(difference.delta_m_task) if difference and difference.delta_m_task else NOTHING
    if not row.seeds:
        said = row.problem or "not run yet"
    costs = (f"{1e3 * cost.seconds:.3g}", f"{cost.temporary_bytes / 2**20:.1f}", f"{cost.parameters:,}") if cost else ()
    return (
        *names(row),
        f"{len(row.seeds)} of {len(ablation.seeds)}",
        spread(row.delta_m_task, sign="+", digits=2),
        spread(row.delta_m_flat, sign="+", digits=2),
        said,
        f"{row.rate:g}" if row.rate else "per task" if reference and row.seeds else NOTHING,
        *(costs or (NOTHING,) * 3),
    )


def spread(values: Series, sign: str = "", digits: int | None = None) -> str:
    """`24.41 ± 0.12`, the mean and the standard deviation over seeds; of one seed the value alone."""
    if not values:
        return NOTHING
    kinds = (".4g", ".2g") if digits is None else (f".{digits}f",) * 2
    rounded = mean(values) if digits is None else round(mean(values), digits) + 0.0  # never -0.00
    shown = f"{rounded:{sign}{kinds[0]}}"
    return f"{shown} ± {std(values):{kinds[1]}}" if len(values) > 1 else shown


def statement(difference: Interval, higher: bool = True, digits: int = 2) -> str:
    """`+0.31 [-0.20, +0.82] within noise`, or better, or worse; of one seed nothing can be said."""
    if not math.isfinite(difference.low):
        return f"{difference.mean:+.{digits}f}, one seed: unknown" if math.isfinite(difference.mean) else NOTHING
    above = sure(difference)
    word = "within noise" if above is None else "better" if above == higher else "worse"
    return f"{difference.text(digits, sign=True)} {word}"


def difference_cell(ablation: Ablation, row: Row, task: str) -> str:
    """What sets one task's headline apart from that of `equal`, with digits for its size."""
    assert row.over_equal is not None
    size = abs(mean(row.values[ablation.headlines[task]]))
    return statement(row.over_equal.headlines[task], ablation.higher[ablation.headlines[task]], 2 if size >= 10 else 4)


def sentences(ablation: Ablation) -> list[str]:
    """What a reader must know before the numbers: budget, seeds, selection, machine, and what was found."""
    budget, where = ablation.budget, ablation.environment
    cores = f" with {where['cores']} cores" if where["platform"] == "cpu" else ""
    rates, seeds = (", ".join(f"{value:g}" for value in values) for values in (ablation.rates, ablation.seeds))
    several = "" if len(ablation.rates) == 1 else " and the learning rate of each method and of each task alone"
    plural = "s" if len(ablation.rates) > 1 else ""
    return [
        f"Every run had {budget['steps']} steps of {budget['batch_size']} examples from {budget['data']}; every method "
        f"and every task alone the seeds {seeds} and the learning rate{plural} {rates}. The checkpoint of each run"
        f"{several} was chosen on the validation split; all numbers are of the test split. {where['device']}{cores}, "
        f"JAX {where['jax']}.",
        found_sentence(ablation),
    ]


def found_sentence(ablation: Ablation) -> str:
    """Which methods differ from `equal` by more than noise."""
    differences = {row.method: row.over_equal.delta_m_task for row in ranked(ablation) if row.over_equal}
    compared = [row for row in ranked(ablation) if differences.get(row.method)]
    if not compared:
        return f"No method can be compared with {BASELINE}: it is not there, or not on the same sharing."
    if not any(difference and math.isfinite(difference.low) for difference in differences.values()):
        return f"With one seed nothing can be said of differences from {BASELINE}."
    several = len({row.method.sharing for row in compared}) > 1
    groups = {
        word: [" on ".join(names(row)[: 1 + several]) for row in compared if apart(row) is truth]
        for word, truth in WORDS
    }
    said = [f"{word} than {BASELINE}: {', '.join(group)}" for word, group in groups.items() if group and word != NOISE]
    rest = f"{len(groups[NOISE])} of {len(compared)} differences from {BASELINE} are within noise"
    return f"By Δm task, {'; '.join([*said, rest])}."


def notes(ablation: Ablation) -> list[str]:
    """How to read the numbers."""
    metrics, seeds = len(ablation.compared), len(ablation.seeds)
    lines = [
        "± is the standard deviation over seeds. Δm is against the mean of the tasks trained alone, whose own spread "
        f"the row `alone` has. It is about {metrics} metrics: the task mean counts each task once, higher is better; "
        "the flat mean counts each metric once, lower is better.",
        f"Over {BASELINE}: the mean difference on the same seeds and its two-sided 95 % t interval, {seeds} "
        f"seed{'s' * (seeds > 1)}; within noise unless it leaves out 0. Of many such comparisons one in twenty leaves "
        "it out by chance.",
        f"ms/step: the median of {STEPS} compiled steps, the batch on the device, each method by itself, so that a "
        "busy machine shows. MiB: what XLA plans for temporaries. `alone` adds up the tasks' times and parameters.",
    ]
    if len({row.rate for row in ablation.alone.values()}) > 1:
        rates = ", ".join(f"{task} {row.rate:g}" for task, row in ablation.alone.items() if row.rate)
        lines.append(f"Learning rates of the tasks alone: {rates}.")
    if left_out := [key for key in ablation.higher if key not in ablation.compared]:
        lines.append(f"No part in Δm, for want of a finite value other than 0 alone: {', '.join(left_out)}.")
    failed = [row for row in (*ablation.alone.values(), *ablation.rows) if row.problem]
    return [*lines, *(f"Failed: {row.method.name}: {row.problem}" for row in failed)]


def rich_table(sheet: Sheet) -> Any:
    """A sheet for the console."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        title=sheet.title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", padding=(0, 1, 0, 0)
    )
    for i, heading in enumerate(sheet.headings):
        table.add_column(heading, justify="left" if i < 2 else "right")
    for row in sheet.rows:
        table.add_row(*map(escape, row))
    return table


def print_ablation(ablation: Ablation, console: Any) -> None:
    """Everything that a person at a terminal wants to know."""
    for line in sentences(ablation):
        console.print(line, highlight=False, markup=False)
    for sheet in sheets(ablation):
        console.print(rich_table(sheet))
    for line in notes(ablation):
        console.print(line, style="dim", highlight=False, markup=False)


def markdown(sheet: Sheet) -> str:
    """A sheet as a Markdown table under its title; numbers, from the third column on, to the right."""
    align = [":--" if i < 2 else "--:" for i in range(len(sheet.headings))]
    lines = [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
        for row in (sheet.headings, align, *sheet.rows)
    ]
    return f"**{sheet.title}**\n\n" + "\n".join(lines)


def to_markdown(ablation: Ablation) -> str:
    """The sentences, the tables, the notes."""
    parts = ["\n\n".join(sentences(ablation))]
    for sheet in sheets(ablation):
        parts.append(markdown(sheet))
    return "\n\n".join([*parts, *notes(ablation)]) + "\n"


def to_csv(ablation: Ablation) -> str:
    """One line per method and per task alone: means and standard deviations over seeds, on the test split."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    both = [f"{name}{end}" for name in ("delta_m_task", "delta_m_flat", *ablation.higher) for end in ("", "_std")]
    over = [f"delta_m_task_over_equal{end}" for end in ("", "_low", "_high")]
    words = ("weighting", "level", "sharing", "task", "seeds", "learning_rate")
    writer.writerow((*words, *both, *over, "seconds_per_step", "temporary_bytes", "parameters", "problem"))
    for row in (*ablation.alone.values(), *ablation.rows):
        writer.writerow(csv_cells(ablation, row))
    return text.getvalue()


def csv_cells(ablation: Ablation, row: Row) -> list[Any]:
    """The line of one method."""
    method, cost = row.method, row.cost
    series = (row.delta_m_task, row.delta_m_flat, *(row.values.get(key, ()) for key in ablation.higher))
    difference = row.over_equal.delta_m_task if row.over_equal else None
    over = (difference.mean, difference.low, difference.high) if difference else (math.nan,) * 3
    measured = [number for values in series for number in (mean(values), std(values))]
    return [
        method.weighting, method.level, method.sharing, method.task, len(row.seeds), row.rate or "",
        *(f"{value:.6g}" if math.isfinite(value) else "" for value in (*measured, *over)),
        *((f"{cost.seconds:.6g}", cost.temporary_bytes, cost.parameters) if cost else ("", "", "")),
        row.problem,
    ]  # fmt: skip

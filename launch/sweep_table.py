"""What came of a sweep: each row's headline metrics on the test split, and their mean and spread over seeds."""

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sweep_rows import Row

from mtjax import config as configs
from mtjax.ablate.results import mean, std
from mtjax.ablate.table import NOTHING, Sheet, markdown, rich_table, spread
from mtjax.compare.together import split_metrics
from mtjax.data import build as build_source
from mtjax.train.build import build_tasks

SEED = "train.seed"
Values = dict[str, float]  # by "TASK/METRIC"


def summarize(rows: Sequence[Row], workdir: Path, console: Any) -> None:
    """Prints the tables; writes summary.md, summary.csv (a line per setting) and rows.csv, each whole or not at all."""
    sources: dict[str, Any] = {}
    arrows = {key: arrow for row in rows for key, arrow in headlines(row, sources).items()}
    results = {row.number: split_metrics(row.folder) for row in rows}
    every, settings = rows_sheet(rows, results, arrows), settings_sheet(rows, results, arrows)
    sheets = [settings, every] if SEED in rows[0].fields else [every]
    for sheet in sheets:
        console.print(rich_table(sheet))
    failed = [f"row {row.number} failed: {row.outcome['said']}" for row in rows if row.state == "failed"]
    for line in failed:
        console.print(line, style="bold", markup=False, soft_wrap=True)
    text = "\n\n".join([*(markdown(sheet) for sheet in sheets), *failed]) + "\n"
    texts = {
        "summary.md": text,
        "summary.csv": settings_csv(rows, results, tuple(arrows)),
        "rows.csv": rows_csv(rows, results, tuple(arrows)),
    }
    for name, text in texts.items():
        draft = workdir / f"{name}.tmp"
        draft.write_text(text)
        os.replace(draft, workdir / name)
        console.print(f"  {workdir / name}", markup=False, soft_wrap=True)


def headlines(row: Row, sources: dict[str, Any]) -> dict[str, str]:
    """By "TASK/METRIC", the first metric of each task of a row that is done, and whether ↑ or ↓ is better.

    Args:
        row: any row.
        sources: what is known already of data, by its config; gets what is not.
    """
    if row.state != "done":
        return {}
    config = configs.load(row.folder)
    key = json.dumps(config.data.to_dict(), default=str)
    if key not in sources:
        sources[key] = build_source(config.data, "validation").info
    tasks = build_tasks(config, sources[key])
    better = {"higher": "↑", "lower": "↓"}
    return {f"{name}/{task.headline}": better[task.directions[task.headline]] for name, task in tasks.items()}


def by_setting(rows: Sequence[Row]) -> dict[tuple[str, ...], list[Row]]:
    """The rows that differ in their seed alone, together."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(value for key, value in row.fields.items() if key != SEED), []).append(row)
    return groups


def short(keys: Sequence[str]) -> list[str]:
    """The last part of each dotted key, or all of it where two end alike."""
    ends = [key.rpartition(".")[2] for key in keys]
    return [end if ends.count(end) == 1 else key for key, end in zip(keys, ends, strict=True)]


def settings_sheet(rows: Sequence[Row], results: dict[int, Values], arrows: dict[str, str]) -> Sheet:
    """A line per setting: mean and standard deviation over the seeds that are done."""
    keys = [key for key in rows[0].fields if key != SEED]
    lines = []
    for values, group in by_setting(rows).items():
        done = [results[row.number] for row in group if results[row.number]]
        cells = (spread(tuple(found[key] for found in done if key in found)) for key in arrows)
        lines.append((*values, f"{len(done)} of {len(group)}", *cells))
    titles = (*short(keys), "seeds", *(f"{key} {arrow}" for key, arrow in arrows.items()))
    return Sheet("settings, test split, mean ± standard deviation over seeds", titles, lines)


def rows_sheet(rows: Sequence[Row], results: dict[int, Values], arrows: dict[str, str]) -> Sheet:
    """A line per row."""
    lines = [
        (
            str(row.number),
            *row.fields.values(),
            row.state,
            *(f"{found[key]:.4g}" if key in (found := results[row.number]) else NOTHING for key in arrows),
        )
        for row in rows
    ]
    titles = ("row", *short(list(rows[0].fields)), "state", *(f"{key} {arrow}" for key, arrow in arrows.items()))
    return Sheet("rows, test split", titles, lines)


def settings_csv(rows: Sequence[Row], results: dict[int, Values], metrics: Sequence[str]) -> str:
    """A line per setting: its fields, how many seeds are done, and the mean and standard deviation of each metric."""
    keys = [key for key in rows[0].fields if key != SEED]
    lines: list[list[Any]] = [[*keys, "seeds", *(f"{name}{end}" for name in metrics for end in ("", "_std"))]]
    for values, group in by_setting(rows).items():
        done = [results[row.number] for row in group if results[row.number]]
        series = [tuple(found[name] for found in done if name in found) for name in metrics]
        lines.append([*values, len(done), *(number for each in series for number in (mean(each), std(each)))])
    return to_csv(lines)


def rows_csv(rows: Sequence[Row], results: dict[int, Values], metrics: Sequence[str]) -> str:
    """A line per row: its fields, its state, why it failed, and each metric."""
    lines: list[list[Any]] = [["row", *rows[0].fields, "state", "said", *metrics]]
    for row in rows:
        said = row.outcome.get("said", "") if row.state == "failed" else ""
        found = results[row.number]
        lines.append([row.number, *row.fields.values(), row.state, said, *(found.get(name, "") for name in metrics)])
    return to_csv(lines)


def to_csv(lines: Sequence[Sequence[Any]]) -> str:
    """Cells as CSV; of numbers six digits, of what is not a number nothing."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for line in lines:
        writer.writerow([f"{c:.6g}".replace("nan", "") if isinstance(c, float) else c for c in line])
    return text.getvalue()

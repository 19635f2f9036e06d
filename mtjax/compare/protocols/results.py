"""What came of a protocol: rows of ours beside published ones, and their form as JSON."""

import dataclasses
import datetime
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from mtjax.record import versions

DIGITS = 4  # behind the point


@dataclasses.dataclass(frozen=True)
class Row:
    """One method's figures by column; `source` is empty for ours. `seconds` are of all its columns, compilation too.

    spread: of a network that was trained several times, the standard deviations, where `values` are the means. date: of
    ours, when it was measured.
    """

    method: str
    kind: Literal["published", "ours"]
    values: Mapping[str, float]
    source: str = ""
    checked: bool = True
    seconds: float | None = None
    note: str = ""
    spread: Mapping[str, float] = dataclasses.field(default_factory=dict)
    date: str = ""


def today() -> str:
    """The date that a row or a table carries."""
    return datetime.date.today().isoformat()


def over_seeds(rows: Sequence[Row]) -> Row:
    """The row of a network that was trained several times, from the rows of each time."""
    if len(rows) == 1:
        return rows[0]
    names = [name for name in rows[0].values if all(name in row.values for row in rows)]
    columns = {name: np.array([row.values[name] for row in rows]) for name in names}
    seconds = [row.seconds for row in rows if row.seconds is not None]
    notes = dict.fromkeys(row.note for row in rows if row.note)
    return dataclasses.replace(
        rows[0],
        values={name: float(column.mean()) for name, column in columns.items()},
        spread={name: float(column.std(ddof=1)) for name, column in columns.items()},
        seconds=float(np.mean(seconds)) if seconds else None,
        note=", ".join([*notes, f"{len(rows)} trainings"]),
    )


@dataclasses.dataclass(frozen=True)
class Column:
    """A setting, or a metric: how many pictures it was measured on, and how many the published figures are of.

    digits: behind the point, as published.
    """

    name: str
    pictures: int
    count: int
    digits: int = 2


@dataclasses.dataclass(frozen=True)
class Result:
    """A table; `missing`: one line for each column that could not be measured."""

    protocol: str
    title: str
    rules: str
    unit: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    missing: tuple[str, ...]
    made: Mapping[str, Any]


def environment() -> dict[str, Any]:
    """When, with what and on what a table was made."""
    found = versions()
    return {
        "date": today(),
        "versions": {name: found[name] for name in ("mtjax", "jax", "jaxlib", "numpy") if name in found},
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
    }


def save(result: Result, path: Path) -> None:
    """Writes a table as JSON, whole or not at all."""
    tree = dataclasses.asdict(result)
    for row in tree["rows"]:
        for figures in ("values", "spread"):
            row[figures] = {name: round(value, DIGITS) for name, value in row[figures].items()}
        row["seconds"] = row["seconds"] and round(row["seconds"], 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.tmp")
    draft.write_text(json.dumps(tree, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    draft.replace(path)


def load(path: Path) -> Result:
    """The table that `save` wrote; ValueError if it is none."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        columns = tuple(Column(**node) for node in tree.pop("columns"))
        rows = tuple(Row(**node) for node in tree.pop("rows"))
        return Result(columns=columns, rows=rows, missing=tuple(tree.pop("missing")), **tree)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no result of `mtjax protocol`: {type(error).__name__}: {error}") from error

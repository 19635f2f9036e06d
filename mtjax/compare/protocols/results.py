"""What came of a protocol: rows of ours beside published ones, and their form as JSON."""

import dataclasses
import datetime
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import jax

from mtjax.record import versions

DIGITS = 4  # behind the point


@dataclasses.dataclass(frozen=True)
class Row:
    """One method's figures by column; `source` is empty for ours. `seconds` are of all its columns, compilation too."""

    method: str
    kind: Literal["published", "ours"]
    values: Mapping[str, float]
    source: str = ""
    checked: bool = True
    seconds: float | None = None
    note: str = ""


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
        "date": datetime.date.today().isoformat(),
        "versions": {name: found[name] for name in ("mtjax", "jax", "jaxlib", "numpy") if name in found},
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
    }


def save(result: Result, path: Path) -> None:
    """Writes a table as JSON, whole or not at all."""
    tree = dataclasses.asdict(result)
    for row in tree["rows"]:
        row["values"] = {name: round(value, DIGITS) for name, value in row["values"].items()}
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

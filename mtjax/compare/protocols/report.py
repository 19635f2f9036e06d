"""Tables of results: for the terminal, and as Markdown for the documentation."""

import textwrap
from typing import Any

from mtjax.compare.protocols.results import Column, Result, Row

WIDTH = 120
RECALLED = "†"  # behind a figure that was not compared with its source


def heading(column: Column) -> str:
    """A column's name, and on how many pictures, where the published figures are of more."""
    partial = f" ({column.pictures} of {column.count})" if column.pictures < column.count else ""
    return column.name + partial


def cells(result: Result, row: Row) -> list[str]:
    """A row's figures as text, "–" where it has none."""
    mark = "" if row.checked else RECALLED

    def cell(column: Column) -> str:
        if column.name not in row.values:
            return "–"
        value = round(row.values[column.name], column.digits) + 0.0  # which makes -0.0 one that has no sign
        spread = f" ± {row.spread[column.name]:.{column.digits}f}" if column.name in row.spread else ""
        return f"{value:.{column.digits}f}{spread}{mark}"

    return [cell(column) for column in result.columns]


def sources(result: Result) -> list[str]:
    """One line for each source of published rows, with the methods that it gives."""
    methods: dict[tuple[str, bool], list[str]] = {}
    for row in result.rows:
        if row.kind == "published":
            methods.setdefault((row.source, row.checked), []).append(row.method)
    return [
        f"{', '.join(names)}: {source}"
        + ("" if checked else f" ({RECALLED} as remembered, not compared with the source)")
        for (source, checked), names in methods.items()
    ]


def print_result(result: Result, console: Any) -> None:
    """The table, its rules and sources, and what is missing."""
    from rich import box
    from rich.table import Table

    table = Table(
        title=f"{result.title}, {result.unit}", box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0)
    )
    table.add_column("method", no_wrap=True)
    for column in result.columns:
        table.add_column(heading(column), justify="right")
    table.add_column("s", justify="right", no_wrap=True)
    for row in result.rows:
        seconds = "" if row.seconds is None else f"{row.seconds:.0f}"
        table.add_row(row.method, *cells(result, row), seconds, style="bold" if row.kind == "ours" else "dim")
    console.print(table)
    for line in (result.rules, *sources(result), *(f"missing: {line}" for line in result.missing)):
        console.print(f"  {line}", highlight=False, markup=False)


def markdown(result: Result) -> str:
    """A section of a page: title, rules, table, sources."""
    made = result.made
    dates = sorted({row.date or made["date"] for row in result.rows if row.kind == "ours"} or {made["date"]})
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    versions = f"jax {made['versions'].get('jax', '?')}"
    cores = f"{made['cores']} cores" if made["device"] == "cpu" else made["device"]
    intro = f"`mtjax protocol {result.protocol}`, {when}, {cores}, {versions}. {result.rules}"
    lines = [f"### {result.title}", "", *textwrap.wrap(intro, WIDTH), ""]
    lines.append(f"| {result.unit} | {' | '.join(map(heading, result.columns))} | seconds |")
    lines.append(f"|---|{'---|' * (len(result.columns) + 1)}")
    for row in result.rows:
        seconds = "" if row.seconds is None else f"{row.seconds:.0f}"
        bold = "**" if row.kind == "ours" else ""
        note = f" ({row.note})" if row.note else ""
        lines.append(f"| {bold}{row.method}{bold}{note} | {' | '.join(cells(result, row))} | {seconds} |")
    lines.append("")
    for line in sources(result):
        lines += bullet(line)
    if result.missing:
        lines += bullet(f"not measured: {'; '.join(line.rpartition(': ')[0] for line in result.missing)}")
    return "\n".join(lines) + "\n"


def bullet(line: str) -> list[str]:
    """A line of a list, broken where a page is."""
    return textwrap.wrap(f"- {line}", WIDTH, subsequent_indent="  ")

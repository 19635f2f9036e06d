"""Writes the tables of README.md and docs/results.md from the files in docs/results; no number is typed in by hand.

    python docs/results_tables.py                              # after anything in docs/results has changed
    python docs/results_tables.py quickstart=runs/quickstart   # takes the files of a run that was compared there first

`mtjax protocol NAME --data=DIR --out=docs/results/NAME.json` writes what it reads of protocols;
what that file holds already is kept, so delete it where a solver has changed. docs/ablation.py keeps the ablations.
"""

import csv
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ablation import TUNED
from ablation import load as load_ablation

from mtjax.ablate.table import spread
from mtjax.compare.protocols import PROTOCOLS, TABLES
from mtjax.compare.protocols.report import cells, markdown
from mtjax.compare.protocols.results import Column, Result, Row, load

DOCS = Path(__file__).resolve().parent
RESULTS = DOCS / "results"
KEPT = ("comparison.csv", "evaluation.json")  # of a run; comparison.png goes to docs
SUMMARIZED = ("denoise_gray", "super_resolution", "deblur_levin")
OTHER_HEADS = {  # headline metric: what it is, and what a network that does not look at the picture gets
    "digit/accuracy": ("class of the main digit, accuracy", "0.1"),
    "edges/f": ("boundaries, F within one pixel", "0"),
    "segment/miou": ("segmentation, mean IoU of 11 classes", "0.075 (background everywhere)"),
}
PROTOCOLS_HEAD = """## By published protocols

`mtjax protocol NAME --data=DIR` repeats a published protocol and prints our rows (bold) beside the published ones;
`--workdir=RUN` adds that of a trained network, `--workdir=RUN0,RUN1,RUN2` its mean and standard deviation over several
trainings. `mtjax show protocols` names them all. Where a method has a weight, ours is the best of several by the true
picture, picture by picture: what it could reach if it knew. A network has no such choice; one that was trained on
noise alone is, where there is blur, the denoiser of plug and play. Seconds are of all columns together, compilation
included, on a shared machine; of networks without their training, whose time their recipe says. This section is made by
`python docs/results_tables.py` from `docs/results/*.json`.
"""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]]) + "\n"


def quickstart() -> str:
    """What each method made of the same observations, what the other heads found, and what it cost."""
    with (RESULTS / "quickstart" / "comparison.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    tasks = dict.fromkeys(row["task"] for row in rows)
    found = {(row["task"], row["method"]): row for row in rows}
    methods = dict.fromkeys(row["method"] for row in rows if row["method"] != "learned")
    columns, lines = [*methods, "learned"], []
    for task in tasks:
        cells = [f"{float(found[task, m]['psnr']):.2f}" if (task, m) in found else "–" for m in columns]
        learned = found[task, "learned"]
        low, high = (float(learned[f"psnr_difference_{end}"]) for end in ("low", "high"))
        gain = f"{float(learned['psnr_difference']):+.2f} dB [{low:.2f}, {high:.2f}]"
        lines.append((f"{task}, PSNR in dB", *cells[:-1], f"**{cells[-1]}**", gain))
    for task in tasks:
        times = [f"{float(found[task, m]['ms_per_image']):.2g}" if (task, m) in found else "–" for m in columns]
        lines.append((f"{task}, ms per picture", *times, ""))
    head = (f"test split, {rows[0]['images']} pictures of 48×48", *columns, f"learned over {rows[0]['reference']}")
    values = json.loads((RESULTS / "quickstart" / "evaluation.json").read_text())["test"]
    heads = ((what, f"{values[metric]:.3f}", trivial) for metric, (what, trivial) in OTHER_HEADS.items())
    return table(head, lines) + "\n" + table(("other heads, test split", "result", "without looking"), heads)


def recipes() -> str:
    """Trained networks beside the best solver and the best published figure, by column of a protocol."""
    lines = []
    for result in results(SUMMARIZED):
        ours = [row for row in result.rows if row.kind == "ours"]
        trained = [row for row in ours if row.method.startswith("trained ")]
        for column in result.columns if trained else ():
            lines.append(compared(result, column, [row for row in ours if row not in trained], trained))
    head = ("protocol", "pictures", "as observed", "best solver", "trained here", "best published")
    return table(head, lines)


def compared(result: Result, column: Column, solvers: list[Row], trained: list[Row]) -> tuple[str, ...]:
    """A line: what was observed, the best of our solvers, every trained network, and the best published figure."""

    def figure(row: Row) -> str:
        name, _, _ = row.method.removeprefix("trained ").partition(":")
        return f"{cells(result, row)[result.columns.index(column)]} ({name})"

    def best(rows: Iterable[Row]) -> str:
        rows = [row for row in rows if column.name in row.values]
        return figure(max(rows, key=lambda row: row.values[column.name])) if rows else "–"

    own = "; ".join(figure(row) for row in trained if column.name in row.values) or "–"
    published = best(row for row in result.rows if row.kind == "published")
    return (f"`{result.protocol}`", column.name, best(solvers[:1]), best(solvers[1:]), own, published)


def multitask() -> str:
    """Tasks alone, weighted equally and by other methods, on each recipe that was ablated with all tuned alike."""
    lines = []
    for name in TUNED:
        found = load_ablation(name)
        for row in (found.reference, *found.rows):
            headlines = (f"{metric} {spread(row.values[metric])}" for metric in found.headlines.values())
            gain = "" if row is found.reference else spread(row.delta_m_task, "+", 1)
            lines.append((f"`{name}`", row.method.label, ", ".join(headlines), gain))
    return table(("recipe", "weighting", "test split", "Δm in %, task mean"), lines)


def protocols() -> str:
    """Every table of `mtjax protocol` that is there."""
    return "\n".join([PROTOCOLS_HEAD, *map(markdown, results((*PROTOCOLS, *TABLES)))])


def results(names: Iterable[str]) -> list[Result]:
    """Those of `mtjax protocol` that are there."""
    files = [RESULTS / f"{name}.json" for name in names]
    return [load(file) for file in files if file.is_file()]


SECTIONS: dict[tuple[str, str], Callable[[], str]] = {
    ("README.md", "quickstart"): quickstart,
    ("README.md", "recipes"): recipes,
    ("README.md", "multitask"): multitask,
    ("docs/results.md", "by published protocols"): protocols,
}


def rewrite(page: Path, name: str, text: str) -> None:
    """Puts `text` between the page's lines `<!-- name -->` and `<!-- end -->`."""
    begin, end = f"<!-- {name} -->\n", "<!-- end -->\n"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        sys.exit(f"docs/results_tables.py: {page} has no lines {begin.strip()!r} and {end.strip()!r}")
    page.write_text(before + begin + text + end + after, encoding="utf-8")


def take(workdir: Path) -> None:
    """Copies what a run and its comparison wrote."""
    missing = [name for name in (*KEPT, "comparison.png") if not (workdir / name).is_file()]
    if missing:
        sys.exit(
            f"docs/results_tables.py: {workdir} has no {missing[0]}; `mtjax compare --workdir={workdir}` writes it"
        )
    for name in KEPT:
        shutil.copyfile(workdir / name, RESULTS / "quickstart" / name)
    shutil.copyfile(workdir / "comparison.png", DOCS / "comparison.png")


def main() -> None:
    """Takes the runs that are named, and rewrites all sections."""
    for word in sys.argv[1:]:
        recipe, _, workdir = word.partition("=")
        if recipe != "quickstart" or not workdir:
            sys.exit(f"docs/results_tables.py: expected quickstart=WORKDIR, got {word!r}")
        take(Path(workdir))
    for (page, name), text in SECTIONS.items():
        rewrite(DOCS.parent / page, name, text())


if __name__ == "__main__":
    main()

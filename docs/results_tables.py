"""Writes the section "By published protocols" of docs/results.md from the files that `mtjax protocol --out` wrote.

    mtjax protocol denoise_gray --data=DIR --out=docs/results/denoise_gray.json
    python docs/results_tables.py

No number is typed in by hand.
"""

import sys
from pathlib import Path

from mtjax.compare.protocols import PROTOCOLS, TABLES
from mtjax.compare.protocols.report import markdown
from mtjax.compare.protocols.results import load

DOCS = Path(__file__).resolve().parent
BEGIN, END = "<!-- by published protocols -->\n", "<!-- end -->\n"
HEAD = """## By published protocols

`mtjax protocol NAME --data=DIR` repeats a published protocol and prints our rows (bold) beside the published ones;
`--workdir=RUN` adds that of a trained head. `mtjax show protocols` names them all. Where a method has a weight, ours is
the best of several by the true picture, picture by picture: what it could reach if it knew. Seconds are of all columns
together, compilation included, on a shared machine. BM3D at σ = 50 falls short by a quarter of a decibel: its
parameters for much noise are those of the paper's "high" profile as far as we know them, and were not tuned on the test
set. This section is made by `python docs/results_tables.py` from
`docs/results/*.json`.
"""


def main() -> None:
    """Rewrites the section."""
    page = DOCS / "results.md"
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"docs/results_tables.py: {page} has no lines {BEGIN.strip()!r} and {END.strip()!r}")
    files = [DOCS / "results" / f"{name}.json" for name in (*PROTOCOLS, *TABLES)]
    sections = [markdown(load(file)) for file in files if file.is_file()]
    page.write_text(before + begin + "\n".join([HEAD, *sections]) + end + after, encoding="utf-8")


if __name__ == "__main__":
    main()

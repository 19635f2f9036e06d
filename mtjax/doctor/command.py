"""`mtjax doctor`: looks at everything, and prints what it found and what to do about it."""

import os
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from mtjax.doctor.finding import Finding
from mtjax.doctor.machine import devices, environment, host, software
from mtjax.doctor.probes import all_reduce, arithmetic, cache, folder
from mtjax.registry import one_line


def doctor_command(workdir: str | Path) -> int:
    """Looks at everything and prints it. Of several processes the main one prints, and those that find it broken.

    Args:
        workdir: where checkpoints will be; need not be there yet.

    Returns:
        The exit code: 0, or 1 if something is broken.
    """
    from mtjax.train.distributed import is_main

    found = dict(examine(Path(workdir)))
    code = int(any(finding.broken for findings in found.values() for finding in findings))
    if is_main() or code:
        show(found)
    return code


def examine(workdir: Path, environ: Mapping[str, str] = os.environ) -> Iterator[tuple[str, list[Finding]]]:
    """The findings, by section. A look that fails is a finding too, and ends no other."""
    looks: dict[str, Callable[[], list[Finding]]] = {
        "software": software,
        "machine": lambda: [*devices(environ), *host()],
        "environment": lambda: environment(environ),
        "speed": lambda: [all_reduce(), *arithmetic()],
        "compiled programs": lambda: [cache()],
        "checkpoints": lambda: folder(workdir),
    }
    for title, look in looks.items():
        try:
            yield title, look()
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            yield title, [Finding(title, one_line(error), f"raised at {where.filename}:{where.lineno}", broken=True)]


def show(found: Mapping[str, list[Finding]]) -> None:
    """Prints the findings, the advice that they give, and one line that says how it stands."""
    from rich.table import Table
    from rich.text import Text

    from mtjax.show import console

    screen, styles = console(), {"✓": "green", "!": "yellow", "✗": "bold red"}
    for title, findings in found.items():
        table = Table.grid(padding=(0, 1, 0, 1))
        for finding in findings:
            table.add_row(Text(finding.mark, styles[finding.mark]), Text(finding.what), Text(finding.found))
        screen.print(Text(title, "bold"), table, "", sep="\n")
    noted = [finding for findings in found.values() for finding in findings if finding.advice]
    for finding in noted:
        screen.print(Text.assemble((finding.mark, styles[finding.mark]), f" {finding.what}: {finding.advice}"))
    broken = sum(finding.broken for finding in noted)
    verdict = f"{broken} broken" if broken else "nothing is broken"
    screen.print(Text(f"{verdict}; {len(noted) - broken} to look at" if noted else "all is well", "bold"))

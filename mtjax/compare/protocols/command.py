"""`mtjax protocol`: our rows beside the published ones."""

from collections.abc import Callable
from pathlib import Path

from mtjax.compare.protocols import PROTOCOLS, TABLES
from mtjax.compare.protocols.measuring import measure
from mtjax.compare.protocols.pictures import MissingError
from mtjax.compare.protocols.protocol import Method
from mtjax.compare.protocols.report import print_result
from mtjax.compare.protocols.results import Result, save
from mtjax.registry import ConfigError, nearest


def protocol_command(name: str, data: str | None, workdir: str | None, task: str | None, out: str | None) -> int:
    """Carries the protocol `name` out, prints its table and, with `out`, writes it as JSON.

    Args:
        name: of `PROTOCOLS`, which needs `data`, or of `TABLES`, in which a workdir has a row.
        data: the folder of pictures.
        workdir: of a trained network, which then has a row.
        task: whose head it is.
        out: a file.

    Raises:
        ConfigError: an unknown name, no pictures, or flags that do not go together.
    """
    from rich.console import Console

    console = Console()
    console = console if console.is_terminal else Console(width=200)  # in a file nothing needs to be cut off
    with console.status(name) as status:
        if name in TABLES:
            result = _table(name, data, workdir)
        elif name in PROTOCOLS:
            result = _protocol(name, data, workdir, task, lambda what: status.update(f"{name}, {what}"))
        else:
            raise ConfigError(f"unknown protocol {name!r}; {nearest(name, (*PROTOCOLS, *TABLES))}")
    print_result(result, console)
    if out is not None:
        save(result, Path(out))
        console.print(f"wrote {out}", highlight=False, markup=False)
    return 0


def _table(name: str, data: str | None, workdir: str | None) -> Result:
    if data is not None:
        raise ConfigError(f"mtjax protocol {name} takes no --data: the config in --workdir says what was trained on")
    from mtjax.compare.protocols.networks import measure_networks

    return measure_networks(TABLES[name], workdir)


def _protocol(
    name: str, data: str | None, workdir: str | None, task: str | None, progress: Callable[[str], None]
) -> Result:
    if data is None:
        raise ConfigError(f"mtjax protocol {name} needs --data=DIR: the folder of pictures")
    if task is not None and workdir is None:
        raise ConfigError(f"--task={task} is a task of --workdir=RUN, which is not given")
    extra = [] if workdir is None else [_trained(workdir, task)]
    try:
        return measure(PROTOCOLS[name], Path(data), extra, progress)
    except MissingError as error:
        raise ConfigError(f"mtjax protocol {name} --data={data}: {error}") from error


def _trained(workdir: str, task: str | None) -> Method:
    from mtjax.compare.protocols.learned import trained_method
    from mtjax.train import restore

    return trained_method(restore(workdir), task)


def list_protocols() -> int:
    """Prints every protocol's name and title."""
    for name, entry in {**PROTOCOLS, **TABLES}.items():
        print(f"{name:<20} {entry.title}")
    return 0

"""`mtjax protocol`: our rows beside the published ones."""

from collections.abc import Callable, Sequence
from pathlib import Path

from mtjax.compare.protocols import PROTOCOLS, TABLES
from mtjax.compare.protocols.measuring import measure
from mtjax.compare.protocols.pictures import MissingError
from mtjax.compare.protocols.protocol import CannotError, Method
from mtjax.compare.protocols.report import print_result
from mtjax.compare.protocols.results import Result, load, save
from mtjax.registry import ConfigError, nearest


def protocol_command(name: str, data: str | None, workdir: str | None, task: str | None, out: str | None) -> int:
    """Carries the protocol `name` out, prints its table and, with `out`, writes it as JSON.

    Args:
        name: of `PROTOCOLS`, which needs `data`, or of `TABLES`, in which a workdir has a row.
        data: the folder of pictures.
        workdir: of a trained network, which then has a row; with commas between, of several trainings of it, which have
            one row of means and standard deviations.
        task: whose head it is.
        out: a file; what it has already is not measured again, see `measure`.

    Raises:
        ConfigError: an unknown name, no pictures, or flags that do not go together.
    """
    from rich.console import Console

    workdirs = [word for word in (workdir or "").split(",") if word]
    console = Console()
    console = console if console.is_terminal else Console(width=200)  # in a file nothing needs to be cut off
    with console.status(name) as status:
        if name in TABLES:
            result = _table(name, data, workdirs)
        elif name in PROTOCOLS:
            result = _protocol(name, data, workdirs, task, out, lambda what: status.update(f"{name}, {what}"))
        else:
            raise ConfigError(f"unknown protocol {name!r}; {nearest(name, (*PROTOCOLS, *TABLES))}")
    print_result(result, console)
    if out is not None:
        save(result, Path(out))
        console.print(f"wrote {out}", highlight=False, markup=False)
    return 0


def _table(name: str, data: str | None, workdirs: Sequence[str]) -> Result:
    if data is not None:
        raise ConfigError(f"mtjax protocol {name} takes no --data: the config in --workdir says what was trained on")
    from mtjax.compare.protocols.networks import measure_networks

    return measure_networks(TABLES[name], workdirs)


def _protocol(
    name: str,
    data: str | None,
    workdirs: Sequence[str],
    task: str | None,
    out: str | None,
    progress: Callable[[str], None],
) -> Result:
    if data is None:
        raise ConfigError(f"mtjax protocol {name} needs --data=DIR: the folder of pictures")
    if task is not None and not workdirs:
        raise ConfigError(f"--task={task} is a task of --workdir=RUN, which is not given")
    earlier = load(Path(out)) if out is not None and Path(out).exists() else None
    trained = [_trained(workdir, task) for workdir in workdirs]
    try:
        return measure(PROTOCOLS[name], Path(data), trained, earlier, progress)
    except MissingError as error:
        raise ConfigError(f"mtjax protocol {name} --data={data}: {error}") from error
    except CannotError as error:
        raise ConfigError(f"mtjax protocol {name}: {error}") from error


def _trained(workdir: str, task: str | None) -> Method:
    from mtjax.compare.protocols.learned import trained_method
    from mtjax.train import restore

    return trained_method(restore(workdir), task)


def list_protocols() -> int:
    """Prints every protocol's name and title."""
    for name, entry in {**PROTOCOLS, **TABLES}.items():
        print(f"{name:<20} {entry.title}")
    return 0

"""Carries a protocol of restoration out: every method on the very same observations."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mtjax.compare.protocols.pictures import MissingError, array_file, pictures, read
from mtjax.compare.protocols.protocol import CannotError, Case, Method, Protocol, Setting
from mtjax.compare.protocols.results import Column, Result, Row, environment, over_seeds, today


def measure(
    protocol: Protocol,
    data: Path,
    trained: Sequence[Method] = (),
    earlier: Result | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Result:
    """Our rows beside the published ones, for the settings whose pictures are in `data`.

    Args:
        protocol: what is done.
        data: the folder of pictures.
        trained: one network, or several trainings of it, which then share a row.
        earlier: what was measured before, of which the rows are kept if it was on the same pictures, by the same
            versions, on such a machine. They are not measured again, except that of `trained`.
        progress: is told in a few words what is going on.

    Raises:
        MissingError: no setting has its pictures there.
        CannotError: the trained network can do nothing of it.
    """
    found, missing = {}, {}
    for setting in protocol.settings:
        try:
            found[setting.name] = setting, list(cases(setting, data))
        except MissingError as error:
            missing.setdefault(str(error), []).append(setting.name)
    if not found:
        raise MissingError("; ".join(missing))
    columns = tuple(Column(name, len(of_setting), setting.count) for name, (setting, of_setting) in found.items())
    rows = [Row(p.method, "published", _only(p.values, found), p.source, p.checked) for p in protocol.published]
    rows = [row for row in rows if row.values] + published_pictures(protocol, found, data)
    kept = still_true(earlier, protocol, columns)
    for method in protocol.methods:
        rows.append(kept.pop(method.name, None) or row_of(protocol, method, found, progress))
    ours = over_seeds([row_of(protocol, method, found, progress) for method in trained]) if trained else None
    rows += [row for name, row in kept.items() if ours is None or name != ours.method]
    rows += [ours] if ours else []
    lines = tuple(f"{'; '.join(names)}: {why}" for why, names in missing.items())
    parts = protocol.name, protocol.title, protocol.rules, protocol.unit
    return Result(*parts, columns, tuple(rows), lines, environment())


def still_true(earlier: Result | None, protocol: Protocol, columns: tuple[Column, ...]) -> dict[str, Row]:
    """Our rows of an earlier result by method, none if it is of other pictures, rules, versions or machines."""
    now = environment()
    if earlier is None or (earlier.protocol, earlier.rules, earlier.columns) != (
        protocol.name,
        protocol.rules,
        columns,
    ):
        return {}
    if any(earlier.made.get(key) != now[key] for key in ("versions", "device", "cores")):
        return {}
    return {row.method: row for row in earlier.rows if row.kind == "ours"}


def row_of(protocol: Protocol, method: Method, found: Mapping[str, Any], progress: Callable[[str], None]) -> Row:
    """A method's means over the pictures of each setting that it can read."""
    start, values, why = time.perf_counter(), {}, ""
    for name, (_, of_setting) in found.items():
        progress(f"{method.name}: {name}")
        try:
            values[name] = float(np.mean([best(protocol, method, case) for case in of_setting]))
        except CannotError as error:
            why = str(error)
    if not values:
        raise CannotError(f"{method.name}: {why}")
    return Row(method.name, "ours", values, seconds=time.perf_counter() - start, note=method.note, date=today())


def cases(setting: Setting, data: Path) -> Iterator[Case]:
    """Each picture of a setting, degraded in each of its ways; MissingError if something is not there."""
    for path in pictures(data, setting.folders, setting.only):
        image = read(path)
        for degrade in setting.degrade:
            yield degrade(image, data)


def best(protocol: Protocol, method: Method, case: Case) -> float:
    """The best measure of a method over its values."""
    y = case.color if method.channels == 3 and case.color is not None else case.y
    run = method.run if isinstance(method.run, jax.tree_util.Partial) else jax.tree_util.Partial(method.run)
    images = restore(run, jnp.asarray(y), case.operator, case.sigma, jnp.asarray(method.values))
    return max(protocol.measure(case, np.asarray(image, np.float64)) for image in images)


@jax.jit
def restore(run: Any, y: Any, operator: Any, sigma: Any, values: Any) -> Any:
    """The images `[V, H, W, C]` of all values, one after the other."""
    return jax.lax.map(lambda value: run(y, operator, sigma, value), values)


def published_pictures(protocol: Protocol, found: dict[str, Any], data: Path) -> list[Row]:
    """Rows of methods whose authors published the pictures, measured like all others."""
    values: dict[str, dict[str, float]] = {}
    for name, (setting, of_setting) in found.items():
        for method, file in setting.results.items():
            image = read(array_file(data, file)) / 255
            values.setdefault(method, {})[name] = protocol.measure(of_setting[0], image)
    return [Row(method, "published", figures, protocol.results) for method, figures in values.items()]


def _only(values: Any, names: Iterable[str]) -> dict[str, float]:
    return {name: values[name] for name in names if name in values}

"""What a published protocol of restoration is, as data: pictures, what happens to them, what is measured, and by whom.

`PROTOCOLS` in the package's `__init__` names them all; `measuring.py` carries one out.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mtjax.physics.operator import Operator


@dataclasses.dataclass(frozen=True)
class Case:
    """One picture under one setting.

    clean: `[H, W, C]`, numbers from 0 to 255, as they are scored. y: what a method is given, `[h, w, c]` on the scale
    of [0, 1]. operator: what `y` was made with. sigma: standard deviation of its noise, on the scale of `y`. color:
    what a network of three channels is given instead, where the protocol has such a form.
    """

    clean: np.ndarray
    y: np.ndarray
    operator: Operator
    sigma: float
    color: np.ndarray | None = None


Degrade = Callable[[np.ndarray, Path], Case]  # a picture [H, W, C] of 0..255, and the folder of data, to its case


@dataclasses.dataclass(frozen=True)
class Setting:
    """One column of a table: the mean over some pictures, each degraded in every way of `degrade`.

    folders: what the set of pictures may be called. only: their names, or all. count: how many pictures the published
    figures are of. results: by method, the file that its authors published of this one picture.
    """

    name: str
    folders: tuple[str, ...]
    degrade: tuple[Degrade, ...]
    only: tuple[str, ...] = ()
    count: int = 1
    results: Mapping[str, str] = dataclasses.field(default_factory=dict)


class CannotError(ValueError):
    """A method is not made for what was observed: that column is empty in its row."""


@dataclasses.dataclass(frozen=True)
class Method:
    """A way back: `run(y, operator, sigma, value) -> image` `[H, W, C]`, pure; raises `CannotError` when traced.

    Of `values`, the one that is best by the measure is taken, picture by picture: what a method could reach if it knew.
    channels: how many a network reads, where that matters.
    """

    name: str
    run: Callable[..., Any]
    values: tuple[float, ...] = (0.0,)
    channels: int = 0
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Published:
    """Figures of one method by setting. `checked`: compared with the source; others are from memory, and marked."""

    method: str
    values: Mapping[str, float]
    source: str
    checked: bool = True


@dataclasses.dataclass(frozen=True)
class Protocol:
    """A published protocol: `measure(case, image) -> value` for an image `[H, W, C]` in [0, 1], the higher the better.

    rules: the whole procedure in words. results: the source of the pictures that `Setting.results` names.
    """

    name: str
    title: str
    rules: str
    unit: str
    measure: Callable[[Case, np.ndarray], float]
    settings: tuple[Setting, ...]
    methods: tuple[Method, ...]
    published: tuple[Published, ...] = ()
    results: str = ""


def table(
    source: str, settings: tuple[str, ...], rows: Mapping[str, tuple[float | None, ...]], checked: bool = True
) -> tuple[Published, ...]:
    """The rows of a published table whose columns are `settings`; None where it has no figure."""
    return tuple(
        Published(method, {s: v for s, v in zip(settings, values, strict=True) if v is not None}, source, checked)
        for method, values in rows.items()
    )

"""`mixture`: several sources as one, each with the labels that it has."""

import bisect
import dataclasses
import itertools
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np

from mtjax.data.fields import DIRECTIONS, DISPLACEMENTS, Example, Source, SourceInfo
from mtjax.registry import ConfigError, nearest, one_line

T = TypeVar("T")
Names = Mapping[str, Any]  # a part's own field -> what the mixture calls it
FIXED = ("image", "boxes", "box_labels", *DISPLACEMENTS, *DIRECTIONS)  # what moves and shows them goes by their names


def mixture(
    split: str,
    /,
    *,
    parts: Mapping[str, Mapping[str, Any]],
    proportions: Mapping[str, Any] | None = None,
    rename: Mapping[str, Mapping[str, Any]] = {},
) -> Source:
    """Examples of several sources, in given proportions for training; evaluation sees each example of each once.

    An example has the fields of its own source; the other fields are not valid in it, so tasks that need them are
    neither trained nor judged by it. An epoch is as many examples as the sources have together.

    Args:
        split: "train", "validation" or "test"; every source is asked for the same one.
        parts: name -> a source's node, such as dict(source="folder", path="PHOTOS").
        proportions: name -> how many training examples come from that source, as parts of a whole or of any sum. By
            size if None, so that an epoch has each example once.
        rename: name -> that source's field -> its name here, such as dict(street=dict(segments="street")), for classes
            that other sources have not; a task finds it by `label="street"`. What is read by its name (pictures, boxes,
            instances, flow, normals) keeps it.

    Raises ConfigError (a ValueError) for sources that do not fit together (images and fields of one name must have one
    shape, and the same classes), for proportions that are not positive, for proportions and new names of what is not
    there, and, naming the source, for what is wrong with one.
    """
    from mtjax.data import build  # whose table of sources holds this very function

    if not parts:
        raise ConfigError("data.parts is empty; expected names and sources, such as dict(photos=dict(source='folder'))")
    _check_proportions(parts, proportions)
    for name in rename:
        if name not in parts:
            raise ConfigError(f"unknown key data.rename.{name}; {nearest(name, parts)}")
    sources = {}
    for name, node in parts.items():
        try:
            sources[name] = build(node, split)
        except ValueError as error:
            raise ConfigError(f"data.parts.{name}: {one_line(error)}") from error
        if len(sources[name]) == 0:
            raise ConfigError(f"data.parts.{name}: the {split} split is empty")
        if name in rename:
            sources[name] = _Renamed(sources[name], rename[name], f"data.rename.{name}")
    # As a number is written, 0.7 is seven tenths; as a float it is not.
    weights = {name: Fraction(repr(proportions[name])) for name in sources} if proportions else None
    return _Mixture(sources, weights)


class _Mixture(Source):
    """The parts' examples one after the other."""

    def __init__(self, sources: Mapping[str, Source], weights: Mapping[str, Fraction] | None):
        self._sources = list(sources.values())
        self._starts = [0, *itertools.accumulate(len(source) for source in self._sources)]
        self._weights = [weights[name] if weights else Fraction(len(source)) for name, source in sources.items()]
        self.info = _joined({name: source.info for name, source in sources.items()})

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, index: int) -> Example:
        source, number = self._find(index)
        return self._fitted(source[number])

    def sample(self, index: int, rng: np.random.Generator) -> Example:
        """The example as its own source gives it to training."""
        source, number = self._find(index)
        return self._fitted(source.sample(number, rng))

    def shares(self) -> tuple[tuple[int, Fraction], ...]:
        """Those of each part, scaled to its proportion."""
        scaled = []
        for source, weight in zip(self._sources, self._weights, strict=True):
            inner = source.shares()
            whole = sum(share for _, share in inner)
            scaled += [(count, weight * share / whole) for count, share in inner]
        return tuple(scaled)

    def _find(self, index: int) -> tuple[Source, int]:
        part = bisect.bisect_right(self._starts, index) - 1
        return self._sources[part], index - self._starts[part]

    def _fitted(self, example: Example) -> Example:
        """The example with an image of the mixture's type."""
        image = example.get("image")
        if self.info.wide and image is not None and image.dtype == np.uint8:
            return {**example, "image": image.astype(np.float32) / 255}
        return example


class _Renamed(Source):
    """A part whose fields are called as in the mixture."""

    def __init__(self, source: Source, names: Names, where: str):
        self._source, self._names, self.info = source, names, _renamed(source.info, names, where)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Example:
        return _called(self._source[index], self._names)

    def sample(self, index: int, rng: np.random.Generator) -> Example:
        """The example as its own source gives it to training."""
        return _called(self._source.sample(index, rng), self._names)

    def shares(self) -> tuple[tuple[int, Fraction], ...]:
        """Those of the part itself."""
        return self._source.shares()


def _called(fields: Mapping[str, T], names: Names) -> dict[str, T]:
    return {names.get(field, field): value for field, value in fields.items()}


def _renamed(info: SourceInfo, names: Names, where: str) -> SourceInfo:
    """What is known of a part, by the names of the mixture; ConfigError, naming the key, where they cannot be."""
    for field, name in names.items():
        if field not in info.fields:
            raise ConfigError(f"unknown key {where}.{field}; {nearest(field, info.fields)}")
        if not isinstance(name, str) or not name.isidentifier():
            raise ConfigError(f"{where}.{field} must be a name of letters, digits and underscores, got {name!r}")
    called = [names.get(field, field) for field in info.fields]
    if twice := next((name for name in called if called.count(name) > 1), None):
        both = " and ".join(repr(field) for field, name in zip(info.fields, called, strict=True) if name == twice)
        raise ConfigError(f"{where} calls both {both} {twice!r}; expected a name for each")
    fields, class_names = _called(info.fields, names), _called(info.class_names, names)
    new = dataclasses.replace(info, fields=fields, class_names=class_names)
    for field, name in names.items():
        if field in FIXED or name in FIXED or new.dtype(name) != info.dtype(field):
            raise ConfigError(f"{where}: {field!r} cannot be called {name!r}; one of them is read by its own name")
    return new


def _check_proportions(parts: Mapping[str, Any], proportions: Mapping[str, Any] | None) -> None:
    """Raises a ConfigError unless there is a positive number for each part, or none at all."""
    for name, value in (proportions or {}).items():
        if name not in parts:
            raise ConfigError(f"unknown key data.proportions.{name}; {nearest(name, parts)}")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < value < math.inf:
            raise ConfigError(f"data.proportions.{name} must be a number greater than 0, got {value!r}")
    if proportions is not None and (missing := [name for name in parts if name not in proportions]):
        raise ConfigError(f"data.proportions.{missing[0]} is missing; expected a number for each of {', '.join(parts)}")


def _joined(infos: Mapping[str, SourceInfo]) -> SourceInfo:
    """What is known of the mixture: every field of any part, each the same wherever it is."""
    fields: dict[str, tuple[int, ...]] = {}
    class_names: dict[str, tuple[str, ...]] = {}
    first: dict[str, str] = {}
    for name, info in infos.items():
        for field, shape in info.fields.items():
            if field not in fields:
                fields[field], first[field] = shape, name
                if field in info.class_names:
                    class_names[field] = info.class_names[field]
                continue
            if shape != fields[field]:
                both = f"{_sizes(fields[field])} in {first[field]}, {_sizes(shape)} in {name}"
                raise ConfigError(f"data.parts: field {field!r} must have one shape, but is {both}")
            classes, others = class_names.get(field, ()), info.class_names.get(field, ())
            if classes != others:
                both = f"{_list(classes)} in {first[field]}, {_list(others)} in {name}"
                message = f"data.parts: field {field!r} must have the same classes, but has {both}"
                raise ConfigError(f"{message}; data.rename can tell them apart")
    image_shape = next(iter(infos.values())).image_shape
    return SourceInfo("mixture", fields, class_names, image_shape, wide=any(info.wide for info in infos.values()))


def _sizes(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "one number"


def _list(classes: tuple[str, ...]) -> str:
    shown = ", ".join(classes[:3])
    return f"{len(classes)} ({shown}{', ...' if len(classes) > 3 else ''})" if classes else "none"

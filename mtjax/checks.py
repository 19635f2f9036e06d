"""Whether a value from a config is what its annotation says, and that value in its one normal form."""

import math
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Union

from mtjax.registry import ConfigError, nearest, shown

WORDS = {int: "an integer", float: "a number", str: "a string", bool: "true or false", type(None): "None"}


def members(annotation: Any) -> tuple[Any, ...]:
    """The alternatives of a union, or the annotation alone."""
    if typing.get_origin(annotation) in (Union, types.UnionType):
        return tuple(member for part in typing.get_args(annotation) for member in members(part))
    return (annotation,)


def container(annotation: Any) -> type | None:
    """tuple for annotations of sequences, dict for those of mappings, None for others."""
    origin = typing.get_origin(annotation) or annotation
    if not isinstance(origin, type) or origin is str:
        return None
    if issubclass(origin, Mapping):
        return dict
    return tuple if issubclass(origin, Sequence) else None


def item(annotation: Any) -> Any:
    """What an annotation says of the values of a mapping; `Any` if it says nothing."""
    mappings = [member for member in members(annotation) if container(member) is dict]
    return next((parts[1] for member in mappings if (parts := typing.get_args(member))), Any)


def understood(annotation: Any) -> tuple[Any, ...]:
    """The members of an annotation that a config value can be checked against; none if anything goes."""
    if annotation is None:
        return (type(None),)
    plain = (*WORDS, None)
    return tuple(
        type(None) if m is None else m
        for m in members(annotation)
        if m in plain or typing.get_origin(m) is Literal or container(m)
    )


def conform(value: Any, annotation: Any, where: str) -> Any:
    """`value` as `annotation` wants it: integers become floats where floats are wanted, lists become tuples.

    Annotations that say nothing about plain values (arrays, `Any`) accept everything.

    Raises:
        ConfigError: the value is of another type, or not among the literals.
    """
    wanted = understood(annotation)
    if not wanted:
        return value
    for member in wanted:
        matched, result = match(value, member, where)
        if matched:
            return result
    choices = [choice for m in wanted if typing.get_origin(m) is Literal for choice in typing.get_args(m)]
    if choices and isinstance(value, str):
        raise ConfigError(f"unknown {where} {shown(value)}; {nearest(value, choices)}")
    raise ConfigError(f"{where} must be {' or '.join(describe(m) for m in wanted)}, got {shown(value)}")


def match(value: Any, member: Any, where: str) -> tuple[bool, Any]:
    """Whether `value` is a `member`, and its normal form if so."""
    if typing.get_origin(member) is Literal:
        return value in typing.get_args(member), value
    if member is float:
        number = isinstance(value, float) or is_integer(value)
        return number, float(value) if number else None
    if member is int:
        return is_integer(value), value
    if member in WORDS:
        return isinstance(value, member), value
    if container(member) is dict:
        return isinstance(value, Mapping), value
    if not isinstance(value, list | tuple):
        return False, None
    parts = typing.get_args(member)
    if typing.get_origin(member) is tuple and Ellipsis not in parts and parts and len(parts) != len(value):
        return False, None
    kinds = parts if len(parts) == len(value) and Ellipsis not in parts else (parts[:1] or (Any,)) * len(value)
    return True, tuple(conform(v, kind, f"{where}[{i}]") for i, (v, kind) in enumerate(zip(value, kinds, strict=True)))


def is_integer(value: Any) -> bool:
    """Whether a value is an integer that a machine can count to."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def check_names(names: Iterable[str], where: str) -> None:
    """Raises a ConfigError for the first name that cannot be part of a dotted key."""
    for name in names:
        if not str(name).isidentifier() or str(name).startswith("__"):
            raise ConfigError(f"{where} has the name {shown(name)}: a name is letters, digits and underscores")


def check_data(value: Any, where: str) -> None:
    """Raises a ConfigError for a number that is not finite, or a wrong name, within tuples, lists and mappings too."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{where} must be a finite number, got {value}")
    if isinstance(value, list | tuple):
        for i, item in enumerate(value):
            check_data(item, f"{where}[{i}]")
    if isinstance(value, Mapping):
        check_names(value, where)
        for key, item in value.items():
            check_data(item, f"{where}.{key}")


def describe(member: Any) -> str:
    """An annotation in words."""
    if typing.get_origin(member) is Literal:
        return " or ".join(repr(choice) for choice in typing.get_args(member))
    if member in WORDS:
        return WORDS[member]
    if container(member) is dict:
        return "a mapping"
    parts = typing.get_args(member)
    if typing.get_origin(member) is tuple and parts and Ellipsis not in parts:
        return f"a tuple of {len(parts)}"
    return "a tuple"

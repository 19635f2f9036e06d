"""Whether a value from a config is what its annotation says, and that value in its one normal form."""

import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union

from mtjax.registry import ConfigError, nearest

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
        raise ConfigError(f"unknown {where} {value!r}; {nearest(value, choices)}")
    raise ConfigError(f"{where} must be {' or '.join(describe(m) for m in wanted)}, got {value!r}")


def match(value: Any, member: Any, where: str) -> tuple[bool, Any]:
    """Whether `value` is a `member`, and its normal form if so."""
    if typing.get_origin(member) is Literal:
        return value in typing.get_args(member), value
    if member is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number, float(value) if number else None
    if member is int:
        return isinstance(value, int) and not isinstance(value, bool), value
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

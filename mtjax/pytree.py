"""Frozen dataclasses whose arrays JAX sees: the one kind of object that mtjax passes into compiled functions."""

import dataclasses
from typing import Any, TypeVar, dataclass_transform

import jax

T = TypeVar("T")


def static(default: Any = dataclasses.MISSING) -> Any:
    """A field that is part of the compiled program (an enum, a shape), not an array: changing it recompiles."""
    return dataclasses.field(default=default, metadata={"static": True})


@dataclass_transform(frozen_default=True, field_specifiers=(static, dataclasses.field))
def pytree(cls: type[T]) -> type[T]:
    """Makes `cls` a frozen dataclass and a JAX pytree; fields are leaves unless declared with `static(...)`.

    Unlike `jax.tree_util.register_dataclass`, rebuilding the object from its leaves does not call `__init__`, so
    `__post_init__` may check and convert what a user passes without meeting the placeholders of JAX's transformations.
    """
    cls = dataclasses.dataclass(frozen=True, eq=False)(cls)
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    leaves = tuple(f.name for f in fields if not f.metadata.get("static"))
    statics = tuple(f.name for f in fields if f.metadata.get("static"))

    def flatten_with_keys(value: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        children = tuple((jax.tree_util.GetAttrKey(name), getattr(value, name)) for name in leaves)
        return children, tuple(getattr(value, name) for name in statics)

    def flatten(value: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        return tuple(getattr(value, name) for name in leaves), tuple(getattr(value, name) for name in statics)

    def unflatten(aux: tuple[Any, ...], children: Any) -> Any:
        value = object.__new__(cls)
        for name, child in zip(leaves + statics, (*children, *aux), strict=True):
            object.__setattr__(value, name, child)
        return value

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    return cls


def replace(value: T, **changes: Any) -> T:
    """A copy of a pytree dataclass with some fields changed; `__post_init__` does not run again."""
    names = {f.name for f in dataclasses.fields(value)}  # type: ignore[arg-type]
    if unknown := set(changes) - names:
        raise ValueError(f"{type(value).__name__} has no field {sorted(unknown)[0]!r}; it has {sorted(names)}")
    copy = object.__new__(type(value))
    for name in names:
        object.__setattr__(copy, name, changes.get(name, getattr(value, name)))
    return copy

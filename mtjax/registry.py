"""From a name in a config to the thing it names: a table's entry, or anything importable as `"package.module:Name"`."""

import difflib
import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any


class ConfigError(ValueError):
    """Something in a config or on the command line cannot be used; the message is one line that says why."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error message about an unknown `name`: the known name most like it, or all that there are."""
    names = sorted(str(other) for other in known)
    folded = {other.casefold(): other for other in reversed(names)}
    if close := difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.5):
        return f"did you mean {folded[close[0]]!r}?"
    return f"there is {', '.join(names)}" if names else "there is none"


def lookup(registry: Mapping[str, Any], kind: Any, where: str) -> Any:
    """The entry of `registry` called `kind`, or what `"package.module:Name"` imports.

    Args:
        registry: table from names to entries.
        kind: a name in it, or an import path with a colon.
        where: the config key or argument that holds `kind`, for the message.

    Raises:
        ConfigError: an unknown name, with the nearest one, or an import that fails, with the reason.
    """
    if not isinstance(kind, str):
        raise ConfigError(f"{where} must be a name, got {kind!r}")
    if kind in registry:
        return registry[kind]
    if ":" not in kind:
        raise ConfigError(f"unknown {where} {kind!r}; {nearest(kind, registry)}")
    module_name, _, name = kind.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise ConfigError(f"{where}={kind!r}: cannot import {module_name!r}: {one_line(error)}") from error
    if not hasattr(module, name):
        public = [other for other in vars(module) if not other.startswith("_")]
        raise ConfigError(f"{where}={kind!r}: {module_name} has no {name!r}; {nearest(name, public)}")
    return getattr(module, name)


def entry_function(entry: Any) -> Callable[..., Any]:
    """What is called with an entry's parameters: the entry itself, or its `run` if it is a description of a solver."""
    return getattr(entry, "run", entry)


def accepted(entry: Any) -> dict[str, inspect.Parameter]:
    """The parameters that a config may give to a registry entry: a function's keyword-only ones, a class's fields."""
    function = entry_function(entry)
    wanted = {inspect.Parameter.KEYWORD_ONLY}
    if inspect.isclass(function):
        wanted.add(inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return {p.name: p for p in inspect.signature(function).parameters.values() if p.kind in wanted}


def one_line(error: BaseException) -> str:
    """An exception as one line: mtjax's own messages whole, the first line of others.

    The type stands in front where the message alone would not say what it is.
    """
    kind = type(error)
    if isinstance(error, ConfigError) or kind.__module__.startswith("mtjax"):
        return " ".join(str(error).split())
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    speaks = isinstance(error, ValueError | OSError | ImportError) and first
    return first if speaks else f"{kind.__name__}: {first}".rstrip(": ")

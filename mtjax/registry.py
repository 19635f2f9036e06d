"""From a name in a config to the thing it names: a table's entry, or anything importable as `"package.module:Name"`."""

import difflib
import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

LONGEST = 300  # characters of a value, or of another library's message, that a message of ours shows

FREE = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}


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
        ConfigError: an unknown name, with the nearest one; an import that fails, with the reason; or what is imported
            cannot stand among the entries.
    """
    if not isinstance(kind, str):
        raise ConfigError(f"{where} must be a name, got {shown(kind)}")
    if kind in registry:
        return registry[kind]
    if ":" not in kind or not registry or not all(callable(entry_function(entry)) for entry in registry.values()):
        raise ConfigError(f"unknown {where} {shown(kind)}; {nearest(kind, registry)}")
    found = imported(kind, where)
    refuse_other_sort(found, list(registry.values()), f"{where}={kind!r}")
    return found


def imported(kind: str, where: str) -> Any:
    """What `"package.module:Name"` names. Importing a module runs it: a config is trusted as far as what it names.

    Raises:
        ConfigError: the import fails, with the reason, or the module has no such name, with the nearest one.
    """
    module_name, _, name = kind.partition(":")
    try:
        module = importlib.import_module(module_name)
        if hasattr(module, name):
            return getattr(module, name)
    except (Exception, SystemExit) as error:  # SystemExit: a script that was never meant to be imported
        raise ConfigError(f"{where}={shown(kind)}: cannot import {module_name!r}: {one_line(error)}") from error
    public = [other for other in vars(module) if not other.startswith("_")]
    raise ConfigError(f"{where}={kind!r}: {module_name} has no {name!r}; {nearest(name, public)}")


def refuse_other_sort(found: Any, entries: Sequence[Any], what: str) -> None:
    """Raises a ConfigError unless what was imported can stand among these entries of a table, before it is called.

    Where all are classes of one base, it must be another. What mtjax gives an entry is positional-only, and what the
    config gives it keyword-only, so no function that merely happens to be importable is called with a config's values.
    """
    if all(inspect.isclass(entry) for entry in entries):
        base = next(cls for cls in entries[0].__mro__ if all(issubclass(entry, cls) for entry in entries))
        if not (inspect.isclass(found) and issubclass(found, base)):
            raise ConfigError(f"{what} must be a class derived from {base.__name__}, got {shown(found)}")
        return
    wanted = min((given_by_position(entry) for entry in entries), key=len)
    try:
        kinds = {p.kind for p in inspect.signature(entry_function(found)).parameters.values()}
        fits = len(given_by_position(found)) == len(wanted) and not kinds & FREE
    except (TypeError, ValueError):  # not called at all, or a built-in that does not say how
        fits = False
    if not fits:
        raise ConfigError(f"{what} must be called as ({', '.join(wanted)}, /, *, ...), got {shown(found)}")


def given_by_position(entry: Any) -> list[str]:
    """The names of an entry's positional-only parameters that have no default."""
    parameters = inspect.signature(entry_function(entry)).parameters.values()
    return [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY and p.default is p.empty]


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
        return cut(printable(" ".join(str(error).split())), 5 * LONGEST)
    first = cut(printable(next((line.strip() for line in str(error).splitlines() if line.strip()), "")))
    speaks = isinstance(error, ValueError | OSError | ImportError) and first
    return first if speaks else f"{kind.__name__}: {first}".rstrip(": ")


def printable(text: str) -> str:
    """A text in which line breaks, terminal codes and the like, as a file's name may hold, are escaped."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def shown(value: Any) -> str:
    """A value as a message shows it: on one line, and cut where it is long."""
    try:
        return cut(" ".join(repr(value).split()))
    except Exception:  # such as for an integer of more digits than Python prints
        return f"something of type {type(value).__name__}"


def cut(text: str, longest: int = LONGEST) -> str:
    """The beginning of a text that is too long for a message; others whole."""
    return text if len(text) <= longest else f"{text[:longest]}..."

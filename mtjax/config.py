"""From a config file and a command line to one complete, checked, locked config; and its record in a workdir.

What a config may hold is in `mtjax.schema`. Nothing heavy is imported before a config is resolved.
"""

import difflib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtjax.checks import conform, container, understood
from mtjax.record import load, locked, save
from mtjax.registry import ConfigError, cut, lookup, nearest, one_line, shown
from mtjax.schema import AT_LEAST, Completion, check_keys, mapping

DEEPEST = 32  # levels of nesting
KEY = re.compile(r"\w+(\[[0-9]+\])*(\.\w+(\[[0-9]+\])*)*")  # a.b[0].c


def read(path: str) -> Any:
    """What `get_config` of a config file returns.

    Args:
        path: a Python file, or `file.py:argument`, whose argument is then passed to `get_config`.

    Raises:
        ConfigError: there is no such file, or it fails; the message names the file and the line.
    """
    name, colon, argument = path.partition(".py:")
    file = Path(f"{name}.py" if colon else name)
    if not file.is_file():
        there = [other.name for other in file.parent.glob("*.py")]
        near = difflib.get_close_matches(file.name, there, n=1, cutoff=0.5)
        hint = f"; did you mean {str(file.parent / near[0])!r}?" if near else ""
        raise ConfigError(f"no config file {str(file)!r}{hint}")
    if (folder := str(file.parent.absolute())) not in sys.path:
        sys.path.append(folder)  # so that a kind "module:Name" may lie beside the config, or in it
    try:
        spec = importlib.util.spec_from_file_location(f"mtjax_config_{file.stem}", file)
        module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
        spec.loader.exec_module(module)  # type: ignore[union-attr]
        if not callable(getattr(module, "get_config", None)):
            raise ConfigError(f"{file} has no function get_config()")
        takes = len(inspect.signature(module.get_config).parameters)
        if colon and not takes:
            raise ConfigError(f"get_config() of {file} takes no argument, got {argument!r}")
        return module.get_config(argument) if colon else module.get_config()
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{file}{line_in(file, error)}: {one_line(error)}") from error


def line_in(file: Path, error: BaseException) -> str:
    """`:line` where the file raised the error, or where it cannot be parsed."""
    if isinstance(error, SyntaxError):
        return f":{error.lineno}" if error.filename == str(file) else ""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == file]
    return f":{lines[-1]}" if lines else ""


def resolve(raw: Any, arguments: Sequence[str] = ()) -> tuple[Any, dict[str, Any]]:
    """The complete config and the values that the arguments changed, by dotted key.

    First the kinds that the arguments choose, and `--config.tasks=a,b`, which keeps only those tasks, decide what keys
    there are; then `config_flags` gives each argument the type of its key.

    Args:
        raw: what a config file returns: nested dicts or ConfigDicts.
        arguments: `--config.a.b=value`, `--config.a.b value`, `--config.flag` or `--noconfig.flag`, in order.

    Returns:
        A locked ConfigDict and the overrides.

    Raises:
        ConfigError: an unknown or missing key, an unknown kind, a value of the wrong type or out of range.
    """
    raw = plain(raw)
    if not isinstance(raw, dict):
        raise ConfigError(f"a config must be a ConfigDict or dict, got {shown(raw)}")
    assigned = assignments(arguments)
    chosen = assigned.pop("tasks", None)
    if chosen is not None:
        raw = keep_tasks(raw, [name for name in chosen.strip("()[] ").split(",") if name.strip()])
    kinds = {k: v.strip("'\"") for k, v in assigned.items() if k.endswith((".kind", ".source"))}
    completion = Completion(kinds, frozenset(assigned))
    tree = completion.config(raw)
    for path in assigned:
        check_path(tree, path)
    changed, overrides = override(tree, assigned, completion.types)
    tree = Completion().config(changed)
    check(tree)
    if chosen is not None:
        overrides = {"tasks": chosen, **overrides}
    return locked(tree), overrides


def plain(value: Any, where: str = "", above: tuple[int, ...] = ()) -> Any:
    """ConfigDicts and their references as dicts and values, in a copy.

    Args:
        value: of the key `where`.
        where: its dotted key, for messages.
        above: the identities of what it is in.

    Raises:
        ConfigError: a value that is no data, a key that is no string, or something that holds itself.
    """
    if hasattr(value, "to_dict"):
        value = value.to_dict()
    if id(value) in above or len(above) > DEEPEST:
        raise ConfigError(f"{cut(where)}: a config holds itself there, or is nested more than {DEEPEST} deep")
    inside = (*above, id(value))
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ConfigError(f"{where or 'a config'} has the key {shown(key)}, which is no string")
        return {key: plain(item, f"{where}.{key}" if where else key, inside) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(plain(item, f"{where}[{i}]", inside) for i, item in enumerate(value))
    if value is not None and not isinstance(value, bool | int | float | str):
        wanted = "a number, a string, None, or a dict, list or tuple of such"
        raise ConfigError(f"{where} must be {wanted}, got {shown(value)}")
    return value


def normalize(arguments: Sequence[str]) -> list[str]:
    """Flags with their values joined: `--name value` becomes `--name=value`, `-name` becomes `--name`.

    Raises:
        ConfigError: a word that belongs to no flag.
    """
    joined: list[str] = []
    for argument in arguments:
        if re.match(r"--?[A-Za-z_]", argument):
            joined.append("--" + argument.lstrip("-"))
        elif joined and "=" not in joined[-1]:
            joined[-1] += f"={argument}"
        else:
            raise ConfigError(f"unexpected {argument!r}; a flag is --name=value")
    return joined


def assignments(arguments: Sequence[str]) -> dict[str, str]:
    """By dotted key, the text that the command line gives it; the last one counts."""
    found: dict[str, str] = {}
    for argument in normalize(arguments):
        name, equals, text = argument.removeprefix("--").partition("=")
        negated = name.startswith("noconfig.")
        path = name.removeprefix("no").removeprefix("config.")
        if not name.removeprefix("no").startswith("config.") or not path:
            raise ConfigError(f"unknown flag --{name}; a key of the config is --config.{path or 'key'}=value")
        if not KEY.fullmatch(path):
            raise ConfigError(f"--config.{cut(path)} is no key, such as --config.a.b=value and --config.a[0].b=value")
        found.pop(path, None)
        found[path] = text if equals else "false" if negated else "true"
    return found


NAMING_TASKS = ("tasks", "observations", "compare", "optimizer", "weighting")


def keep_tasks(raw: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The config with only these tasks, and only what they use.

    Raises:
        ConfigError: an unknown task, or none at all.
    """
    names = [name.strip(" '\"") for name in names]
    part = {name: mapping(raw.get(name, {}), name) for name in NAMING_TASKS}
    check_keys(names, part["tasks"], "--config.tasks", "task")
    kept = {name: mapping(task, f"tasks.{name}") for name, task in part["tasks"].items() if name in names}
    used = [task.get("observation") for task in kept.values()]
    result = {**raw, "tasks": kept}
    result["observations"] = {k: v for k, v in part["observations"].items() if k in used}
    result["compare"] = {k: v for k, v in part["compare"].items() if k in kept}
    for section, key in (("optimizer", "per_task"), ("weighting", "weights")):
        if isinstance(own := part[section].get(key), Mapping):
            result[section] = {**part[section], key: {k: v for k, v in own.items() if k in kept}}
    return result


def steps(path: str) -> list[str | int]:
    """`a.b[0].c` as the keys and indices that lead there."""
    return [int(part[1:-1]) if part[0] == "[" else part for part in re.findall(r"\[\d+\]|[^.\[\]]+", path)]


def check_path(config: Any, path: str) -> None:
    """Raises a ConfigError if the config has no such key, naming the nearest one at the depth where it goes wrong."""
    where, here = "", config
    for step in steps(path):
        place = where or "config"
        if isinstance(step, int):
            if not isinstance(here, list | tuple) or step >= len(here):
                size = f"has {len(here)} entries" if isinstance(here, list | tuple) else "is not a list"
                raise ConfigError(f"unknown --config.{path}: {place} {size}")
            where += f"[{step}]"
        elif isinstance(here, list | tuple):
            raise ConfigError(f"unknown --config.{path}: {place} is a list; its first entry is {place}[0]")
        elif not isinstance(here, dict):
            raise ConfigError(f"unknown --config.{path}: {place} is a value, {shown(here)}, and has no keys")
        elif step not in here:
            raise ConfigError(f"unknown key {step!r} in {place} (--config.{path}); {nearest(step, here)}")
        else:
            where = f"{where}.{step}" if where else step
        here = here[step]  # type: ignore[index]


def override(
    tree: dict[str, Any], assigned: Mapping[str, str], types: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The config with the command line's values, each parsed by `config_flags` as its key's type asks."""
    from absl import flags
    from ml_collections import ConfigDict, config_flags

    config, arguments = ConfigDict(tree), [f"--config.{path}={text}" for path, text in assigned.items()]
    for path, text in assigned.items():
        loosen(config, path, text, types.get(path))
    values = flags.FlagValues()
    try:
        holder = config_flags.DEFINE_config_dict(
            "config", config, flag_values=values, lock_config=True, sys_argv=arguments
        )
        values(["mtjax", *arguments])
    except Exception as error:  # config_flags parses with Python's own parser, which has limits of its own
        path = re.sub(r"^flag --config\.([^=]+)=.*", r"\1", str(error))
        if path in assigned:
            conform(assigned[path], types.get(path, Any), path)
        raise ConfigError(one_line(error)) from error
    result = plain(holder.value)
    overrides = {}
    for path in assigned:
        parent, key = result, steps(path)
        for step in key[:-1]:
            parent = parent[step]
        parent[key[-1]] = overrides[path] = conform(parent[key[-1]], types.get(path, Any), path)
    return result, overrides


def loosen(config: Any, path: str, text: str, annotation: Any) -> None:
    """Lets a key take more than the type of its present value, where its annotation does: `float | None`, a pair."""
    from ml_collections import FieldReference

    key = steps(path)
    if annotation is None or any(isinstance(step, int) for step in key):
        return
    for step in key[:-1]:
        config = config[step]
    named = [m for m in understood(annotation) if m is not type(None)]
    value = config[key[-1]]
    if len(named) == 1 and text != "None":
        kind = container(named[0]) or (named[0] if isinstance(named[0], type) else str)
    else:
        kind = object
    if not isinstance(value, Mapping) and kind is not type(value):
        del config[key[-1]]
        config[key[-1]] = FieldReference(None, field_type=kind)


def check(config: Mapping[str, Any]) -> None:
    """What holds between keys, and the ranges of numbers.

    Raises:
        ConfigError: the first thing that does not hold.
    """
    for name, task in config["tasks"].items():
        if "observation" in task and task["observation"] not in config["observations"]:
            hint = nearest(str(task["observation"]), config["observations"])
            raise ConfigError(f"unknown tasks.{name}.observation {task['observation']!r}; {hint}")
    for path, least in AT_LEAST.items():
        value: Any = config
        for step in steps(path):
            value = value[step]
        if value < least:
            raise ConfigError(f"{path} must be at least {least}, got {value}")
    rates = {"optimizer": config["optimizer"]}
    rates |= {f"optimizer.per_task.{task}": own for task, own in config["optimizer"]["per_task"].items()}
    for where, node in rates.items():
        if not node["lr"] > 0:
            raise ConfigError(f"{where}.lr must be greater than 0, got {node['lr']}")


__all__ = ["ConfigError", "load", "lookup", "nearest", "one_line", "read", "resolve", "save"]

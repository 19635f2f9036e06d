"""What a workdir says about the run in it: its resolved config, and what it was made with."""

import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtjax.registry import ConfigError, one_line, shown
from mtjax.schema import Completion, mapping

FILE = "config.json"
PACKAGES = ("mtjax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "tensorflow-datasets", "numpy")
# What may change between two calls of one run: it has no part in the parameters that come out.
MUTABLE = ("compare.", "train.log_every", "train.checkpoint_every", "train.skip_limit", "train.watchdog", "train.mesh.")


def locked(tree: Mapping[str, Any]) -> Any:
    """A locked ConfigDict, which counts as a `Mapping` from then on: it has the methods, but does not say so itself."""
    from ml_collections import ConfigDict

    Mapping.register(ConfigDict)  # type: ignore[attr-defined]
    return ConfigDict(tree).lock()


def save(config: Mapping[str, Any], overrides: Mapping[str, Any], workdir: str | Path) -> Path:
    """Writes `config.json`: the resolved config, what the command line changed, commit, versions, backend.

    A workdir that already has one keeps its history of what it was made with, if it is the same run.

    Raises:
        ConfigError: the workdir belongs to a run with another config; the message names the keys that differ.
    """
    import jax

    workdir, resolved = Path(workdir), as_json(config)
    file = workdir / FILE
    if file.exists():
        refuse_other(resolved, as_json(load(workdir)), workdir)
    if jax.process_index():  # of several processes, all must agree, and the first one writes
        return file
    workdir.mkdir(parents=True, exist_ok=True)
    record = {
        "config": resolved,
        "overrides": as_json(overrides),
        "git": commit(),
        "versions": {"python": platform.python_version(), **versions()},
        "backend": jax.default_backend(),
        "devices": [device.device_kind for device in jax.devices()],
    }
    partial = file.with_suffix(f".{os.getpid()}.tmp")
    partial.write_text(json.dumps(record, indent=2) + "\n")
    partial.replace(file)
    return file


def load(workdir: str | Path) -> Any:
    """The config that `save` wrote, a locked ConfigDict; keys that came into being since have their defaults.

    It is checked like one that was just written: a workdir may come from elsewhere.

    Raises:
        ConfigError: there is none, or it cannot be read or used.
    """
    file = Path(workdir) / FILE
    if not file.is_file():
        raise ConfigError(f"{str(workdir)!r} is not the workdir of a run: it has no {FILE}")
    try:
        config = from_json(json.loads(file.read_text(encoding="utf-8"))["config"])
        return locked(Completion().config(mapping(config, "config")))
    except ConfigError as error:
        raise ConfigError(f"{file} is damaged, or of another version of mtjax: {error}") from error
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise ConfigError(f"{file} is damaged: {type(error).__name__}: {one_line(error)}") from error


def refuse_other(new: Mapping[str, Any], old: Mapping[str, Any], workdir: Path) -> None:
    """Raises a ConfigError if two configs, as JSON, differ in anything that changes a run."""
    new_keys, old_keys = flat(new), flat(old)
    differ = [key for key in sorted({**new_keys, **old_keys}) if new_keys.get(key) != old_keys.get(key)]
    differ = [key for key in differ if not key.startswith(MUTABLE)]
    if not differ:
        return
    missing = "nothing"
    shown = [f"{key} was {old_keys.get(key, missing)!r}, is {new_keys.get(key, missing)!r}" for key in differ[:3]]
    more = f", and {len(differ) - 3} more" if len(differ) > 3 else ""
    raise ConfigError(f"{workdir} holds a run with another config: {'; '.join(shown)}{more}; take another --workdir")


def flat(value: Any, where: str = "") -> dict[str, Any]:
    """Nested dicts and lists as one dict from dotted keys to values; empty ones keep their place."""
    if isinstance(value, Mapping) and value:
        return {k: v for key, item in value.items() for k, v in flat(item, f"{where}.{key}" if where else key).items()}
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        return {k: v for i, item in enumerate(value) for k, v in flat(item, f"{where}[{i}]").items()}
    return {where: value}


def as_json(value: Any) -> Any:
    """A config as plain JSON: dicts, lists and values."""
    if hasattr(value, "to_dict"):
        value = value.to_dict()
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ConfigError(f"a config holds numbers, strings, None, and dicts, lists or tuples of them, not {shown(value)}")


def from_json(value: Any) -> Any:
    """The inverse of `as_json` for resolved configs, in which lists hold nodes and tuples hold values."""
    if isinstance(value, dict):
        return {key: from_json(item) for key, item in value.items()}
    if isinstance(value, list):
        items = [from_json(item) for item in value]
        return items if any(isinstance(item, dict) for item in items) else tuple(items)
    return value


def versions() -> dict[str, str]:
    """Versions of the packages that results depend on."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def commit() -> dict[str, Any] | None:
    """The git commit that this package is checked out at, and whether files differ from it; None if it is not."""
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--", ":/"))}
    except (OSError, subprocess.SubprocessError):
        return None

"""The example configs, their records and command lines, after somebody has had an accident with them, or ill will."""

import contextlib
import copy
import dataclasses
import functools
import io
import json
import pathlib
import random
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
from garbage_files import any_bytes, refused

from mtjax import cli, record
from mtjax.commands import COMMANDS, FLAGS, Arguments
from mtjax.config import read, resolve
from mtjax.registry import ConfigError

CONFIGS = sorted((pathlib.Path(__file__).resolve().parents[2] / "configs").glob("*.py"))
PATHS = ("denoise_folder", "multi_mnist")  # those whose data is a folder of the user's
MARKER = "mtjax-was-here"
CODE = f"__import__('os').system('touch {MARKER}')"


NAMES = ("flagfile", "help", "undefok", "method.sigma", "config..", "config.[0]", "-", "config")
TEXTS = (
    "", "3", "-1", "1e400", "nan", "0x" + "f" * 6000, "(1,2)", "[", "(" * 300, "{1: 2}", "{[]: 1}", "None", "true",
    "équipe", "a=b", "a\nb", "\x1b[2J", CODE, f"@{CODE}", "os:system", "1_000", "'1'",
)  # fmt: skip


def nested(depth: int) -> Any:
    """A list in a list in a list."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def holding_itself() -> dict[str, Any]:
    """A dict that is its own value."""
    value: dict[str, Any] = {"kind": "blur"}
    value["operator"] = value
    return value


# What JSON can say, and what only Python can.
PLAIN: tuple[Any, ...] = (
    None, True, 0, -1, 3, 2**31, 2**63, -(10**30), 0.5, -0.0, 1e308, float("nan"), float("inf"), "", " ", "0", "None",
    [], {}, [[]], {"kind": "blur"}, {"kind": ["blur"]}, {"kind": None}, {"": 1}, {"a.b": 1},
    "naïve \u202e\u0000\n\x1b[31m",
    "a" * 5000, CODE, "os:system", "subprocess:Popen", "builtins:eval", ":", "no.module:Name", "json:dumps", "../../x",
    {"kind": "subprocess:Popen", "args": f"touch {MARKER}", "shell": True}, {"items": {}, "keys": 1, "lock": 2},
)  # fmt: skip
PYTHON: tuple[Callable[[], Any], ...] = (
    lambda: 10**6000, lambda: -(10**400), lambda: {1: 2}, lambda: {None: {}, True: 1}, lambda: b"bytes", lambda: 1j,
    lambda: {1, 2}, lambda: print, object, lambda: np.zeros(3), lambda: np.float32(1), lambda: range(9), lambda: (),
    lambda: nested(40), lambda: nested(100), holding_itself, lambda: json, lambda: (x for x in ()),
    lambda: (1, ("a", {})),
)  # fmt: skip


def places(value: Any, depth: int = 12) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) in nested dicts and lists, as deep as configs go."""
    if isinstance(value, dict | list) and depth:
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from places(value[key], depth - 1)


def misspelt(rng: random.Random, name: str) -> str:
    """A name with a letter lost, doubled or exchanged."""
    at = rng.randrange(len(name) + 1)
    return name[:at] + rng.choice(("", name[at : at + 1] * 2, "é", ".", "_", "x")) + name[at + 1 :]


def maimed(rng: random.Random, tree: Any, junk: Callable[[], Any]) -> Any:
    """The tree after one to four changes: values of other types, lost, misspelt and added keys, exchanged parts."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.choice((1, 1, 2, 4))):
        holder, key = rng.choice([(holder, key) for holder, key in places(tree)] or [({}, "")])
        what = rng.randrange(6)
        if what <= 1:
            holder[key] = junk()
        elif what == 2 and isinstance(holder, dict):
            holder[misspelt(rng, str(key))] = holder.pop(key, None)
        elif what == 3 and isinstance(holder, dict):
            holder.pop(key, None)
        elif what == 4 and isinstance(holder, dict):
            holder[rng.choice(("kind", "operator", "loss", "head", "weight", "class", "items"))] = junk()
        else:
            other, there = rng.choice([*places(tree), (holder, key)])
            holder[key] = copy.deepcopy(other.get(there) if isinstance(other, dict) else other[there])
    return junk() if rng.random() < 0.01 else tree


@functools.cache
def examples() -> list[dict[str, Any]]:
    """The example configs, complete."""
    found = []
    for file in CONFIGS:
        changes = ["--config.data.path=photos"] if file.stem in PATHS else []
        found.append(record.as_json(resolve(read(str(file)), changes)[0]))
    return found


def any_value(rng: random.Random) -> Any:
    """Something that JSON can say, or, as often, something that it cannot."""
    return copy.deepcopy(rng.choice(PLAIN)) if rng.random() < 0.5 else rng.choice(PYTHON)()


def config(rng: random.Random, folder: pathlib.Path) -> str:
    """A config as a file might return it."""
    raw = maimed(rng, record.from_json(rng.choice(examples())), lambda: any_value(rng))
    try:
        resolved, _ = resolve(raw)
    except ConfigError as error:
        return refused(error)
    again, _ = resolve(resolved)
    assert again == resolved and json.loads(json.dumps(record.as_json(resolved)))
    return "resolved"


def flag(rng: random.Random) -> str:
    """A flag of some command, or of the config, with a value that it may or may not take."""
    if rng.random() < 0.3:
        name = rng.choice((*FLAGS, *NAMES))
    else:
        name = "config." + rng.choice(list(record.flat(rng.choice(examples()))))
    name = misspelt(rng, name) if rng.random() < 0.2 else name
    return rng.choice(("--", "--", "-", "--no")) + name + rng.choice(("=", "=", "=", " ", "")) + rng.choice(TEXTS)


def command_line(rng: random.Random, folder: pathlib.Path) -> str:
    """A whole command line; what stands behind the commands only resolves the config."""

    def resolves(arguments: Arguments) -> int:
        return int("config" in arguments.flags and not arguments.config())

    stubs = {name: dataclasses.replace(command, run=resolves) for name, command in COMMANDS.items()}
    name = rng.choice(("show config", "train", *COMMANDS) if rng.random() < 0.5 else ("show config", "train"))
    words = [*name.split(), *(flag(rng) for _ in range(rng.choice((0, 1, 1, 2))))]
    if rng.random() < 0.9:
        file = rng.choice(CONFIGS)
        words += [f"--config={file}", *([f"--workdir={folder}"] if name == "train" else [])]
        words += ["--config.data.path=photos"] * (file.stem in PATHS)
    if rng.random() < 0.1:
        words[rng.randrange(len(words))] = misspelt(rng, rng.choice(words))
    out, err = io.StringIO(), io.StringIO()
    captured = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
    with mock.patch.dict(COMMANDS, stubs), mock.patch.object(cli, "prepare"), captured[0], captured[1]:
        code = cli.main(words)
    said = err.getvalue()
    assert code in (0, 2), (code, words, said)
    assert (code == 0) == (said == "") or "usage" in said + out.getvalue(), (words, said)
    assert not said or "usage" in said or (said.startswith("mtjax: error: ") and said.count("\n") == 1), (words, said)
    assert said.replace("\n", "").isprintable() and len(said) < 3000, (words, said)
    return "resolved" if code == 0 else "ConfigError"


def workdir(rng: random.Random, folder: pathlib.Path) -> str:
    """The record of a run, with its bytes or its meaning damaged."""
    whole = {"config": rng.choice(examples()), "overrides": {}, "git": None, "versions": {}}
    if rng.random() < 0.5:
        content = any_bytes(rng, [json.dumps(whole).encode()])
    else:
        content = json.dumps(maimed(rng, whole, lambda: rng.choice(PLAIN))).encode()
    (folder / record.FILE).write_bytes(content)
    try:
        loaded = record.load(folder)
    except ConfigError as error:
        return refused(error)
    assert set(loaded) and record.as_json(loaded)
    return "read"

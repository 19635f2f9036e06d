"""The rows of a sweep: every combination of values that the command line asks for, each in a folder of its own."""

import dataclasses
import hashlib
import itertools
import json
import math
import re
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mtjax.compare.together import FILE
from mtjax.config import ConfigError, load, read, resolve
from mtjax.record import FILE as CONFIG
from mtjax.record import as_json, refuse_other
from mtjax.train.signals import EXIT_STOPPED

Fields = dict[str, str]  # by dotted key of the config, its value as the command line has it
State = Literal["done", "stopped", "failed", "waiting"]

OUTCOME = "row.json"  # in a row's folder: its fields, and how its last attempt ended
LONGEST = 120  # characters of a folder's name
TOGETHER = r"""\([^)]*\)|\[[^\]]*\]|'[^']*'|"[^"]*\""""  # what stands in brackets or quotes
STOPPED = (EXIT_STOPPED, -signal.SIGTERM)  # the second: before it had begun


@dataclasses.dataclass(frozen=True)
class Spec:
    """What is swept, by dotted key.

    grid: lists of values, of which every combination is a row; zipped: lists of one length, which go together;
    drawn: what is drawn anew for each of `samples`, from `seed` and the number of the sample alone.
    """

    grid: Mapping[str, str]
    zipped: Mapping[str, str]
    drawn: Mapping[str, str]
    samples: int = 1
    seed: int = 0

    def rows(self) -> list[Fields]:
        """The fields of every row, the first flag changing slowest.

        Raises:
            ConfigError: nothing is swept, a key is swept twice, lists that go together differ in length, or what is to
                be drawn from is no range.
        """
        keys = [*self.grid, *self.zipped, *self.drawn]
        if not keys:
            raise ConfigError("nothing is swept; --sweep.KEY=VALUE,VALUE,... gives the values of a key of the config")
        for key in keys:
            if keys.count(key) > 1:
                raise ConfigError(f"{key} is swept twice")
        lists = {key: split(text, key) for key, text in self.zipped.items()}
        if len({len(values) for values in lists.values()}) > 1:
            lengths = ", ".join(f"{key} has {len(values)}" for key, values in lists.items())
            raise ConfigError(f"--zip lists go together and must be of one length: {lengths}")
        axes = [[{key: value} for value in split(text, key)] for key, text in self.grid.items()]
        if lists:
            axes.append([dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)])
        if self.drawn:
            axes.insert(0, [self.draw(sample) for sample in range(self.samples)])
        return [{key: value for part in parts for key, value in part.items()} for parts in itertools.product(*axes)]

    def draw(self, sample: int) -> Fields:
        """The drawn fields of one sample; more samples do not change those that were there."""
        chance = np.random.default_rng((self.seed, sample))
        return {key: draw(chance, text, key) for key, text in self.drawn.items()}


def split(text: str, key: str) -> list[str]:
    """The values between commas; commas inside brackets or quotes separate nothing.

    Raises:
        ConfigError: one is empty, or there twice.
    """
    values = [
        value.strip() for value in re.findall(r"""((?:\([^)]*\)|\[[^\]]*\]|'[^']*'|"[^"]*"|[^,])*),""", f"{text},")
    ]
    if not all(values):
        raise ConfigError(f"{key}={text!r} has an empty value; expected VALUE,VALUE,...")
    if len(set(values)) < len(values):
        raise ConfigError(f"{key}={text!r} has a value twice")
    return values


def draw(chance: np.random.Generator, text: str, key: str) -> str:
    """One of `a,b,c`; a number of `LOW:HIGH`, an integer if both are; of `log:LOW:HIGH`, evenly on a log scale.

    Raises:
        ConfigError: there is no such range.
    """
    log = text.startswith("log:")
    low, colon, high = text.removeprefix("log:").partition(":")
    if not colon:
        return str(chance.choice(split(text, key)))
    ends = number(low), number(high)
    if not -math.inf < ends[0] < ends[1] < math.inf or (log and ends[0] <= 0):
        raise ConfigError(f"--random.{key}={text}: expected LOW:HIGH, log:LOW:HIGH with 0 < LOW, or A,B,C")
    if low.isdigit() and high.isdigit() and not log:
        return str(chance.integers(int(low), int(high), endpoint=True))
    drawn = math.exp(chance.uniform(math.log(ends[0]), math.log(ends[1]))) if log else chance.uniform(*ends)
    return f"{drawn:.3g}"


def number(text: str) -> float:
    """The number that a text says; NaN if it says none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


@dataclasses.dataclass(frozen=True)
class Row:
    """One training of a sweep.

    number: from 0; fields: what it has of its own; folder: its workdir; command: what trains it.
    """

    number: int
    fields: Fields
    folder: Path
    command: tuple[str, ...]

    @property
    def outcome(self) -> dict[str, Any]:
        """How its last attempt ended: "code", "said", "seconds"; empty if none has."""
        file = self.folder / OUTCOME
        return json.loads(file.read_text()) if file.is_file() else {}

    @property
    def state(self) -> State:
        """What is to be done about it: nothing, go on, look at it and try again, or begin."""
        if (self.folder / FILE).is_file():
            return "done"
        code = self.outcome.get("code")
        if code not in (None, 0, *STOPPED):
            return "failed"
        return "stopped" if (self.folder / CONFIG).is_file() else "waiting"

    @property
    def title(self) -> str:
        """Its fields for people."""
        return " ".join(f"{key}={value}" for key, value in self.fields.items())

    def config(self, path: str) -> Any:
        """Its resolved config.

        Args:
            path: the config file.

        Raises:
            ConfigError: there is no such config, or the folder holds a run of another one.
        """
        changes = [word for word in self.command if re.match(r"--(no)?config\.", word)]
        config, _ = resolve(read(path), changes)
        if (self.folder / CONFIG).is_file():
            refuse_other(as_json(config), as_json(load(self.folder)), self.folder)
        return config


def folder_name(fields: Fields) -> str:
    """What a row's folder is called: its fields, and where they say it only roughly, a digest of them."""
    exact = ",".join(f"{key}={value}" for key, value in fields.items())
    name = re.sub(r"[^\w.+=,-]", "_", exact)[:LONGEST]
    return name if name == exact else f"{name}-{hashlib.sha256(exact.encode()).hexdigest()[:8]}"


def make_rows(
    spec: Spec, train: Sequence[str], workdir: Path, changes: Sequence[str], rest: Sequence[str]
) -> list[Row]:
    """The rows of a sweep; a row's own values come after the changes that all have.

    Args:
        spec: what is swept.
        train: the command that trains, with its config.
        workdir: the folder of the sweep.
        changes: `--config.KEY=VALUE` flags of all rows; rest: all other flags.
    """
    rows = []
    for number, fields in enumerate(spec.rows()):
        folder = workdir / "rows" / folder_name(fields)
        own = [f"--config.{key}={value}" for key, value in fields.items()]
        rows.append(Row(number, fields, folder, (*train, f"--workdir={folder}", *changes, *own, *rest)))
    return rows

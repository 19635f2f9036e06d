"""What an ablation runs: every task alone and every weighting on every sharing, at every learning rate and seed."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mtjax import weighting
from mtjax.config import plain, resolve
from mtjax.models import SHARINGS
from mtjax.record import as_json, load, refuse_other
from mtjax.registry import ConfigError, lookup, nearest, one_line
from mtjax.schema import WEIGHTING
from mtjax.weighting import WEIGHTINGS, Weighting
from mtjax.weighting.base import LEVELS

ALL = "all"


@dataclasses.dataclass(frozen=True)
class Method:
    """What gets a row: a weighting on a sharing, or a task alone.

    weighting, level, sharing: as in the config; the level is "" for a weighting that reads losses only.
    label: the weighting as the tables call it, `mgda@parameters` where its level is not the usual one.
    task: the only task, "" for all of them.
    """

    weighting: str
    level: str
    sharing: str
    label: str
    task: str = ""

    @property
    def name(self) -> str:
        """What its folders are called."""
        name = f"alone-{self.task}" if self.task else f"{self.label}-{self.sharing}"
        return name.replace(":", ".").replace("/", ".")


@dataclasses.dataclass(frozen=True)
class Run:
    """One training.

    method, rate, seed: what is trained; the seed is the config's own or one of those after it.
    folder: relative to the ablation's.
    config: resolved, with its overrides; None where there is no such config, and `problem` says why.
    """

    method: Method
    rate: float
    seed: int
    folder: Path
    config: Any = None
    overrides: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    problem: str = ""


@dataclasses.dataclass(frozen=True)
class Plan:
    """All of it. runs: in the order in which they are made, so that all rows fill up together, seed by seed."""

    config: Any
    methods: tuple[Method, ...]
    rates: tuple[float, ...]
    seeds: tuple[int, ...]
    runs: tuple[Run, ...]


def make_plan(config: Any, weightings: str | None, sharings: str | None, seeds: int, rates: str | None) -> Plan:
    """The plan that the flags describe.

    Args:
        config: resolved; where a flag is None, its own weighting, sharing or learning rate is the only one.
        weightings: names with commas between, `NAME@LEVEL`, or `all`.
        sharings: names with commas between, or `all`.
        seeds: how many.
        rates: learning rates with commas between.

    Raises:
        ConfigError: an unknown name or level, a rate that is none, or a config with a single task.
    """
    if len(config.tasks) < 2:
        raise ConfigError(f"an ablation needs two tasks or more, the config has {', '.join(config.tasks)} only")
    chosen = names(weightings or config.weighting.kind, WEIGHTINGS, "--weightings")
    shared = names(sharings or config.model.sharing.kind, SHARINGS, "--sharings")
    grid = learning_rates(rates) or (float(config.optimizer.lr),)
    combined = (combination(config, name, sharing) for sharing in shared for name in chosen)
    methods = tuple(dict.fromkeys([*(alone(task) for task in config.tasks), *combined]))
    numbers = tuple(config.train.seed + i for i in range(seeds))
    first = [make_run(config, method, rate) for method in methods for rate in grid]
    runs = tuple(reseeded(run, seed) for seed in numbers for run in first)
    return Plan(config, methods, grid, numbers, runs)


def names(text: str, registry: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """The names in a flag, each once; every key of the registry for `all`."""
    given = [name.strip() for name in text.split(",") if name.strip()]
    if not given:
        raise ConfigError(f"{where} names nothing; {nearest('', registry)}")
    found: dict[str, None] = {}
    for name in given:
        kind, at, level = name.partition("@")
        if at and (kind == ALL or where != "--weightings"):
            raise ConfigError(f"unknown {where} {name!r}: only a single weighting has a level")
        if at and level not in LEVELS:
            raise ConfigError(f"unknown level {level!r} in {where} {name!r}; {nearest(level, LEVELS)}")
        if kind != ALL:
            lookup(registry, kind, where)
        found |= dict.fromkeys(registry if kind == ALL else [name])
    return tuple(found)


def learning_rates(text: str | None) -> tuple[float, ...]:
    """The numbers in a flag, each once."""
    found: dict[float, None] = {}
    for word in (text or "").split(","):
        try:
            rate = float(word) if word.strip() else None
        except ValueError:
            rate = 0.0
        if rate is None:
            continue
        if not 0 < rate < float("inf"):
            raise ConfigError(f"--learning-rates has {word.strip()!r}; expected numbers above 0, such as 1e-3,3e-4")
        found[rate] = None
    return tuple(found)


def alone(task: str) -> Method:
    """A task alone: there is nothing to be weighted or shared."""
    return Method("equal", "", "hard", "alone", task)


def combination(config: Any, name: str, sharing: str) -> Method:
    """A weighting, `NAME` or `NAME@LEVEL`, on a sharing.

    Without a level it has the config's, or that of the parameters if there is no other: some methods take gradients
    there only, and a sharing with an encoder per task has no features in common.

    Raises:
        ConfigError: a level that the method does not know.
    """
    kind, _, level = name.partition("@")
    method = built(config, kind)
    if method.needs == "losses":
        if level:
            raise ConfigError(f"--weightings {name!r}: {kind} reads losses only and has no level")
        return Method(kind, "", sharing, kind)
    if level and level not in method.levels:
        raise ConfigError(
            f"--weightings {name!r}: {kind} takes task gradients at the {' or '.join(method.levels)} only"
        )
    if not level:
        level = config.weighting.level if config.weighting.level in method.levels else method.levels[0]
        if has_copies(sharing, tuple(config.tasks)):
            level = "parameters"
    usual = level == "features" or len(method.levels) == 1
    return Method(kind, level, sharing, kind if usual else f"{kind}@{level}")


def has_copies(sharing: str, tasks: tuple[str, ...]) -> bool:
    """Whether a sharing gives each task an encoder of its own."""
    return lookup(SHARINGS, sharing, "--sharings")(tasks).copies


def built(config: Any, kind: str) -> Weighting:
    """The weighting of the config with this kind, for what it says of itself."""
    own = {key: value for key, value in config.weighting.items() if key not in ("kind", *WEIGHTING)}
    return weighting.make(kind, names=tuple(config.tasks), **(own if kind == config.weighting.kind else {}))


def make_run(config: Any, method: Method, rate: float) -> Run:
    """The first run of a method at a rate, with its config if there is such a config."""
    seed, folder = config.train.seed, Path("runs") / f"{method.name}-lr{rate:g}"
    try:
        return Run(method, rate, seed, folder / f"seed-{seed}", *variant(config, method, rate))
    except ConfigError as error:
        return Run(method, rate, seed, folder / f"seed-{seed}", problem=one_line(error))


def reseeded(run: Run, seed: int) -> Run:
    """The same run with another seed."""
    config = run.config and run.config.copy_and_resolve_references()
    if config:
        config.unlock().train.seed = seed
        config.lock()
    return dataclasses.replace(run, seed=seed, folder=run.folder.with_name(f"seed-{seed}"), config=config)


def variant(config: Any, method: Method, rate: float) -> tuple[Any, dict[str, Any]]:
    """The config of a run, and its overrides.

    It is what `--config.weighting.kind=...` and `--config.model.sharing.kind=...` make of it: parameters of another
    kind go, all else stays. Learning rates of single heads keep their ratio to the main one.
    """
    tree = plain(config)
    main = tree["optimizer"]["lr"]
    for own in tree["optimizer"]["per_task"].values():
        own["lr"] = rate if own["lr"] == main else own["lr"] * rate / main
    tree["optimizer"]["lr"] = rate
    if method.task:
        tree["weighting"] = {"kind": method.weighting}
        return resolve(tree, [f"--config.tasks={method.task}", f"--config.model.sharing.kind={method.sharing}"])
    needs = built(config, method.weighting).needs
    if not (method.level == "parameters" and needs == "gram"):
        tree["weighting"]["low_memory"] = False
    changes = {"weighting.kind": method.weighting, "weighting.level": method.level or "features"}
    changes["model.sharing.kind"] = method.sharing
    return resolve(tree, [f"--config.{key}={value}" for key, value in changes.items()])


def check_folder(runs: Iterable[Run], workdir: Path) -> None:
    """Raises a ConfigError if the folder holds a run of the same name with another config."""
    for run in runs:
        folder = workdir / run.folder
        if run.config is not None and (folder / "config.json").is_file():
            refuse_other(as_json(run.config), as_json(load(folder)), folder)

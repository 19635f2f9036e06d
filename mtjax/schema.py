"""What a config may hold: its sections, the defaults of each, and the registries that its `kind`s name.

A node is `dict(kind="name", ...)`. Its other keys are the parameters of the registry entry called `name`, so an entry's
signature is the whole description of its node: which keys there are, their types and their defaults.
"""

import copy
import dataclasses
import importlib
import inspect
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from mtjax.checks import check_data, check_names, conform, container, item, understood
from mtjax.registry import ConfigError, accepted, entry_function, imported, lookup, nearest, shown

# A parameter of one of these names holds a node, at any depth; its kind is looked up in this table.
NODES = {
    "operator": "mtjax.physics:OPERATORS",
    "noise": "mtjax.physics:NOISES",
    "solver": "mtjax.solvers:SOLVERS",
    "prior": "mtjax.solvers:PRIORS",
    "counterpart": "mtjax.compare.counterparts:COUNTERPARTS",
    "encoder": "mtjax.models:ENCODERS",
    "sharing": "mtjax.models:SHARINGS",
    "head": "mtjax.models:HEADS",
    "task": "mtjax.tasks:TASKS",
    "weighting": "mtjax.weighting:WEIGHTINGS",
    "optimizer": "mtjax.train.optimizers:OPTIMIZERS",
    "schedule": "mtjax.train.optimizers:SCHEDULES",
    "source": "mtjax.data:SOURCES",
    "loss": "mtjax.tasks.losses:LOSSES",
}
NAMED_NODES = {"parts": "source"}  # a parameter of one of these names holds such nodes by names of their own

REQUIRED = inspect.Parameter.empty
Fields = Mapping[str, tuple[Any, Any]]  # by key: (type, default), or (type, REQUIRED)

NO_FIELDS: Fields = {}

# Keys that a section has, beside the parameters of its kind where it has one.
DATA = {
    "batch_size": (int, 32),  # examples per step, over all processes
    "eval_batch_size": (int, 32),  # examples per evaluation step, over all processes
    "augment": (dict, {}),  # on the device, for training only; its keys are those of AUGMENT
}
AUGMENT = {
    "flip": (bool, False),  # left and right, half of the time
    "crop": (int, 0),  # largest shift, in pixels
    "rotation": (float, 0.0),  # largest angle, in degrees
    "scale": (tuple[float, float], (1.0, 1.0)),  # range of magnification
    "normalize": (bool, False),  # stretch each picture to [0, 1]; in evaluation too
}
MESH = {
    "model": (int, 1),  # devices that work on the same examples, with shard="full"; the batch is split over the others
    "shard": (Literal["replicated", "full"], "replicated"),  # the state whole on every device, or split over all
}
TABLES = {"data.augment": AUGMENT, "train.mesh": MESH}  # by dotted key
OPTIMIZER = {
    "lr": (float, 1e-3),  # highest learning rate
    "clip": (float, 1.0),  # global norm that gradients are clipped to; 0 does not clip
    "schedule": (dict, {"kind": "warmup_cosine"}),  # the learning rate over the steps
}
PER_TASK = ("lr", "schedule")  # what an entry of optimizer.per_task has too, for the parameters of one task's head
MODEL = {"encoder": (dict, {"kind": "unet"}), "sharing": (dict, {"kind": "hard"})}
WEIGHTING = {
    "level": (Literal["features", "parameters"], "features"),  # where task gradients are taken
    "chunk": (int, 1),  # at the parameters: tasks that go backward together
    "low_memory": (bool, False),  # at the parameters: keep the Gram matrix only
    "every": (int, 1),  # steps between updates of the weights
    "smoothing": (float, 0.0),  # share of the last weights in a running average; 0: none
    "preference": (Mapping[str, float] | Sequence[float], ()),  # how much each task counts; none: all alike
}
OBSERVATION = {
    "operator": (dict, REQUIRED),
    "noise": (dict, REQUIRED),
    "observed": (str | None, None),  # field of the data that is y where an example has it, so that none is drawn
    "clip": (str | None, None),  # field of the data, frames [T, H, W, C], observed in the image's place by a burst
    "fused": (Sequence[str], ()),  # fields of the data, maps as large as the observation, that the encoder reads too
    "given": (Sequence[str], ()),  # fields of the data that heads read beside the features
    "withheld": (float, 0.0),  # share of training examples that go without them, each field on its own
}
TRAIN = {
    "steps": (int, 1500),  # updates in all
    "seed": (int, 0),  # of parameters, data order, observations, augmentation
    "precision": (Literal["float32", "bfloat16"], "float32"),  # inside the network; solvers and losses are float32
    "remat": (bool, False),  # compute activations again on the way back: less memory, more time
    "mode": (Literal["jit", "pmap"], "jit"),  # how the step is compiled for several devices
    "mesh": (dict, {}),  # how the devices are arranged; its keys are those of MESH
    "accumulate": (int, 1),  # parts that a batch goes through the network in, one after the other: less memory
    "ema": (float, 0.0),  # decay of an average of the parameters, which is then what is evaluated and used; 0: none
    "log_every": (int, 20),  # steps between lines of metrics
    "eval_every": (int, 0),  # steps between evaluations on the validation split; 0: once per epoch
    "checkpoint_every": (int, 200),  # steps between checkpoints
    "skip_limit": (int, 20),  # updates in a row that may be skipped because they are not finite; then the run stops
    "spike": (float, 0.0),  # standard deviations above its mean at which a log loss is no longer believed; 0: none
    "watchdog": (float, 1800.0),  # longest wait in seconds for an input, a step or a save; then the run ends; 0: none
}
SWITCHES = {"deterministic": (bool, False)}  # keys beside the sections: the same bits from every run on a GPU too
SECTIONS = ("data", "observations", "tasks", "model", "weighting", "optimizer", "train", "compare")
AT_LEAST = {
    "data.batch_size": 1, "data.eval_batch_size": 1, "data.augment.crop": 0,
    "optimizer.lr": 0, "optimizer.clip": 0,
    "train.steps": 1, "train.seed": 0, "train.log_every": 1, "train.eval_every": 0, "train.checkpoint_every": 1,
    "train.skip_limit": 1, "train.accumulate": 1, "train.mesh.model": 1, "train.spike": 0, "train.watchdog": 0,
    "weighting.every": 1, "weighting.chunk": 1, "weighting.smoothing": 0,
}  # fmt: skip


@dataclasses.dataclass
class Completion:
    """One pass over a config: adds what it leaves out, and names what does not belong there.

    kinds: by dotted key, the kinds chosen on the command line instead of the file's.
    given: the dotted keys that the command line will set, whether or not the file has them.
    types: by dotted key, the annotation of its value; filled by the pass.
    """

    kinds: Mapping[str, str] = dataclasses.field(default_factory=dict)
    given: Iterable[str] = ()
    types: dict[str, Any] = dataclasses.field(default_factory=dict)

    def config(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """The whole config, every key present; None where only the command line gives a value.

        Raises:
            ConfigError: an unknown key or kind, a missing one, or a value of the wrong type.
        """
        check_keys(raw, (*SECTIONS, *SWITCHES), "")
        part = {name: mapping(raw.get(name, {}), name) for name in SECTIONS}
        if not part["tasks"]:
            raise ConfigError("tasks is empty; a run needs one, such as dict(digit=dict(kind='classification', ...))")
        for name in ("observations", "tasks"):
            check_names(part[name], name)
        per_task = mapping(part["optimizer"].pop("per_task", {}), "optimizer.per_task")
        per_task = {**{task: {} for task in self.below("optimizer.per_task")}, **per_task}
        check_keys(per_task, part["tasks"], "optimizer.per_task", "task")
        check_keys(part["compare"], part["tasks"], "compare", "task")
        optimizer = self.node({"kind": "adamw", **part["optimizer"]}, "optimizer", "optimizer", OPTIMIZER)
        optimizer["per_task"] = {task: self.head_optimizer(own, optimizer, task) for task, own in per_task.items()}
        return {
            "data": self.node({"source": "digit_scenes", **part["data"]}, "source", "data", DATA),
            "observations": {
                name: self.table(node, OBSERVATION, f"observations.{name}")
                for name, node in part["observations"].items()
            },
            "tasks": {name: self.node(node, "task", f"tasks.{name}") for name, node in part["tasks"].items()},
            "model": self.table(part["model"], MODEL, "model"),
            "weighting": self.node({"kind": "equal", **part["weighting"]}, "weighting", "weighting", WEIGHTING),
            "optimizer": optimizer,
            "train": self.table(part["train"], TRAIN, "train"),
            "compare": {name: self.solvers(nodes, f"compare.{name}") for name, nodes in part["compare"].items()},
            **{name: self.leaf(raw.get(name, default), kind, name) for name, (kind, default) in SWITCHES.items()},
        }

    def head_optimizer(self, own: Any, main: Mapping[str, Any], task: str) -> dict[str, Any]:
        """The optimizer of one head: what is not given is as in the main one, as far as the kinds agree."""
        where = f"optimizer.per_task.{task}"
        own = mapping(own, where)
        kind = self.kinds.get(f"{where}.kind", own.get("kind", main["kind"]))
        inherited = [name for name in main if name in PER_TASK or (kind == main["kind"] and name != "clip")]
        common = {name: field for name, field in OPTIMIZER.items() if name in PER_TASK}
        return self.node({**{name: main[name] for name in inherited}, **own, "kind": kind}, "optimizer", where, common)

    def solvers(self, nodes: Any, where: str) -> list[dict[str, Any]]:
        """The solvers and counterparts that a task is compared with."""
        if not isinstance(nodes, list | tuple):
            raise ConfigError(f"{where} must be a list of solvers, such as [dict(kind='wiener')], got {shown(nodes)}")
        return [self.tuned_solver(node, f"{where}[{i}]") for i, node in enumerate(nodes)]

    def tuned_solver(self, raw: Any, where: str) -> dict[str, Any]:
        """A solver without the parameters that it declares tunable, its prior's among them: those are searched for.

        One that the file or the command line gives is kept, and so it is fixed.
        """
        if isinstance(raw, Mapping) and is_counterpart(raw, f"{where}.kind"):
            return self.node(raw, "counterpart", where)
        node = self.node(raw, "solver", where)
        tunable = getattr(lookup(registry("solver"), node["kind"], f"{where}.kind"), "tunable", ())

        def untuned(node: Any, raw: Any, where: str) -> dict[str, Any]:
            kept = {k: v for k, v in node.items() if k not in tunable or k in raw or f"{where}.{k}" in self.given}
            nested = {k: untuned(v, raw.get(k, {}), f"{where}.{k}") for k, v in kept.items() if isinstance(v, Mapping)}
            return {**kept, **nested}

        return untuned(node, raw, where)

    def node(self, raw: Any, name: str, where: str, common: Fields = NO_FIELDS) -> dict[str, Any]:
        """A node with all its keys.

        Args:
            raw: the node as the file has it.
            name: what it is, a key of NODES.
            where: its dotted key.
            common: keys that it has whatever its kind.
        """
        key = "source" if name == "source" else "kind"
        raw, where_kind = mapping(raw, where), f"{where}.{key}"
        if key not in raw and where_kind not in self.kinds:
            raise ConfigError(f"{where_kind} is missing; {nearest('', registry(name))}")
        kind = self.kinds.get(where_kind, raw.get(key))
        entry = lookup(registry(name), kind, where_kind)
        fields = {**parameters(entry), **common}
        given = {k: v for k, v in raw.items() if k != key}
        if kind != raw.get(key, kind):  # the file's parameters were those of the kind that is replaced
            given = {k: v for k, v in given.items() if k in fields}
        check_keys(given, fields, where, f"parameter of {kind!r}", (key,))
        self.types[where_kind] = str
        return {key: kind, **self.table(given, fields, where)}

    def table(self, raw: Any, fields: Fields, where: str) -> dict[str, Any]:
        """The keys of a table, each with its value or default."""
        raw = mapping(raw, where)
        check_keys(raw, fields, where)
        return {key: self.value(raw.get(key, field[1]), key, field, f"{where}.{key}") for key, field in fields.items()}

    def value(self, value: Any, name: str, field: tuple[Any, Any], where: str) -> Any:
        """The value of the key called `name`: a node, a list of nodes, or a plain value of the annotated type."""
        annotation, default = field
        below = dict.fromkeys(self.below(where))
        if value is REQUIRED and below:
            value = {}
        if value is REQUIRED:
            self.types[where] = annotation
            if where in self.given:
                return None
            raise ConfigError(f"{where} is missing; --config.{where}=VALUE gives it")
        if where in TABLES:
            return self.table(value, TABLES[where], where)
        if name in NAMED_NODES:
            check_names(value := mapping(value, where), where)
            return {own: self.node(node, NAMED_NODES[name], f"{where}.{own}") for own, node in value.items()}
        weighted_sum = name == "loss" and not (isinstance(value, Mapping) and "kind" in value)
        if name in NODES and not weighted_sum and (isinstance(value, Mapping) or isinstance(default, Mapping)):
            value = mapping(value, where)
            implied = default if isinstance(default, Mapping) and "kind" not in value else {}
            return self.node({**implied, **value}, name, where)
        if name in NODES and isinstance(value, list | tuple) and all(isinstance(item, Mapping) for item in value):
            return [self.node(item, name, f"{where}[{i}]") for i, item in enumerate(value)]
        if name == "loss":
            check_keys(value if isinstance(value, Mapping) else {str(value): 1}, registry("loss"), where, "loss")
        kind = annotation if understood(annotation) or default is None else type(default)
        if isinstance(value, Mapping) or (below and any(container(m) is dict for m in understood(annotation))):
            value = {**below, **(value if isinstance(value, Mapping) else {})}
            check_names(conform(value, Any if name == "loss" else kind, where), where)
            kind = float if name == "loss" else item(annotation)
            return {k: self.leaf(v, kind, f"{where}.{k}") for k, v in value.items()}
        return self.leaf(value, kind, where, default)

    def leaf(self, value: Any, annotation: Any, where: str, default: Any = None) -> Any:
        """A plain value, checked; None stands for what the command line will give. Only a default may be infinite."""
        self.types[where] = annotation
        if not (isinstance(value, float) and value == default):
            check_data(value, where)
        return None if value is None and where in self.given else conform(copy.deepcopy(value), annotation, where)

    def below(self, where: str) -> list[str]:
        """The keys just below `where` that the command line sets."""
        return [path[len(where) + 1 :].split(".")[0] for path in self.given if path.startswith(f"{where}.")]


def registry(name: str) -> Mapping[str, Any]:
    """The table that kinds of `name` (a key of NODES) are looked up in; imported when first asked for."""
    module, _, table = NODES[name].partition(":")
    return getattr(importlib.import_module(module), table)


def is_counterpart(node: Mapping[str, Any], where: str = "compare") -> bool:
    """Whether a node of `config.compare` names a counterpart rather than a solver.

    What is imported is a solver if it is a description of one, a `SolverInfo` with its `run`, and else a counterpart.
    """
    kind, known = node.get("kind"), registry("counterpart")
    return isinstance(kind, str) and (kind in known or (":" in kind and not hasattr(imported(kind, where), "run")))


def parameters(entry: Any) -> dict[str, tuple[Any, Any]]:
    """The keys that a registry entry accepts: type and default of each."""
    try:
        hints = typing.get_type_hints(entry_function(entry))
    except Exception:  # an annotation that only a type checker can resolve
        hints = {}
    return {p.name: (hints.get(p.name, Any), p.default) for p in accepted(entry).values()}


def mapping(value: Any, where: str) -> dict[str, Any]:
    """`value` as a plain dict.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where} must be a mapping, such as dict(kind=...), got {shown(value)}")
    return dict(value)


def check_keys(
    given: Iterable[str], known: Iterable[str], where: str, what: str = "key", also: tuple[str, ...] = ()
) -> None:
    """Raises a ConfigError for the first key that is not known."""
    known = [*also, *known]
    for key in given:
        if key not in known:
            place = f" in {where}" if where else ""
            raise ConfigError(f"unknown {what} {shown(key)}{place}; {nearest(str(key), known)}")

"""The optimizer of the encoder, and of each head where the config asks for another one."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from mtjax.registry import ConfigError, accepted, lookup, nearest
from mtjax.typing import Params

_MAIN = "main"  # the label of everything without an optimizer of its own; a task is labelled "head/" + its name
_UNDECAYED = ("bias", "scale")


def decay_mask(params: Params) -> Params:
    """True where weight decay applies: matrices and kernels, but no biases, norm scales, vectors or scalars."""

    def decays(path: tuple[Any, ...], leaf: Any) -> bool:
        return jnp.ndim(leaf) >= 2 and str(getattr(path[-1], "key", "")) not in _UNDECAYED

    return jax.tree_util.tree_map_with_path(decays, params)


def adamw(
    schedule: optax.Schedule, /, *, weight_decay: float = 1e-4, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> optax.GradientTransformation:
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019, algorithm 2), on what `decay_mask` names."""
    return optax.adamw(schedule, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay, mask=decay_mask)


def adam(
    schedule: optax.Schedule, /, *, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> optax.GradientTransformation:
    """Adam (Kingma and Ba, 2015, algorithm 1)."""
    return optax.adam(schedule, b1=b1, b2=b2, eps=eps)


def lion(
    schedule: optax.Schedule, /, *, weight_decay: float = 1e-3, b1: float = 0.9, b2: float = 0.99
) -> optax.GradientTransformation:
    """Lion (Chen et al., 2023, algorithm 2), decaying what `decay_mask` names; wants about a tenth of Adam's rate."""
    return optax.lion(schedule, b1=b1, b2=b2, weight_decay=weight_decay, mask=decay_mask)


def sgd(
    schedule: optax.Schedule, /, *, momentum: float = 0.9, nesterov: bool = False, weight_decay: float = 0.0
) -> optax.GradientTransformation:
    """Gradient descent with momentum; the decay joins the gradient, on what `decay_mask` names."""
    return optax.chain(
        optax.add_decayed_weights(weight_decay, mask=decay_mask),
        optax.sgd(schedule, momentum=momentum, nesterov=nesterov),
    )


def constant(lr: float, steps: int, /) -> optax.Schedule:
    """The same rate at each of the `steps` steps."""
    del steps
    return optax.constant_schedule(lr)


def warmup_cosine(lr: float, steps: int, /, *, warmup: int = 100, final: float = 0.0) -> optax.Schedule:
    """Rises linearly to `lr` in `warmup` steps, then falls along half a cosine to `final * lr` at `steps`.

    The first step already moves: step k of the warm-up has `lr * (k + 1) / warmup`. The warm-up takes at most half of
    the run, so that a short trial of a long recipe still trains (SGDR: Loshchilov and Hutter, 2017, eq. 5).
    """
    if warmup < 0 or not 0 <= final <= 1:
        raise ConfigError(f"schedule: warmup must be >= 0 and final in [0, 1], got warmup={warmup}, final={final}")
    warmup = min(warmup, steps // 2)
    decay = optax.cosine_decay_schedule(lr, max(steps - warmup, 1), alpha=final)
    if warmup == 0:
        return decay
    rise = optax.linear_schedule(lr / warmup, lr * (warmup + 1) / warmup, warmup)
    return optax.join_schedules([rise, decay], [warmup])


OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "adamw": adamw,
    "adam": adam,
    "lion": lion,
    "sgd": sgd,
}
SCHEDULES: dict[str, Callable[..., optax.Schedule]] = {"constant": constant, "warmup_cosine": warmup_cosine}


def _build(registry: Mapping[str, Callable[..., Any]], spec: Mapping[str, Any], where: str, *args: Any) -> Any:
    """Calls the entry that `spec["kind"]` names with the rest of `spec`; an unknown parameter is one line."""
    entry = lookup(registry, spec["kind"], f"{where}.kind")
    params = {name: value for name, value in spec.items() if name != "kind"}
    for name in params:
        if name not in accepted(entry):
            raise ConfigError(f"{where}: {spec['kind']} has no parameter {name!r}; {nearest(name, accepted(entry))}")
    return entry(*args, **params)


def learning_rate(spec: Mapping[str, Any], steps: int, where: str = "optimizer") -> optax.Schedule:
    """The rate as a function of the step: the node's `lr` shaped by its `schedule` (default: warmup_cosine)."""
    lr = spec.get("lr", 1e-3)
    if not lr > 0:
        raise ConfigError(f"{where}.lr must be positive, got {lr}")
    return _build(SCHEDULES, spec.get("schedule") or {"kind": "warmup_cosine"}, f"{where}.schedule", lr, steps)


def _one(spec: Mapping[str, Any], steps: int, where: str) -> optax.GradientTransformation:
    own = {name: value for name, value in spec.items() if name not in ("lr", "schedule")}
    return _build(OPTIMIZERS, own, where, learning_rate(spec, steps, where))


def _inherit(main: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A head's node on top of the main one; another kind keeps the rate and its schedule, not the kind's parameters."""
    same = own.get("kind", main["kind"]) == main["kind"]
    base = main if same else {name: main[name] for name in ("lr", "schedule") if name in main}
    return {**base, **own}


def make(spec: Mapping[str, Any] | ConfigDict, steps: int, tasks: Sequence[str]) -> optax.GradientTransformation:
    """The optimizer of a run, for parameters `{"heads": {TASK: ...}, ...}`.

    Args:
        spec: the config's optimizer node: `kind` (a name in OPTIMIZERS, default adamw) and that kind's parameters;
            `lr` (1e-3); `clip`, the greatest global norm of the gradient of all parameters together (1.0; None or 0:
            no clipping); `schedule`, a node of SCHEDULES; `per_task`, task name -> node of `kind`, `lr`, `schedule`
            and the kind's parameters, for that task's head alone. What such a node leaves out is as in the main one.
        steps: length of the run, which the schedules span.
        tasks: names of the tasks of the run.

    Raises:
        ConfigError: an unknown kind, parameter or task, or a value out of range.
    """
    main = {"kind": "adamw", **(spec.to_dict() if isinstance(spec, ConfigDict) else spec)}
    per_task, clip = main.pop("per_task", None) or {}, main.pop("clip", 1.0)
    if clip is not None and clip < 0:
        raise ConfigError(f"optimizer.clip must be positive, or None for no clipping, got {clip}")
    for task in per_task:
        if task not in tasks:
            raise ConfigError(f"optimizer.per_task: no task is called {task!r}; {nearest(task, tasks)}")

    transforms: dict[Hashable, optax.GradientTransformation] = {_MAIN: _one(main, steps, "optimizer")}
    for task, own in per_task.items():
        transforms[f"head/{task}"] = _one(_inherit(main, own), steps, f"optimizer.per_task.{task}")

    def labels(params: Params) -> Params:
        def label(path: tuple[Any, ...], _: Any) -> str:
            keys = [str(getattr(entry, "key", "")) for entry in path[:2]]
            return f"head/{keys[1]}" if keys[0] == "heads" and keys[1:] and keys[1] in per_task else _MAIN

        return jax.tree_util.tree_map_with_path(label, params)

    # One label for everything needs no partition, and keeps the optimizer's state as small as Optax makes it.
    update = optax.partition(transforms, labels) if per_task else transforms[_MAIN]
    return optax.chain(optax.clip_by_global_norm(clip), update) if clip else update

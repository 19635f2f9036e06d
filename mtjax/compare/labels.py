"""The comparison of heads that give no image with classical counterparts, by the metrics of their tasks."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mtjax import metrics
from mtjax.compare.counterparts import COUNTERPARTS, Counterpart, Shown
from mtjax.compare.methods import batches, milliseconds, solver_name
from mtjax.compare.results import LabelComparison, LabelRow
from mtjax.compare.statistics import LEVEL, SEED, Interval, sure
from mtjax.data import Source
from mtjax.registry import ConfigError, lookup
from mtjax.tasks import Task
from mtjax.train import Trained
from mtjax.train.step import prepare_for_evaluation
from mtjax.typing import Batch, Params

RESAMPLES = 2000

Pairs = dict[str, tuple[np.ndarray, np.ndarray]]  # by metric, sums and counts of every example


@dataclasses.dataclass(frozen=True)
class Examples:
    """Examples of one task: what each shows, what is true of it, the head's predictions, and its time per example."""

    shown: list[Shown]
    target: Any
    prediction: Any
    milliseconds: float


def compare_labels(
    trained: Trained, name: str, nodes: Sequence[Mapping[str, Any]], indices: Any, sources: Any
) -> LabelComparison:
    """One task: each counterpart at its best choice by validation, and the head, on the same test examples.

    Args:
        trained: the network; name: the task; nodes: its counterparts.
        indices, sources: of the test examples, then of the validation examples.

    Raises:
        ConfigError: a counterpart of another kind of task, or a function that gives none.
    """
    task = trained.tasks[name]
    methods = {solver_name(node): _build(node, task) for node in nodes}
    test, validation = (examples(trained, name, source, i) for source, i in zip(sources, indices, strict=True))
    rows, scores = [], {"learned": pairs_of(task, test.prediction, test.target)}
    for kind, method in methods.items():
        choice = max(method.choices, key=lambda choice: _quality(task, method, validation, choice))
        start = time.perf_counter()
        predictions = run(method, test.shown, choice)
        each = 1e3 * (time.perf_counter() - start) / len(test.shown)
        scores[kind] = pairs_of(task, predictions, test.target)
        note = "" if method.note is None else method.note(predictions)
        rows.append(LabelRow(kind, finished(scores[kind]), each, dict(choice), note))
    rows.append(LabelRow("learned", finished(scores["learned"]), test.milliseconds, {}))
    higher = task.better[task.headline] == "higher"
    best = max(methods, key=lambda kind: (1 if higher else -1) * finished(scores[kind])[task.headline])
    difference = paired_pairs(scores["learned"][task.headline], scores[best][task.headline])
    better = sure(difference)
    return LabelComparison(
        task=name,
        kind=task.kind,
        headline=task.headline,
        better=dict(task.better),
        test_images=len(test.shown),
        validation_images=len(validation.shown),
        reference=best,
        rows=tuple(rows),
        difference=difference,
        learned_is_better=None if better is None else better == higher,
    )


def examples(trained: Trained, name: str, source: Source, indices: np.ndarray) -> Examples:
    """The examples that have what the task compares with, observed as in evaluation, and the head's predictions."""
    task, experiment = trained.tasks[name], trained.experiment
    spec = {task.observation: experiment.observations[task.observation]}
    size = min(trained.config.data.eval_batch_size, len(indices))
    part = trained.model.reading(task.observation)

    @jax.jit
    def observe(batch: Batch) -> Any:
        batch, observed = prepare_for_evaluation(spec, experiment.augmentation, batch)
        return observed, task.target(batch), task.valid(batch)

    @jax.jit
    def predict(params: Params, observed: Any) -> Any:
        return part.decode(params, part.encode(params, observed), observed, (name,))[name]

    shown, kept, each = [], [], 0.0
    for batch, counts in batches(source, indices, size):
        observed, target, valid = observe(batch)
        each = each or milliseconds(lambda observed=observed: predict(trained.params, observed)) / size
        use = np.flatnonzero(np.asarray(valid) & counts)
        outcome = (observed[task.observation], target, predict(trained.params, observed))
        seen, target, predicted = jax.tree.map(np.asarray, outcome)
        for row in use:
            told = {field: maps[row, ..., :-1] for field, maps in seen.fused.items()}
            shown.append(Shown(seen.y[row], told, jax.tree.map(lambda leaf, row=row: leaf[row], predicted)))
        kept.append(jax.tree.map(lambda leaf, use=use: leaf[use], (target, predicted)))
    target, prediction = jax.tree.map(lambda *parts: np.concatenate(parts), *kept)
    return Examples(shown, target, prediction, each)


def run(method: Counterpart, shown: Sequence[Shown], choice: Mapping[str, Any]) -> Any:
    """The predictions of a counterpart, stacked."""
    return jax.tree.map(lambda *parts: np.stack(parts), *(method.run(one, **choice) for one in shown))


def pairs_of(task: Task, prediction: Any, target: Any) -> Pairs:
    """Every metric of every example."""
    return jax.tree.map(np.asarray, jax.jit(task.metrics)(prediction, target))


def finished(pairs: Pairs) -> dict[str, float]:
    """Every metric's value over all examples."""
    return {name: float(metrics.finish(*(jnp.asarray(x.sum(0)) for x in pair))) for name, pair in pairs.items()}


def paired_pairs(ours: tuple[np.ndarray, np.ndarray], theirs: tuple[np.ndarray, np.ndarray]) -> Interval:
    """The difference of a metric of the whole split and its 95 % interval over examples drawn again, the same for both.

    Args:
        ours, theirs: sums and counts `[N]` or `[N, K]`.
    """
    count = len(ours[0])
    rng = np.random.default_rng(SEED)
    drawn = rng.multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(np.float64)

    def value(pair: tuple[np.ndarray, np.ndarray], weights: np.ndarray) -> np.ndarray:
        total, number = (jnp.asarray(weights @ np.asarray(part, np.float64).reshape(count, -1)) for part in pair)
        return np.asarray(jax.vmap(metrics.finish)(total, number))

    one = np.ones((1, count))
    mean = float((value(ours, one) - value(theirs, one))[0])
    low, high = np.nanquantile(value(ours, drawn) - value(theirs, drawn), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(mean, float(low), float(high))


def _build(node: Mapping[str, Any], task: Task) -> Counterpart:
    params = {key: value for key, value in node.items() if key != "kind"}
    method = lookup(COUNTERPARTS, node["kind"], f"compare.{task.name}")(**params)
    if not isinstance(method, Counterpart):
        raise ConfigError(
            f"compare.{task.name}: {node['kind']} gave {type(method).__name__}; expected a function that returns a "
            "mtjax.compare.counterparts.Counterpart, or a solvers.SolverInfo"
        )
    if task.kind not in method.tasks:
        raise ConfigError(f"compare.{task.name}: {node['kind']} does {', '.join(method.tasks)}, not {task.kind}")
    return method


def _quality(task: Task, method: Counterpart, held_out: Examples, choice: Mapping[str, Any]) -> float:
    """The headline on validation examples, higher is better; a method with one choice is not run for it."""
    if len(method.choices) == 1:
        return 0.0
    value = finished(pairs_of(task, run(method, held_out.shown, choice), held_out.target))[task.headline]
    return -np.inf if np.isnan(value) else value if task.better[task.headline] == "higher" else -value

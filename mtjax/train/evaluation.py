"""Evaluation: every example of a split counted once, and trained networks read back from their folder."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from mtjax import config as configs
from mtjax import metrics
from mtjax.data import Source, SourceInfo, to_device_batch
from mtjax.data import build as build_source
from mtjax.data.pipeline import eval_batches
from mtjax.models import MultiTask
from mtjax.physics import Observed
from mtjax.tasks import Task
from mtjax.train import state as states
from mtjax.train.build import build
from mtjax.train.checkpoint import Checkpoints
from mtjax.train.parallel import Layout, compile_whole, layout, place_batch
from mtjax.train.step import Experiment, make_eval_step, observe_for_evaluation
from mtjax.typing import Array, Batch, Params, Scalar


def evaluate_split(
    eval_step: Callable[[Params, Batch], Any],
    tasks: Mapping[str, Task],
    params: Params,
    source: Source,
    batch_size: int,
    before_batch: Callable[[], None] = lambda: None,
    devices: Layout | None = None,
) -> dict[str, float]:
    """Every metric of every task over a whole split, as "TASK/METRIC"; the last batch is padded and masked.

    Each process reads its share; the step gives what is whole on all of them. `before_batch` may end it by an exception
    of its own.
    """
    totals, kept = None, []
    devices, shard = devices or layout(), (jax.process_index(), jax.process_count())
    params = devices.place(params)
    before_batch()
    for batch in eval_batches(source, batch_size, shard):
        sums, keep = eval_step(params, place_batch(batch, devices))
        totals = sums if totals is None else jax.tree.map(lambda a, b: a + b, totals, sums)
        kept.append(jax.device_get(keep))
        before_batch()
    if totals is None:
        raise ValueError(f"{source.info.name}: the split to be evaluated holds no example")
    values = {name: float(value) for name, value in jax.device_get(finish_all(totals)).items()}
    return {**values, **whole_split(tasks, kept)}


def whole_split(tasks: Mapping[str, Task], kept: list[dict[str, Any]]) -> dict[str, float]:
    """The metrics that are no sums over examples, from what `eval_step` kept of each batch."""
    values = {}
    for name, task in tasks.items():
        if task.whole is None:
            continue
        valid = np.concatenate([batch[name][1] for batch in kept])
        examples = jax.tree.map(lambda *parts, valid=valid: np.concatenate(parts)[valid], *(b[name][0] for b in kept))
        values |= {f"{name}/{metric}": float(value) for metric, value in task.whole.score(examples).items()}
    return values


@jax.jit
def finish_all(totals: dict[str, tuple[Array, Array]]) -> dict[str, Scalar]:
    """Every metric's value from its sum and count."""
    return {name: metrics.finish(*pair) for name, pair in totals.items()}


def validation_score(values: dict[str, float]) -> float:
    """One number to choose the best checkpoint by, higher is better: minus the mean logarithm of the tasks' losses.

    A loss that falls by a tenth counts the same in every task, whatever its scale.
    """
    losses = [value for name, value in values.items() if name.endswith("/loss")]
    return float(-np.mean(np.log(np.maximum(losses, 1e-12))))


def initial_state(experiment: Experiment, config: Any, source: Source, devices: Layout | None = None) -> states.State:
    """The state before the first step, where it belongs on the devices; a function of the config alone."""
    create, seed = _creation(experiment, config, source), np.uint32(config.train.seed % 2**32)
    shardings = devices.of(jax.eval_shape(create, seed)) if devices else None
    return jax.jit(create, out_shardings=shardings)(seed)  # which is compiled once for all seeds


def state_template(experiment: Experiment, config: Any, source: Source, devices: Layout | None = None) -> states.State:
    """Shapes and dtypes of the state, and where its arrays belong on the devices: what a checkpoint is to fit."""
    shapes = jax.eval_shape(_creation(experiment, config, source), np.uint32(0))
    if devices is None:
        return shapes
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        devices.of(shapes),
    )


def _creation(experiment: Experiment, config: Any, source: Source) -> Callable[[Any], states.State]:
    batch = next(iter(eval_batches(source, 1)))

    def create(seed: Any) -> states.State:
        blank = to_device_batch(jax.tree.map(np.zeros_like, batch))
        observed = observe_for_evaluation(experiment.observations, jax.numpy.zeros(1, jax.numpy.int32), blank)
        params = experiment.model.init(jax.random.key(seed), observed)
        num_tasks = len(experiment.tasks)
        averaging = config.train.get("ema", 0.0) > 0  # runs of before there were averages do not say
        spikes = config.train.get("spike", 0.0) > 0
        return states.create(params, experiment.optimizer, experiment.balancing, num_tasks, seed, averaging, spikes)

    return create


def identity(experiment: Experiment) -> dict[str, Any]:
    """What a checkpoint must agree on beside its arrays: the tasks, in order, and what they are."""
    return {"tasks": {name: task.kind for name, task in experiment.tasks.items()}}


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained network with what is needed to use it; its parameters are the averaged ones where the run has such."""

    config: Any
    experiment: Experiment
    params: Params
    source_info: SourceInfo
    step: int

    @property
    def model(self) -> MultiTask:
        """The network."""
        return self.experiment.model

    @property
    def tasks(self) -> dict[str, Task]:
        """Its tasks, by name."""
        return dict(self.experiment.tasks)

    def apply(self, params: Params, observed: dict[str, Observed]) -> dict[str, Any]:
        """The prediction of every task; pure, so that a caller may compile it."""
        return self.model.apply(params, observed)


def restore(workdir: str | Path, which: Literal["best", "latest"] = "best") -> Trained:
    """The network of a finished or running training.

    Args:
        workdir: the folder of `mtjax train`.
        which: "best" by validation, or "latest".

    Raises:
        ValueError: no such folder, or no checkpoint in it that can be read.
    """
    workdir = Path(workdir)
    config = configs.load(workdir)
    source = build_source(config.data, "validation")
    experiment = build(config, source.info, num_examples=config.data.batch_size)
    with Checkpoints(workdir / "checkpoints", metadata=identity(experiment)) as checkpoints:
        found = checkpoints.restore(state_template(experiment, config, source), which)
    if found is None:
        raise ValueError(f"{workdir} has no {which} checkpoint; `mtjax train --workdir={workdir}` writes them")
    state, step = found
    return Trained(config, experiment, state.evaluated, source.info, step)


def evaluate(workdir: str | Path, split: str = "test", which: Literal["best", "latest"] = "best") -> dict[str, float]:
    """Every metric of a trained network over a split."""
    trained = restore(workdir, which)
    source = build_source(trained.config.data, split)
    step = compile_whole(make_eval_step(trained.experiment), layout())
    return evaluate_split(step, trained.tasks, trained.params, source, trained.config.data.eval_batch_size)

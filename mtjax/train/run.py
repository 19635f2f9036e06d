"""One call of `mtjax train`, phase by phase."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from mtjax import config as configs
from mtjax.data import build as build_source
from mtjax.data.pipeline import TrainBatches
from mtjax.generate import sheet
from mtjax.train.build import build
from mtjax.train.checkpoint import Checkpoints
from mtjax.train.evaluation import evaluate_split, identity, initial_state
from mtjax.train.logging import Writer
from mtjax.train.loop import Loop, Schedule
from mtjax.train.parallel import compile_step, traced_freely
from mtjax.train.signals import EXIT_STOPPED, stop_requested
from mtjax.train.step import Experiment, make_eval_step, make_train_step
from mtjax.typing import Params


def run(config: Any, overrides: dict[str, Any], workdir: str | Path) -> int:
    """Trains what the config describes into `workdir`, or goes on with what was begun there.

    Writes config.json, metrics.jsonl, tensorboard/, checkpoints/, samples/ if a task makes images from noise, and, at
    the end, evaluation.json.

    Args:
        config: a resolved config.
        overrides: what the command line changed of it, to be kept beside it.
        workdir: the folder of the run.

    Returns:
        The exit code: 0 when the training is complete, `EXIT_STOPPED` when it was asked to stop and has saved.

    Raises:
        ValueError: the folder holds a run of another config, or the config fits no data.
    """
    workdir = Path(workdir)
    configs.save(config, overrides, workdir)
    with stop_requested() as stopping:
        train_source = build_source(config.data, "train")
        validation = build_source(config.data, "validation")
        experiment = build(config, train_source.info, len(train_source))
        state = initial_state(experiment, config, train_source)
        eval_step = jax.jit(traced_freely(make_eval_step(experiment)))

        with Checkpoints(workdir / "checkpoints", metadata=identity(experiment)) as checkpoints:
            state, start = checkpoints.restore(state) or (state, 0)
            when = schedule(config, experiment.steps_per_epoch)
            writer = Writer(workdir, tuple(experiment.tasks), when.steps, config.data.batch_size, start)
            with writer:
                compiled, between = (
                    compile_step(make_train_step(experiment, refresh, config.train.ema), config.train.mode)
                    for refresh in (True, False)
                )
                shard = (jax.process_index(), jax.process_count())
                batches = TrainBatches(train_source, config.data.batch_size, config.train.seed, start, shard)
                loop = Loop(
                    compiled=compiled,
                    between=between,
                    batches=batches,
                    validate=lambda params: evaluate_split(
                        eval_step, experiment.tasks, params, validation, config.data.eval_batch_size
                    ),
                    show=drawer(experiment, workdir / "samples"),
                    tasks=tuple(experiment.tasks),
                    checkpoints=checkpoints,
                    writer=writer,
                    stopping=stopping,
                    schedule=when,
                )
                try:
                    with jax.transfer_guard("disallow"):
                        state = loop.run(compiled.place_state(state), start)
                finally:
                    batches.close()
            if int(state.step) < when.steps:
                return EXIT_STOPPED
            best, step = checkpoints.restore(state, "best") or (state, when.steps)
    results: dict[str, Any] = {"step": step}
    for split in ("validation", "test"):
        source = validation if split == "validation" else build_source(config.data, split)
        results[split] = evaluate_split(
            eval_step, experiment.tasks, best.evaluated, source, config.data.eval_batch_size
        )
    write_json(workdir / "evaluation.json", results)
    return 0


def drawer(experiment: Experiment, folder: Path) -> Callable[[int, Params], None]:
    """`(step, params)` to FOLDER/STEP.png, of the images that a task makes from noise; with several, STEP_TASK.png."""

    def images(params: Params) -> dict[str, Any]:
        return {
            name: task.samples(experiment.model, params, tuple(experiment.observations[task.observation]["given"]))
            for name, task in makers.items()
            if task.samples is not None
        }

    makers = {name: task for name, task in experiment.tasks.items() if task.samples is not None}
    compiled = jax.jit(traced_freely(images))

    def draw(step: int, params: Params) -> None:
        for name, made in jax.device_get(compiled(params) if makers else {}).items():
            if jax.process_index() == 0:
                sheet.write(folder / (f"{step}.png" if len(makers) == 1 else f"{step}_{name}.png"), made)

    return draw


def schedule(config: Any, steps_per_epoch: int) -> Schedule:
    """When the loop logs, evaluates and saves; evaluation is once per epoch unless the config says otherwise."""
    train = config.train
    return Schedule(
        steps=train.steps,
        eval_every=train.eval_every or steps_per_epoch,
        log_every=train.log_every,
        checkpoint_every=train.checkpoint_every,
        skip_limit=train.skip_limit,
        refresh_every=config.weighting.every,
    )


def write_json(path: Path, value: Any) -> None:
    """Writes a file whole or not at all."""
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(value, indent=1) + "\n")
    os.replace(draft, path)

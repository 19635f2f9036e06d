"""One call of `mtjax train`, phase by phase."""

import itertools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from mtjax import config as configs
from mtjax.data import Source
from mtjax.data import build as build_source
from mtjax.data.pipeline import TrainBatches
from mtjax.generate import sheet
from mtjax.train.build import build
from mtjax.train.checkpoint import Checkpoints
from mtjax.train.deterministic import be_deterministic
from mtjax.train.distributed import from_main, is_main, main_first, on_any
from mtjax.train.evaluation import evaluate_split, identity, initial_state, state_template
from mtjax.train.logging import Mute, Writer, written
from mtjax.train.loop import Loop, Schedule
from mtjax.train.parallel import Layout, compile_step, compile_whole, layout
from mtjax.train.signals import EXIT_STOPPED, Stopped, StopRequest, stop_requested
from mtjax.train.step import Experiment, make_eval_step, make_train_step
from mtjax.train.watchdog import Watchdog
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
    if config.deterministic:
        be_deterministic()
    with stop_requested() as stopping, Watchdog(config.train.watchdog) as watchdog:
        configs.save(config, overrides, workdir)
        try:
            train(config, workdir, stopping, watchdog)
        except Stopped:
            return EXIT_STOPPED
    return 0


def train(config: Any, workdir: Path, stopping: StopRequest, watchdog: Watchdog) -> None:
    """Trains and evaluates.

    Raises:
        Stopped: the run was asked to stop, and has saved.
    """
    devices = layout(model=config.train.mesh.model, shard=config.train.mesh.shard)
    with main_first("the data"):  # which may have to be prepared, once
        train_source = build_source(config.data, "train")
        validation = build_source(config.data, "validation")
    experiment = build(config, train_source.info, len(train_source))
    template = state_template(experiment, config, train_source, devices)
    eval_step = compile_whole(make_eval_step(experiment), devices)

    def evaluate(params: Params, source: Source) -> dict[str, float]:
        before_batch = guard(stopping, watchdog)
        return evaluate_split(
            eval_step, experiment.tasks, params, source, config.data.eval_batch_size, before_batch, devices
        )

    with Checkpoints(workdir / "checkpoints", metadata=identity(experiment)) as checkpoints:
        found = checkpoints.restore(template)
        state, start = found or (initial_state(experiment, config, train_source, devices), 0)
        when = schedule(config, experiment.steps_per_epoch)
        if start and is_main():
            print(f"goes on after step {start} of {when.steps}", file=sys.stderr)
        evaluated = bool(from_main(written(workdir / "metrics.jsonl", start, "validation")))
        writer = (
            Writer(workdir, tuple(experiment.tasks), when.steps, config.data.batch_size, start) if is_main() else Mute()
        )
        with writer:
            compiled, between = (
                compile_step(
                    make_train_step(experiment, refresh, config.train.ema, config.train.spike, config.train.accumulate),
                    config.train.mode,
                    devices=devices,
                )
                for refresh in (True, False)
            )
            shard = (jax.process_index(), jax.process_count())
            batches = TrainBatches(train_source, config.data.batch_size, config.train.seed, start, shard)
            loop = Loop(
                compiled=compiled,
                between=between,
                batches=batches,
                validate=lambda params: evaluate(params, validation),
                show=drawer(experiment, workdir / "samples", devices),
                tasks=tuple(experiment.tasks),
                checkpoints=checkpoints,
                writer=writer,
                stopping=stopping,
                schedule=when,
                watchdog=watchdog,
            )
            try:
                with jax.transfer_guard("disallow"):
                    state = loop.run(compiled.place_state(state), start, evaluated)
            finally:
                batches.close()
        best, step = checkpoints.restore(state, "best") or (state, when.steps)
    results: dict[str, Any] = {"step": step}
    for split in ("validation", "test"):
        source = validation if split == "validation" else build_source(config.data, split)
        results[split] = evaluate(best.evaluated, source)
    if is_main():
        write_json(workdir / "evaluation.json", results)


def guard(stopping: StopRequest, watchdog: Watchdog) -> Callable[[], None]:
    """What stands before each batch of one evaluation, the first of which has to be compiled.

    It raises Stopped where any process was asked to stop.
    """
    batches = itertools.count()

    def before_batch() -> None:
        if on_any(stopping()):  # of the others one may still compile for the batch before
            raise Stopped
        batch = next(batches)
        watchdog.waits_for(f"batch {batch} of an evaluation", compiles=batch == 0)

    return before_batch


def drawer(experiment: Experiment, folder: Path, devices: Layout) -> Callable[[int, Params], None]:
    """`(step, params)` to FOLDER/STEP.png, of the images that a task makes from noise; with several, STEP_TASK.png."""

    def images(params: Params) -> dict[str, Any]:
        return {
            name: task.samples(experiment.model, params, tuple(experiment.observations[task.observation]["given"]))
            for name, task in makers.items()
            if task.samples is not None
        }

    makers = {name: task for name, task in experiment.tasks.items() if task.samples is not None}
    compiled = compile_whole(images, devices)

    def draw(step: int, params: Params) -> None:
        for name, made in jax.device_get(compiled(devices.place(params)) if makers else {}).items():
            if is_main():
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

"""What is not finite, or not there, changes nothing: no array of the state, no good checkpoint; and is told of."""

import dataclasses
import json
import math
import shutil
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import runs
import tiny

from mtjax.train.loop import Loop
from mtjax.train.step import make_train_step

TASKS = ("inpaint", "digit")


def poisoned(where):
    """A step with something that is not finite, and a batch for it."""
    parts, batch = tiny.experiment(TASKS, encoder=tiny.Plain()), tiny.batch()
    if where == "batch":
        batch["image"] = batch["image"].astype(np.float32) / 255
        batch["image"][1, 2, 3] = np.inf
    if where == "gradients":  # of a loss that is finite: the derivative of sqrt at 0

        def loss(prediction, target):
            return jnp.sqrt(jnp.abs(0 * prediction)).sum(-1)

        parts = dataclasses.replace(
            parts, tasks={**parts.tasks, "digit": dataclasses.replace(parts.tasks["digit"], loss=loss)}
        )
    if where == "update":
        update = lambda gradients, *rest: (jax.tree.map(lambda g: g / 0, gradients), rest[0])  # noqa: E731
        parts = dataclasses.replace(parts, optimizer=parts.optimizer._replace(update=update))
    return parts, batch


@pytest.mark.parametrize("where", ["batch", "gradients", "update"])
def test_a_step_that_is_not_finite_changes_nothing_but_counts(where):
    parts, batch = poisoned(where)
    state = tiny.initial(parts)
    after, metrics = jax.jit(make_train_step(parts))(state, batch)
    assert (int(after.step), int(after.skipped), int(after.skipped_in_row)) == (1, 1, 1)
    for name in ("params", "optimizer", "weighting", "totals", "average"):
        jax.tree.map(np.testing.assert_array_equal, getattr(after, name), getattr(state, name))
    assert np.isfinite(metrics["losses"]).all() == (where != "batch")


@pytest.mark.parametrize(
    "kind", ["uncertainty", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("dwa", "cagrad"))]
)
def test_a_task_whose_labels_vanish_for_good_harms_nothing_and_is_told_of(kind):
    parts = tiny.experiment(TASKS, kind=kind, encoder=tiny.Plain())
    step, state = jax.jit(make_train_step(parts)), tiny.initial(parts)
    state, metrics = step(state, tiny.batch())
    batch = tiny.batch()
    batch["valid"]["label"][:] = False
    first = None
    for _ in range(25):
        state, metrics = step(state, batch)
        first = metrics if first is None else first
    assert int(metrics["skipped"]) == 0
    leaves = [leaf for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    assert all(np.isfinite(leaf).all() for leaf in leaves)
    assert np.isfinite(metrics["weights"]).all() and metrics["weights"][0] > 0
    assert metrics["losses"][0] < first["losses"][0]  # the other task goes on learning
    said = Loop.named(SimpleNamespace(tasks=TASKS), jax.device_get(metrics))
    assert said["digit/valid"] == 0 and math.isnan(said["digit/loss"]) and math.isnan(said["digit/epoch_loss"])
    assert said["inpaint/valid"] == 4 and math.isfinite(said["loss"])


def test_every_skipped_step_of_a_run_is_told_of_once_and_counted(folder):
    workdir = folder / "some_nan"
    number = runs.example_of(step=9, folder=folder)
    code, output = runs.finish(runs.start(workdir, fault=f"nan@{number}"))
    assert code == 0, output
    told = [line for line in output.splitlines() if "changed nothing" in line]
    assert len(told) == 6 and "step 9 changed nothing: the loss of edges is nan" in told[0]  # once an epoch
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    training = {line["step"]: line for line in lines if line["split"] == "train"}
    assert training[9]["edges/loss"] is None and training[9]["skipped"] == 1
    assert training[60]["skipped"] == 6 and training[6]["skipped"] == 0
    assert all(math.isfinite(line[f"{task}/loss"]) for line in lines[-1:] for task in ("deblur", "digit", "edges"))


def test_after_too_many_in_a_row_the_run_ends_and_the_last_good_checkpoint_stands(folder, uninterrupted):
    workdir = folder / "all_nan"
    shutil.copytree(folder / "whole", workdir)
    for which in ("latest", "best"):  # which has that of step 60 too
        shutil.rmtree(workdir / "checkpoints" / which / "60")
    before = runs.saved(workdir)
    code, output = runs.finish(runs.start(workdir, "--config.train.skip_limit=3", fault="nan"))
    assert code == 1 and "Traceback" not in output
    last = output.splitlines()[-1]
    assert last.startswith("mtjax: error: 3 updates in a row were skipped") and f"step {before}" in last
    assert runs.saved(workdir) == before == 56
    code, output = runs.finish(runs.start(workdir))
    assert code == 0, output
    assert runs.fingerprint(workdir) == uninterrupted

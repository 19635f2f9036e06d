"""`mtjax relate`: which tasks of a trained network help each other, and which to train together."""

import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mtjax import show
from mtjax.data import build as build_source
from mtjax.data.pipeline import batch_at
from mtjax.models.grouping import MOST_TASKS, affinity, propose_groups
from mtjax.models.sharing.relation import Relation
from mtjax.train import Trained, restore
from mtjax.train.backward import pairwise
from mtjax.train.balancing import diagnostics, shared_parameters
from mtjax.train.gradients import task_losses
from mtjax.train.step import prepare_for_evaluation
from mtjax.typing import Array, Batch, Float, Params

BATCHES = 8


def relate_command(workdir: str | Path, batches: int = BATCHES) -> int:
    """Prints, for the best checkpoint of a run: affinities (TAG), cosines of gradients, a learned relation, groups.

    Affinities are means over some batches of the training split, for a step of the run's highest learning rate; TAG
    takes them during training, so a run's early checkpoints say more than one that has nothing left to learn.
    """
    trained = restore(workdir)
    helped, cosine = relations(trained, batches)
    names, screen = tuple(trained.tasks), show.console()
    screen.print(f"{workdir}, step {trained.step}", soft_wrap=True)
    title = "\nhow much, in percent, a step for one task (row) lowers the loss of another (column)"
    screen.print(title, matrix(names, 100 * helped), sep="\n", soft_wrap=True)
    screen.print("\ncosine of the gradients of the shared parameters", matrix(names, cosine), sep="\n", soft_wrap=True)
    sharing = trained.model.sharing
    if isinstance(sharing, Relation):
        related, omega = sharing.matrix(trained.params)
        screen.print("\nrelation of the tasks (MTRL's Ω)", matrix(related, np.asarray(omega)), sep="\n", soft_wrap=True)
    if 1 < len(names) <= MOST_TASKS:
        for count in range(1, min(3, len(names)) + 1):
            groups = propose_groups(helped, names, count)
            screen.print(f"\nat most {count} to train: " + "; ".join(" + ".join(group) for group in groups), end="")
        screen.print()
    return 0


def relations(trained: Trained, batches: int) -> tuple[Float[np.ndarray, "T T"], Float[np.ndarray, "T T"]]:
    """(affinity, cosine) of the tasks, means over the first batches of the training split where both are present."""
    config = trained.config
    source = build_source(config.data, "train")
    size = min(config.data.batch_size, len(source))
    step = jax.jit(lambda params, batch: relations_of_batch(trained, params, batch, config.optimizer.lr))
    found = []
    for k in range(min(batches, math.ceil(len(source) / size))):
        found.append(jax.device_get(step(trained.params, batch_at(source, size, config.train.seed, k))))
    helped, cosine, both = (np.stack(part) for part in zip(*found, strict=True))
    counts = np.maximum(both.sum(0), 1)
    return np.where(both, helped, 0).sum(0) / counts, np.where(both, cosine, 0).sum(0) / counts


def relations_of_batch(trained: Trained, params: Params, batch: Batch, lr: float) -> tuple[Array, Array, Array]:
    """Affinity, cosine, and which pairs of tasks are both present, of one batch."""
    model, tasks = trained.model, trained.experiment.tasks
    batch, observed = prepare_for_evaluation(trained.experiment.observations, trained.experiment.augmentation, batch)
    counts = jnp.stack([task.valid(batch).sum().astype(jnp.float32) for task in tasks.values()])

    def losses(shared: Any) -> Float[Array, "T"]:
        return task_losses(model, tasks, {**params, **shared}, observed, batch, counts)

    shared = shared_parameters(params)
    values, pull = jax.vjp(losses, shared)
    gradients = [pull(one)[0] for one in jnp.eye(len(values), dtype=values.dtype)]
    cosine = diagnostics(pairwise(gradients, gradients), counts > 0)["cosine"]
    both = (counts[:, None] > 0) & (counts[None, :] > 0)
    return affinity(losses, shared, lr), cosine, both


def matrix(names: tuple[str, ...], values: Float[np.ndarray, "T T"]) -> Any:
    """A table of numbers for pairs of tasks."""
    rows = [(name, *(f"{value:.2f}" for value in row)) for name, row in zip(names, values, strict=True)]
    return show.table("", ("", *names), rows, names)

"""A workdir's row in a published table: the metrics as published, over its test split, together and alone."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mtjax import data
from mtjax.compare.protocols.multitask import TaskTable
from mtjax.compare.protocols.results import Result, Row, environment, over_seeds, today
from mtjax.data.pipeline import eval_batches
from mtjax.metrics.geometry import known_depth, known_direction
from mtjax.metrics.segmentation import known
from mtjax.registry import ConfigError
from mtjax.tasks.normals import unit
from mtjax.train import Trained, restore
from mtjax.train.step import prepare_for_evaluation

ANGLES = 18_000  # bins of a hundredth of a degree
SHARES = (11.25, 22.5, 30.0)


class Segments:
    """Counts of true against predicted classes, void left out."""

    def __init__(self):
        self.counts = np.zeros((0, 0), np.int64)

    def add(self, prediction: np.ndarray, target: np.ndarray) -> None:
        """Logits `[N, H, W, K]` and labels `[N, H, W]`."""
        classes = prediction.shape[-1]
        seen = np.asarray(known(jnp.asarray(target)))
        pairs = classes * target[seen].astype(np.int64) + prediction.argmax(-1)[seen]
        counts = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
        self.counts = counts if not self.counts.size else self.counts + counts

    def figures(self) -> dict[str, float]:
        """In percent: mean IoU over the classes that occur or are predicted, and the share of right pixels."""
        right, true, said = self.counts.diagonal(), self.counts.sum(1), self.counts.sum(0)
        union = true + said - right
        miou = np.mean(right[union > 0] / union[union > 0])
        return {"miou": 100 * float(miou), "pixel_accuracy": 100 * float(right.sum() / self.counts.sum())}


class Depths:
    """Sums of errors over the known pixels."""

    def __init__(self):
        self.sums, self.count = np.zeros(2), 0

    def add(self, prediction: np.ndarray, target: np.ndarray) -> None:
        """What a head says `[N, H, W, 1]`, the softplus of which is the depth, and depths `[N, H, W]`."""
        seen = np.asarray(known_depth(jnp.asarray(target)))
        true = target[seen].astype(np.float64)
        error = np.abs(np.logaddexp(0, prediction[..., 0][seen].astype(np.float64)) - true)
        self.sums += [error.sum(), (error / true).sum()]
        self.count += len(true)

    def figures(self) -> dict[str, float]:
        """Mean absolute error, in the unit of the data, and mean error relative to the truth."""
        return dict(zip(("abs_error", "rel_error"), (self.sums / self.count).tolist(), strict=True))


class Directions:
    """A histogram of the angles to the true normals, over the known pixels."""

    def __init__(self):
        self.counts, self.total = np.zeros(ANGLES + 1, np.int64), 0.0

    def add(self, prediction: np.ndarray, target: np.ndarray) -> None:
        """What a head says `[N, H, W, 3]`, and unit normals; length 0 is unknown."""
        seen = np.asarray(known_direction(jnp.asarray(target)))
        ours, true = np.asarray(unit(jnp.asarray(prediction[seen]))), target[seen]
        angle = np.degrees(np.arctan2(np.linalg.norm(np.cross(ours, true), axis=-1), (ours * true).sum(-1)))
        self.counts += np.bincount((angle / 180 * ANGLES).astype(int), minlength=ANGLES + 1)
        self.total += float(angle.sum(dtype=np.float64))

    def figures(self) -> dict[str, float]:
        """Mean and median angle in degrees, the latter to a hundredth, and the percentage below each of `SHARES`."""
        share = np.cumsum(self.counts) / self.counts.sum()
        below = {f"within_{degrees:g}": 100 * float(share[round(degrees / 180 * ANGLES) - 1]) for degrees in SHARES}
        median = (int(np.searchsorted(share, 0.5)) + 0.5) * 180 / ANGLES
        return {"mean": self.total / int(self.counts.sum()), "median": median, **below}


class Labels:
    """Right and all examples."""

    def __init__(self):
        self.right, self.count = 0, 0

    def add(self, prediction: np.ndarray, target: np.ndarray) -> None:
        """Logits `[N, K]` and labels `[N]`."""
        self.right += int((prediction.argmax(-1) == target).sum())
        self.count += len(target)

    def figures(self) -> dict[str, float]:
        """In percent."""
        return {"accuracy": 100 * self.right / self.count}


KINDS = {"segmentation": Segments, "depth": Depths, "normals": Directions, "classification": Labels}


def measure_networks(table: TaskTable, workdirs: Sequence[str]) -> Result:
    """The published rows, and those of the workdirs' tasks, learned together and, if they were, alone.

    Several workdirs are several trainings of one recipe; their rows are means and standard deviations.

    Raises:
        ConfigError: a workdir has none of the tasks that the table is of, or some have single tasks and others not.
    """
    rows = table.published()
    if workdirs:
        ours = [own_rows(table, Path(workdir)) for workdir in workdirs]
        if len({len(rows) for rows in ours}) > 1:
            raise ConfigError(f"of {', '.join(workdirs)} some have single tasks and others not, in WORKDIR/single")
        rows += [over_seeds(same) for same in zip(*ours, strict=True)]
    missing = () if workdirs else ("ours: give --workdir=RUN of a network trained on it",)
    return Result(table.name, table.title, table.rules, "", table.columns(), tuple(rows), missing, environment())


def own_rows(table: TaskTable, workdir: Path) -> list[Row]:
    """The rows of a workdir; their notes say on how many test images, which are its config's and not the published."""
    start = time.perf_counter()
    trained = restore(workdir)
    values, pictures = figures(trained)
    together = tuple(values.get(metric.path) for metric in table.metrics)
    if not any(value is not None for value in together):
        wanted = sorted({metric.task for metric in table.metrics})
        raise ConfigError(f"{workdir} has none of the tasks {', '.join(wanted)}; it has {', '.join(trained.tasks)}")
    single: dict[str, float] = {}
    for name, task in trained.tasks.items():
        if task.kind in KINDS and (workdir / "single" / name).is_dir():
            single |= figures(restore(workdir / "single" / name))[0]
    alone = tuple(single.get(metric.path) for metric in table.metrics)
    note = f"on {pictures} test images"
    rows = [Row("single tasks", "ours", table.figures(alone, ()), note=note, date=today())] if single else []
    seconds = time.perf_counter() - start
    method = f"trained {trained.config.model.encoder.kind}: {trained.config.weighting.kind}"
    both = table.figures(together, alone if single else ())
    return [*rows, Row(method, "ours", both, seconds=seconds, note=note, date=today())]


def figures(trained: Trained) -> tuple[dict[str, float], int]:
    """The published metrics of a network over its test split, as "KIND/METRIC" and "TASK/METRIC", and how many images.

    Of several tasks of one kind, the first has the kind's name.
    """
    counters: dict[str, Any] = {n: KINDS[t.kind]() for n, t in trained.tasks.items() if t.kind in KINDS}
    pictures = 0
    for predictions, targets, valid in predicted(trained):
        pictures += len(next(iter(valid.values())))
        for name, counter in counters.items():
            counts = valid[name]
            if counts.any():
                counter.add(predictions[name][counts], targets[name][counts])
    found: dict[str, float] = {}
    for name, counter in counters.items():
        for metric, value in counter.figures().items():
            for title in (trained.tasks[name].kind, name):
                found.setdefault(f"{title}/{metric}", value)
    return found, pictures


def predicted(trained: Trained) -> Iterator[tuple[dict[str, Any], dict[str, Any], dict[str, np.ndarray]]]:
    """Predictions, targets and which examples count, by task, for every batch of the test split."""
    experiment = trained.experiment
    names = [name for name, task in trained.tasks.items() if task.kind in KINDS]

    @jax.jit
    def apply(params: Any, batch: Any) -> Any:
        batch, observed = prepare_for_evaluation(experiment.observations, experiment.augmentation, batch)
        said = trained.apply(params, observed)
        tasks = {name: trained.tasks[name] for name in names}
        parts = ((said[n], task.target(batch), task.valid(batch)) for n, task in tasks.items())
        return tuple(dict(zip(names, part, strict=True)) for part in zip(*parts, strict=True))

    source = data.build(trained.config.data, "test")
    for batch in eval_batches(source, trained.config.data.eval_batch_size):
        inside = batch["index"] >= 0
        yield jax.tree.map(lambda leaf, inside=inside: leaf[inside], jax.device_get(apply(trained.params, batch)))

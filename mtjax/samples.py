"""`mtjax generate`: images from noise, as a picture, and how like the test split they are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mtjax import show, train
from mtjax.data import Source, SourceInfo, collate
from mtjax.data import build as build_source
from mtjax.generate import sheet
from mtjax.generate.classifier import Classifier, class_fields, prepared, train_classifier
from mtjax.generate.distances import frechet_distance, kernel_distance, precision_recall
from mtjax.generate.labels import class_counts, in_turn
from mtjax.generate.sampling import sample
from mtjax.registry import ConfigError, lookup

CHUNK = 64  # images made together
MOST_SHOWN = 400  # on the picture
FEWEST = 4  # images that can be compared

Labels = dict[str, Any]  # by field, classes [N]


def generate_command(
    workdir: str | Path, out: str | Path, label: str | None, count: int, steps: int, guidance: str | None
) -> int:
    """Writes `out` and prints the measures.

    Args:
        workdir: the folder of a training with a task of kind `generation`.
        out: the picture to write, of the first 400 images.
        label: the class of all images, by name or number; of several fields with commas between. None: all in turn.
        count: number of images, and of those of the test split that they are compared with.
        steps: of the differential equation.
        guidance: see `sample`; a number as text.

    Raises:
        ConfigError: no such task, or a label or guidance that it cannot use.
    """
    trained = train.restore(workdir)
    task = next((task for task in trained.tasks.values() if task.samples is not None), None)
    if task is None:
        raise ConfigError(f"{workdir} has no task of kind 'generation'; its tasks: {', '.join(trained.tasks)}")
    given = tuple(trained.experiment.observations[task.observation]["given"])
    wanted = {} if label is None else chosen(label, given, trained.source_info)
    labels = in_turn(count, class_counts(trained.source_info, given))
    labels |= {field: jnp.full(count, value) for field, value in wanted.items()}
    strength = None if guidance is None else number(guidance, given)
    made = make(trained, task.name, labels, count, steps, strength)
    sheet.write(Path(out), made[:MOST_SHOWN])
    screen = show.console()
    screen.print(f"{out}: {len(made)} images, step {trained.step}", soft_wrap=True)

    test, learned = (build_source(trained.config.data, split) for split in ("test", "train"))
    if not class_fields(test) or count < FEWEST:
        screen.print(f"not compared: that takes classes to train a classifier on, and at least {FEWEST} images")
        return 0
    augmentation = trained.config.data.augment
    with screen.status("training a classifier to compare with"):
        judge = train_classifier(learned, augmentation)
    real, truth = pictures(test, count, augmentation, wanted)
    seen, known = pictures(learned, count, augmentation, wanted)
    rows = {"generated": measures(judge, real, made, labels), "training images": measures(judge, real, seen, known)}
    sure = accuracy(judge(real)[1], truth)
    title = (
        f"\n{count} images beside {len(real)} of the test split, in the features of a classifier trained on the "
        f"training split\n(accuracy on those test images: {', '.join(f'{f} {a:.3f}' for f, a in sure.items())})"
    )
    names = dict.fromkeys(name for values in rows.values() for name in values)
    lines = [(name, *(f"{values[name]:.4f}" if name in values else "" for values in rows.values())) for name in names]
    screen.print(show.table(title, ("measure", *rows), lines, tuple(rows)), soft_wrap=True)
    return 0


def make(trained: Any, task: str, labels: Labels, count: int, steps: int, guidance: float | None) -> np.ndarray:
    """Images `[count, H, W, C]` in [0, 1], with these labels."""
    shape = (min(count, CHUNK), *trained.source_info.image_shape)
    draw = jax.jit(
        lambda params, key, labels: sample(
            trained.model, params, task, key, shape, labels, steps=steps, guidance=guidance
        )
    )
    parts = []
    for start in range(0, count, shape[0]):
        part = {field: jnp.resize(values[start : start + shape[0]], shape[:1]) for field, values in labels.items()}
        parts.append(draw(trained.params, jax.random.fold_in(jax.random.key(0), start), part))
    return np.clip(np.concatenate(jax.device_get(parts))[:count], 0, 1)


def measures(judge: Classifier, real: np.ndarray, made: np.ndarray, labels: Labels) -> dict[str, float]:
    """All measures of some images beside real ones; `labels` are the classes that they should have."""
    reference, features = judge(real)[0], judge(made)[0]
    precision, recall = precision_recall(reference, features)
    return {
        "frechet_distance": frechet_distance(reference, features),
        "kernel_distance": kernel_distance(reference, features),
        "precision": precision,
        "recall": recall,
        **{f"accuracy of {field}": value for field, value in accuracy(judge(made)[1], labels).items()},
    }


def accuracy(found: Labels, labels: Labels) -> dict[str, float]:
    """By field that has labels, the share of images that the classifier takes for what they should be."""
    return {field: float(np.mean(found[field] == labels[field])) for field in found if field in labels}


def pictures(source: Source, count: int, augmentation: Any, wanted: Mapping[str, int]) -> tuple[np.ndarray, Labels]:
    """Up to `count` images of a source, picked at random among those of the wanted classes, and their classes."""
    picked: list[Any] = []
    for index in np.random.default_rng(0).permutation(len(source)):
        example = source[int(index)]
        if "image" in example and all(int(example.get(field, -1)) == value for field, value in wanted.items()):
            picked.append(example)
        if len(picked) == count:
            break
    batch = prepared(collate(picked, source.info), augmentation)
    whole = [field for field in class_fields(source) if batch["valid"][field].all()]
    return np.asarray(batch["image"]), {field: np.asarray(batch[field]) for field in whole}


def chosen(label: str, given: tuple[str, ...], info: SourceInfo) -> dict[str, int]:
    """By given field, the number of the class that the command line names."""
    words = label.split(",")
    if not given:
        raise ConfigError(f"--label={label}: the network was told no classes; see `given` of observations")
    if len(words) != len(given):
        raise ConfigError(f"--label={label}: expected a class each of {', '.join(given)}, with commas between")
    names = {field: info.class_names[field] for field in given}
    by_number = {field: {str(i): i for i in range(len(names[field]))} for field in given}
    by_name = {field: {name: i for i, name in enumerate(names[field])} for field in given}
    return {
        field: lookup({**by_number[field], **by_name[field]}, word.strip(), "--label")
        for field, word in zip(given, words, strict=True)
    }


def number(guidance: str, given: tuple[str, ...]) -> float:
    """The strength of guidance."""
    if not given:
        raise ConfigError(f"--guidance={guidance}: the network was told no classes to be guided to")
    try:
        return float(guidance)
    except ValueError as error:
        raise ConfigError(f"--guidance={guidance} is no number") from error

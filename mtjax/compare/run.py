"""The comparison: the same observations of test images to the learned heads and to every solver."""

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mtjax import data
from mtjax.compare.labels import compare_labels
from mtjax.compare.methods import Case, Compiled, Method, arrays, at_edge, baseline, batches, learned, shown, solver
from mtjax.compare.results import Comparison, Example, Row, Scores, TaskComparison
from mtjax.compare.statistics import bootstrap, paired, sure, verdict
from mtjax.compare.together import together
from mtjax.data import Source
from mtjax.physics import Frames, Observed, split_frames
from mtjax.schema import is_counterpart
from mtjax.train import Trained
from mtjax.train.step import EVALUATION_SEED, prepare_for_evaluation
from mtjax.typing import Array, Batch

VALIDATION_IMAGES = 32  # on which solver parameters are chosen
EXAMPLES = (("where it did worst", 0.0), ("median", 0.5), ("where it did best", 1.0))

Progress = Callable[[str], None]


def compare(
    trained: Trained, workdir: str | Path, *, limit: int | None = None, progress: Progress = lambda _: None
) -> Comparison:
    """Compares every task of `config.compare` with the solvers listed there, on the test split.

    Each image is observed once, with noise that depends on its index alone, and every method gets that observation.
    Solver parameters are chosen on validation images. Nothing is written.

    Args:
        trained: a trained network.
        workdir: its folder, where the results of its tasks, together and alone, are looked for.
        limit: at most so many test images, evenly spaced; all if None.
        progress: is told in a few words what is going on.

    Raises:
        ValueError: a task that no solver can do, or a limit that is not positive.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be 1 image or more, got {limit}")
    config = trained.config
    test, validation = (data.build(config.data, split) for split in ("test", "validation"))
    tasks, labels = [], []
    for task, nodes in config.compare.items():
        counterparts = [node for node in nodes if is_counterpart(node)]
        nodes = [node for node in nodes if not is_counterpart(node)]
        if counterparts:
            progress(f"{task}: {', '.join(node['kind'] for node in counterparts)}")
            indices = spaced(len(test), limit), spaced(len(validation), VALIDATION_IMAGES)
            labels.append(compare_labels(trained, task, counterparts, indices, (test, validation)))
        if counterparts and not nodes:
            continue
        if not trained.tasks[task].restores:
            raise ValueError(f"compare.{task}: a {trained.tasks[task].kind} is no image, so no solver can give it")
        tasks.append(compare_task(trained, task, nodes, (test, validation), limit, progress))
    return Comparison(
        tasks=tuple(tasks),
        labels=tuple(labels),
        together=together(trained.tasks, Path(workdir)),
        environment=environment(),
        config=config.to_dict() if hasattr(config, "to_dict") else dict(config),
        step=getattr(trained, "step", None),
        evaluation_seed=EVALUATION_SEED,
    )


def compare_task(
    trained: Trained,
    task: str,
    nodes: list[Any],
    sources: tuple[Source, Source],
    limit: int | None,
    progress: Progress = lambda _: None,
) -> TaskComparison:
    """One task: observe, tune each method on the second of `sources`, score it on the first, time it."""
    test, validation = sources
    name = trained.tasks[task].observation
    spec = trained.config.observations[name]
    chosen = spaced(len(test), limit)
    held_out = spaced(len(validation), VALIDATION_IMAGES)
    batch_size = min(trained.config.data.eval_batch_size, len(chosen))
    augmentation = trained.config.data.get("augment", {})
    cases = observe_cases(test, chosen, name, spec, batch_size, augmentation)
    tuning_cases = observe_cases(validation, held_out, name, spec, batch_size, augmentation)

    methods = [baseline(cases[0].observed, cases[0].clean)]
    methods += [solver(node) for node in nodes]
    methods = unique([*methods, learned(trained, task)])
    compiled, scores = {}, []
    for method in methods:
        progress(f"{task}: {method.name}")
        program, arguments, result = score_method(method, cases, tuning_cases)
        compiled[method.name] = program, arguments
        scores.append(result)
    rows, reference = make_rows(scores)
    head, best = scores[-1], next(s for s in scores if s.name == reference)
    difference = paired(head.psnr, best.psnr)
    return TaskComparison(
        task=task,
        observation={"name": name, **plain(spec)},
        test_images=len(head.psnr),
        validation_images=len(held_out),
        batch_size=batch_size,
        reference=reference,
        rows=rows,
        verdict=verdict(difference, head.name, reference),
        better=sure(difference),
        examples=tuple(pick_examples(compiled, scores, cases, chosen, reference)),
    )


def score_method(method: Method, cases: list[Case], tuning_cases: list[Case]) -> tuple[Compiled, Any, Scores]:
    """Tunes, scores and times one method; also gives its program and what to call it with."""
    program = Compiled(method, cases[0])
    chosen = program.tune(tuning_cases)
    arguments = arrays(chosen) if chosen else method.arguments
    psnr, ssim, failed = program.score(arguments, cases)
    scores = Scores(
        name=method.name,
        family=method.family,
        psnr=psnr,
        ssim=ssim,
        failed=failed,
        milliseconds=program.milliseconds(arguments, cases[0]),
        working_bytes=program.working_bytes,
        chosen=chosen,
        at_edge=at_edge(chosen, method.ranges),
        parameters=dict(method.parameters),
        detail=method.detail,
    )
    return program, arguments, scores


def make_rows(scores: list[Scores]) -> tuple[tuple[Row, ...], str]:
    """Every method's row, and the name of the reference: the best solver on the test split, or else the observation.

    To choose it on the test split favors the solvers, never the network.
    """
    rivals = [s for s in scores if s.family == "solver"] or [s for s in scores if s.family == "observed"]
    best = max(rivals, key=lambda s: s.psnr.mean())
    rows = tuple(
        Row(s, bootstrap(s.psnr), bootstrap(s.ssim), None if s is best else paired(s.psnr, best.psnr)) for s in scores
    )
    return rows, best.name


def observe_cases(
    source: Source,
    indices: np.ndarray,
    name: str,
    spec: Any,
    batch_size: int,
    augmentation: Mapping[str, Any] = {},
) -> list[Case]:
    """The examples `indices` of a source as batches, each observed once; the last is filled up, not `valid` there."""

    @jax.jit
    def prepare(batch: Batch) -> tuple[Observed, Array]:
        batch, observed = prepare_for_evaluation({name: spec}, augmentation, batch)
        return observed[name], batch["image"]

    cases = []
    for batch, counts in batches(source, indices, batch_size):
        observed, clean = prepare(batch)
        cases.append(Case(observed, clean, batch["valid"]["image"] & counts))
    return cases


def pick_examples(
    compiled: dict[str, tuple[Compiled, Any]],
    scores: list[Scores],
    cases: list[Case],
    indices: np.ndarray,
    reference: str,
) -> Iterable[Example]:
    """The test images where the learned head did worst, median and best against the reference; chosen by no eye."""
    by_name = {s.name: s for s in scores}
    order = np.argsort(scores[-1].psnr - by_name[reference].psnr)
    places = [(batch, row) for batch, case in enumerate(cases) for row in np.flatnonzero(case.valid).tolist()]
    for rank in dict.fromkeys(round(share * (len(order) - 1)) for _, share in EXAMPLES):
        label = next(text for text, share in EXAMPLES if round(share * (len(order) - 1)) == rank)
        batch, row = places[order[rank]]
        case = cases[batch]
        images = {
            name: np.asarray(shown(program(arguments, case))[row]) for name, (program, arguments) in compiled.items()
        }
        yield Example(
            title=label,
            index=int(indices[batch * len(case.clean) + row]),
            clean=np.asarray(case.clean[row]),
            observed=first_picture(case.observed, row),
            images=images,
            psnr={name: float(s.psnr[order[rank]]) for name, s in by_name.items()},
        )


def first_picture(observed: Observed, row: int) -> np.ndarray:
    """What was observed of one example, of a burst the first frame."""
    y, operator = observed.y[row], observed.operator
    return np.asarray(split_frames(y, operator.count)[0] if isinstance(operator, Frames) else y)


def spaced(size: int, limit: int | None) -> np.ndarray:
    """`limit` indices spread evenly over `size` examples, or all."""
    count = size if limit is None else min(limit, size)
    return np.arange(count) * size // max(count, 1)


def unique(methods: list[Method]) -> list[Method]:
    """The methods, those of one name numbered."""
    names = [method.name for method in methods]
    seen: dict[str, int] = {}
    result = []
    for method in methods:
        seen[method.name] = seen.get(method.name, 0) + 1
        number = f" {seen[method.name]}" if names.count(method.name) > 1 else ""
        result.append(dataclasses.replace(method, name=method.name + number))
    return result


def plain(spec: Any) -> dict[str, Any]:
    """A config node as a dict."""
    return spec.to_dict() if hasattr(spec, "to_dict") else dict(spec)


def environment() -> dict[str, Any]:
    """On what the times were taken."""
    device = jax.devices()[0]
    return {
        "device": device.device_kind,
        "platform": device.platform,
        "cores": os.cpu_count(),
        "jax": jax.__version__,
    }

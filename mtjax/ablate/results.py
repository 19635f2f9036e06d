"""What the runs of an ablation came to: the learning rate of each method, its metrics over seeds, Δm, differences."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mtjax.ablate import cost
from mtjax.ablate.cost import Cost
from mtjax.ablate.plan import Method, Plan
from mtjax.ablate.run import cost_file
from mtjax.compare.results import to_plain
from mtjax.compare.statistics import Interval, paired_seeds, sure
from mtjax.compare.together import split_metrics
from mtjax.metrics import delta_m_flat, delta_m_task
from mtjax.tasks import Task
from mtjax.train.evaluation import validation_score

BASELINE = "equal"
Values = dict[str, float]  # by "TASK/METRIC"
Series = tuple[float, ...]  # one number per seed


@dataclasses.dataclass(frozen=True)
class Row:
    """A method at its chosen learning rate.

    rate: None if no run has ended. scores: by rate, the mean validation score over seeds, by which it was chosen.
    seeds: those whose runs have ended at this rate; `values`, by "TASK/METRIC" on the test split, and the two Δm have
    a number for each. Δm is empty where no task was trained alone, and NaN for a seed with a metric that is not finite.
    problem: why a run failed, if one did.
    """

    method: Method
    rate: float | None
    scores: dict[float, float]
    seeds: tuple[int, ...]
    values: dict[str, Series]
    delta_m_task: Series = ()
    delta_m_flat: Series = ()
    cost: Cost | None = None
    problem: str = ""
    over_equal: "Differences | None" = None


@dataclasses.dataclass(frozen=True)
class Differences:
    """A row minus `equal` on the same sharing, with 95 % intervals: of Δm, and of each task's headline."""

    delta_m_task: Interval | None
    headlines: dict[str, Interval]


@dataclasses.dataclass(frozen=True)
class Ablation:
    """All of it.

    headlines: by task, its first metric, as "TASK/METRIC". higher: by "TASK/METRIC", whether higher is better.
    alone: by task, the row of that task alone; `reference`: the same as one row, of networks that are trained side by
    side. compared: the metrics that Δm is about. seeds, rates: as planned. budget: what every run was given.
    """

    headlines: dict[str, str]
    higher: dict[str, bool]
    alone: dict[str, Row]
    reference: Row
    rows: tuple[Row, ...]
    compared: tuple[str, ...]
    seeds: tuple[int, ...]
    rates: tuple[float, ...]
    budget: dict[str, Any]
    environment: dict[str, Any]
    config: dict[str, Any]


def collect(
    plan: Plan, workdir: Path, tasks: Mapping[str, Task], failed: Mapping[Path, str], environment: dict[str, Any]
) -> Ablation:
    """What the folder holds of a plan; rows without a single run that has ended are there too, and say why."""
    higher = {
        f"{name}/{metric}": way == "higher" for name, task in tasks.items() for metric, way in task.directions.items()
    }
    rows = {method: read_row(plan, method, workdir, failed, tuple(higher)) for method in plan.methods}
    alone = {method.task: row for method, row in rows.items() if method.task}
    reference = {key: mean(v) for row in alone.values() for key, v in row.values.items()}
    reference = {key: value for key, value in reference.items() if value and math.isfinite(value)}
    together = [with_deltas(row, reference, higher) for method, row in rows.items() if not method.task]
    headlines = {name: f"{name}/{task.headline}" for name, task in tasks.items()}
    config, train = plan.config, plan.config.train
    return Ablation(
        headlines=headlines,
        higher=higher,
        alone=alone,
        reference=with_deltas(side_by_side(alone), reference, higher),
        rows=tuple(dataclasses.replace(row, over_equal=differences(row, together, headlines)) for row in together),
        compared=tuple(reference),
        seeds=plan.seeds,
        rates=plan.rates,
        budget={"steps": train.steps, "batch_size": config.data.batch_size, "data": config.data.source},
        environment=environment,
        config=config.to_dict(),
    )


def read_row(plan: Plan, method: Method, workdir: Path, failed: Mapping[Path, str], wanted: tuple[str, ...]) -> Row:
    """The row of a method, Δm left open."""
    runs = [run for run in plan.runs if run.method == method]
    scores: dict[float, dict[int, float]] = {rate: {} for rate in plan.rates}
    for run in runs:
        if run.config is not None and (values := split_metrics(workdir / run.folder, "validation")):
            scores[run.rate][run.seed] = validation_score(values)
    rate = choose(scores)
    here = [run for run in runs if run.rate == rate and run.seed in scores[run.rate]]
    tests = [split_metrics(workdir / run.folder) for run in here]
    reasons = [failed[run.folder] for run in runs if run.folder in failed and (rate is None or run.rate == rate)]
    return Row(
        method=method,
        rate=rate,
        scores={rate: mean(tuple(by_seed.values())) for rate, by_seed in scores.items() if by_seed},
        seeds=tuple(run.seed for run in here),
        values={key: tuple(test[key] for test in tests) for key in wanted if tests and key in tests[0]},
        cost=cost.load(cost_file(method, workdir)),
        problem=reasons[0] if reasons else "",
    )


def choose(scores: Mapping[float, Mapping[int, float]]) -> float | None:
    """The learning rate with the best mean validation score, of those at which most seeds came to their end."""
    most = max(map(len, scores.values()), default=0)
    able = [rate for rate, by_seed in scores.items() if len(by_seed) == most > 0]

    def score(rate: float) -> float:
        value = mean(tuple(scores[rate].values()))
        return value if math.isfinite(value) else -math.inf

    return max(able, key=score, default=None)


def side_by_side(alone: Mapping[str, Row]) -> Row:
    """The tasks alone as one row: for the seeds that all have, every task's own metrics and the sum of the costs."""
    rows = tuple(alone.values())
    seeds = tuple(seed for seed in rows[0].seeds if all(seed in row.seeds for row in rows))
    values = {
        key: tuple(series[row.seeds.index(seed)] for seed in seeds)
        for row in rows
        for key, series in row.values.items()
    }
    costs = [row.cost for row in rows if row.cost]
    total = None
    if len(costs) == len(rows):
        room = max(cost.temporary_bytes for cost in costs)
        total = Cost(sum(cost.seconds for cost in costs), room, sum(cost.parameters for cost in costs))
    rates = {row.rate for row in rows}
    return Row(
        method=dataclasses.replace(rows[0].method, task=""),
        rate=rates.pop() if len(rates) == 1 else None,
        scores={},
        seeds=seeds,
        values=values if seeds else {},
        cost=total,
        problem="; ".join(f"{task}: {row.problem}" for task, row in alone.items() if row.problem),
    )


def with_deltas(row: Row, reference: Values, higher: Mapping[str, bool]) -> Row:
    """The row with both Δm of each seed, against the mean of the single-task runs."""
    if not reference or not row.seeds:
        return row
    seeds = [{key: row.values[key][i] for key in reference if key in row.values} for i in range(len(row.seeds))]
    task, flat = (
        tuple(
            delta(values, reference, higher) if all(map(math.isfinite, values.values())) else math.nan
            for values in seeds
        )
        for delta in (delta_m_task, delta_m_flat)
    )
    return dataclasses.replace(row, delta_m_task=task, delta_m_flat=flat)


def differences(row: Row, rows: list[Row], headlines: Mapping[str, str]) -> Differences | None:
    """What sets the row apart from `equal` on its sharing; None for that itself, and where there are not two."""
    equal = next((r for r in rows if (r.method.weighting, r.method.sharing) == (BASELINE, row.method.sharing)), None)
    common = [seed for seed in row.seeds if equal and seed in equal.seeds]
    if equal is None or equal is row or not common:
        return None

    def paired(mine: Series, theirs: Series) -> Interval:
        pairs = [(mine[row.seeds.index(seed)], theirs[equal.seeds.index(seed)]) for seed in common]
        return paired_seeds(*zip(*pairs, strict=True))

    delta = paired(row.delta_m_task, equal.delta_m_task) if row.delta_m_task and equal.delta_m_task else None
    by_task = {task: paired(row.values[key], equal.values[key]) for task, key in headlines.items()}
    return Differences(delta, by_task)


def mean(values: Series) -> float:
    """The mean over seeds; NaN of none."""
    return float(np.mean(values)) if values else math.nan


def std(values: Series) -> float:
    """The standard deviation over seeds, that of a sample (n - 1); NaN of one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def apart(row: Row) -> bool | None:
    """Whether Δm is better than that of `equal`, or worse; None if within noise, or not to be compared."""
    return sure(row.over_equal.delta_m_task) if row.over_equal and row.over_equal.delta_m_task else None


def to_json(ablation: Ablation) -> dict[str, Any]:
    """Every number, as plain dicts and lists; what is not finite becomes None."""
    summary = [
        {
            "method": row.method.name,
            "delta_m_task": {"mean": mean(row.delta_m_task), "std": std(row.delta_m_task)},
            "delta_m_flat": {"mean": mean(row.delta_m_flat), "std": std(row.delta_m_flat)},
            **{key: {"mean": mean(values), "std": std(values)} for key, values in row.values.items()},
        }
        for row in (*ablation.alone.values(), ablation.reference, *ablation.rows)
    ]
    return to_plain({**dataclasses.asdict(ablation), "summary": summary})


def from_json(tree: Mapping[str, Any]) -> Ablation:
    """What `to_json` was given; a summary is not needed."""
    rows = {
        "alone": {task: _row(node) for task, node in tree["alone"].items()},
        "reference": _row(tree["reference"]),
        "rows": tuple(_row(node) for node in tree["rows"]),
    }
    kept = {key: value for key, value in tree.items() if key != "summary"}
    return Ablation(**{**kept, **rows, **{key: tuple(tree[key]) for key in ("compared", "seeds", "rates")}})


def _row(node: dict[str, Any]) -> Row:
    """A row from its JSON, in which what is not finite is null."""
    over = node["over_equal"]
    built = {
        "method": Method(**node["method"]),
        "scores": {float(rate): _number(score) for rate, score in node["scores"].items()},
        "seeds": tuple(node["seeds"]),
        "values": {key: _series(values) for key, values in node["values"].items()},
        "delta_m_task": _series(node["delta_m_task"]),
        "delta_m_flat": _series(node["delta_m_flat"]),
        "cost": Cost(**node["cost"]) if node["cost"] else None,
        "over_equal": over
        and Differences(
            _interval(over["delta_m_task"]), {task: _interval(found) for task, found in over["headlines"].items()}
        ),
    }
    return Row(**{**node, **built})


def _interval(node: dict[str, float | None] | None) -> Any:
    """An interval, if there is one."""
    return node and Interval(**{key: _number(value) for key, value in node.items()})


def _series(values: list[float | None]) -> tuple[float, ...]:
    """One number per seed."""
    return tuple(map(_number, values))


def _number(value: float | None) -> float:
    """NaN for null."""
    return math.nan if value is None else value

"""Δm: how much better or worse the tasks fare together than alone. Two conventions are in use; they are never mixed."""

import math
from collections.abc import Mapping


def delta_m_flat(
    values: Mapping[str, float], alone: Mapping[str, float], higher_is_better: Mapping[str, bool]
) -> float:
    """Δm of CAGrad, Nash-MTL, FAMO and FairGrad: the mean over all metrics of the relative change for the worse.

    In percent, lower is better, 0 when equal to the single-task results `alone`. Keys are "TASK/METRIC"; every metric
    of `values` needs a finite, nonzero reference and a direction. A task counts as often as it has metrics.
    """
    worse = [-change for change in _changes(values, alone, higher_is_better).values()]
    return 100 * sum(worse) / len(worse)


def delta_m_task(
    values: Mapping[str, float], alone: Mapping[str, float], higher_is_better: Mapping[str, bool]
) -> float:
    """Δ of Maninis, Vandenhende and LibMTL: the mean over tasks of the mean relative change for the better.

    In percent, higher is better, 0 when equal to the single-task results `alone`; arguments as in `delta_m_flat`. Each
    task counts once, so the two numbers can disagree even in sign.
    """
    tasks: dict[str, list[float]] = {}
    for name, change in _changes(values, alone, higher_is_better).items():
        tasks.setdefault(name.partition("/")[0], []).append(change)
    return 100 * sum(sum(changes) / len(changes) for changes in tasks.values()) / len(tasks)


def _changes(
    values: Mapping[str, float], alone: Mapping[str, float], higher_is_better: Mapping[str, bool]
) -> dict[str, float]:
    """For each metric the relative change for the better, (M - B) / B or its negative where lower is better."""
    if not values:
        raise ValueError("Δm needs at least one metric, got none")
    changes = {}
    for name, value in values.items():
        if name not in alone or name not in higher_is_better:
            missing = "single-task value" if name not in alone else "direction (higher_is_better)"
            raise ValueError(f"metric {name!r} has no {missing}; Δm needs one for every metric")
        reference = alone[name]
        if not (math.isfinite(value) and math.isfinite(reference)) or reference == 0:
            raise ValueError(
                f"metric {name!r}: Δm needs finite values and a nonzero reference, got {value}, {reference}"
            )
        change = (value - reference) / reference
        changes[name] = change if higher_is_better[name] else -change
    return changes

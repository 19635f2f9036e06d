"""Choosing a solver's parameters by a score, such as PSNR on a validation split."""

import itertools
import math
from collections.abc import Callable, Mapping

Values = dict[str, float]


def grid_search(
    score: Callable[..., float], ranges: Mapping[str, tuple[float, float]], points: int = 7, rounds: int = 2
) -> tuple[Values, float, list[Values]]:
    """Maximizes `score(**values)` over a logarithmic grid, refined around its best point in each further round.

    `ranges` gives (low, high) > 0 of each parameter, `points` how many values of each are tried in a round. Scores
    that are not finite never win. Returns the best values, their score, and the table of all that was tried: one
    dict per evaluation with the parameters and "score".
    """
    for name, (low, high) in ranges.items():
        if not 0 < low <= high:
            raise ValueError(f"ranges[{name!r}]={(low, high)} is not a range; expected 0 < low <= high")
    if points < 2 or rounds < 1:
        raise ValueError(f"points={points}, rounds={rounds}: expected at least 2 points and 1 round")
    table: list[Values] = []
    tried: dict[tuple[float, ...], float] = {}
    windows = {name: (math.log(low), math.log(high)) for name, (low, high) in ranges.items()}
    for _ in range(rounds):
        axes = [[a + (b - a) * i / (points - 1) for i in range(points)] for a, b in windows.values()]
        for place in itertools.product(*axes):
            key = tuple(round(position, 9) for position in place)
            if key not in tried:
                values = dict(zip(windows, map(math.exp, place), strict=True))
                result = float(score(**values))
                tried[key] = result if math.isfinite(result) else -math.inf
                table.append({**values, "score": result})
        best = max(tried, key=tried.__getitem__)
        windows = _around(best, windows, ranges, points)
    return dict(zip(ranges, map(math.exp, best), strict=True)), tried[best], table


def _around(
    best: tuple[float, ...],
    windows: Mapping[str, tuple[float, float]],
    ranges: Mapping[str, tuple[float, float]],
    points: int,
) -> dict[str, tuple[float, float]]:
    """From the grid point below the best to the one above, within the ranges."""
    narrowed = {}
    for (name, (low, high)), center in zip(windows.items(), best, strict=True):
        spacing = (high - low) / (points - 1)
        bottom, top = map(math.log, ranges[name])
        narrowed[name] = (max(bottom, center - spacing), min(top, center + spacing))
    return narrowed

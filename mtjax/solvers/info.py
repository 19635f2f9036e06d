"""What a table says of a solver."""

from collections.abc import Callable
from typing import NamedTuple

from mtjax.solvers.solution import Solution


class SolverInfo(NamedTuple):
    """A solver as a config names it.

    `run(y, operator, /, **params) -> Solution`; `tunable` maps parameters to the range in which to search for them;
    `problem` is what it solves, `source` where it comes from.
    """

    run: Callable[..., Solution]
    tunable: dict[str, tuple[float, float]]
    problem: str
    source: str

"""`mtjax train` of one task for four steps, in this process; and a learning rate with which a run falls apart."""

import pathlib
from collections.abc import Callable

import optax
import pytest

from mtjax import cli

RECIPE = pathlib.Path(__file__).resolve().parent / "recipe.py"
SHORT = ("--config.tasks=edges", "--config.train.steps=4", "--config.train.checkpoint_every=2")
HUGE = 1e16  # with parameters as large as this the loss is infinite, but they themselves, and their norm, are not


def exploding(lr: float, steps: int, /, *, after: int) -> Callable[[int], float]:
    """A schedule that is constant for some steps, and then far too large."""
    del steps
    return optax.piecewise_constant_schedule(lr, {after: HUGE / lr})


def train(workdir: pathlib.Path, *more: str) -> int:
    """The exit code of the run in `workdir`."""
    return cli.main(["train", f"--config={RECIPE}", f"--workdir={workdir}", *SHORT, *more])


def undisturbed(patch: pytest.MonkeyPatch, folder: pathlib.Path) -> None:
    """What the command changes of its process is not to outlast it; its data is that of the other runs."""
    patch.setattr(cli, "prepare", lambda debug: None)
    patch.setenv("MTJAX_DATA", str(folder / "data"))


@pytest.fixture(scope="session")
def short_run(folder: pathlib.Path) -> pathlib.Path:
    """The workdir of a run with the checkpoints of steps 2 and 4."""
    with pytest.MonkeyPatch.context() as patch:
        undisturbed(patch, folder)
        assert train(folder / "short") == 0
    return folder / "short"


@pytest.fixture
def finished(short_run: pathlib.Path, folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The same, and more runs may follow."""
    undisturbed(monkeypatch, folder)
    return short_run

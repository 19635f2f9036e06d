"""Checkpoints that something happened to: found, named in one line, and never taken for something else."""

import itertools
import json
import logging
import pathlib
import pickle
import shutil
import sys
import time

import flips
import jax.numpy as jnp
import pytest
from small_run import train

from mtjax import cli
from mtjax.train.checkpoint import CheckpointError, Checkpoints

YEAR_S = 365 * 86400.0


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of the finished run."""
    return pathlib.Path(shutil.copytree(finished, tmp_path / "workdir"))


def cut(checkpoint: pathlib.Path) -> None:
    """Truncates the largest file."""
    file = max((path for path in checkpoint.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def contents(workdir: pathlib.Path) -> dict:
    """Digests of all arrays of the last checkpoint, and the files of results."""
    record = json.loads((workdir / "checkpoints" / "latest" / "4" / "record" / "metadata").read_text())
    results = [(workdir / name).read_text() for name in ("metrics.jsonl", "evaluation.json")]
    return {"leaves": record["leaves"], "score": record["score"], "results": results}


def one_error(capsys) -> str:
    """The one line on the error stream."""
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("mtjax: error: ")
    return line


@pytest.fixture
def quiet(caplog):
    caplog.set_level(logging.CRITICAL, logger="mtjax")


def test_random_flips_are_found_or_harmless(tmp_path, quiet):
    outcomes = flips.flips(tmp_path, count=12)
    assert outcomes.total() == 12 and outcomes["byte flipped", "recovered"] >= 9


def test_every_file_cut_or_deleted_is_found_or_harmless(tmp_path, quiet):
    outcomes = flips.each_file(tmp_path, ("file cut", "file deleted"))
    assert outcomes["file cut", "recovered"] >= 4 and outcomes["file deleted", "recovered"] >= 4


def test_a_run_goes_on_before_the_damage_and_ends_the_same(copy, capsys, caplog):
    before = contents(copy)
    cut(copy / "checkpoints" / "latest" / "4")
    shutil.rmtree(copy / "checkpoints" / "best")
    assert train(copy) == 0
    (warning,) = [record.getMessage() for record in caplog.records]
    assert warning.startswith("checkpoint of step 4 is damaged") and "\n" not in warning
    assert contents(copy) == before


@pytest.mark.parametrize("command", ["train", "eval"])
def test_with_all_damaged_nothing_starts_anew(copy, capsys, quiet, command):
    for checkpoint in (copy / "checkpoints").glob("*/*"):
        cut(checkpoint)
    before = sorted(copy.rglob("*"))
    assert (train(copy) if command == "train" else cli.main(["eval", f"--workdir={copy}"])) == 1
    assert f"checkpoints below {copy / 'checkpoints'} are damaged" in one_error(capsys)
    assert sorted(copy.rglob("*")) == before


@pytest.mark.parametrize("name", ["7/weights.bin", "latest/last.ckpt"])
def test_what_is_no_checkpoint_is_not_passed_over(copy, capsys, name):
    shutil.rmtree(copy / "checkpoints")
    file = copy / "checkpoints" / name
    file.parent.mkdir(parents=True)
    file.write_text("of another program")
    assert train(copy) == 1
    assert "is no checkpoint of mtjax" in one_error(capsys)
    assert file.read_text() == "of another program"


def test_the_checkpoints_of_another_optimizer_are_refused(copy, capsys):
    other = copy.with_name("other")
    shutil.copytree(copy / "checkpoints", other / "checkpoints")
    assert train(other, "--config.optimizer.kind=sgd") == 1
    line = one_error(capsys)
    assert f"checkpoint {other / 'checkpoints' / 'latest' / '4'} is of another run: optimizer/" in line


def test_a_run_that_falls_apart_leaves_its_last_good_checkpoint(finished, tmp_path, capsys, quiet):
    # The rate explodes in step 3, whose loss is still good, and whose state is saved as the last that learned.
    explodes = ("--config.optimizer.schedule.kind=small_run:exploding", "--config.optimizer.schedule.after=2")
    often = ("--config.train.steps=60", "--config.train.checkpoint_every=1", "--config.train.skip_limit=5")
    assert train(tmp_path, *explodes, *often) == 1
    assert "5 updates in a row were skipped, up to step 8" in one_error(capsys)
    assert sorted(path.name for path in (tmp_path / "checkpoints" / "latest").iterdir()) == ["2", "3"]


def test_a_state_that_is_not_finite_never_replaces_one_that_is(tmp_path):
    good = {"w": jnp.ones(3), "half": jnp.ones(2, jnp.bfloat16)}
    for bad in (jnp.nan, jnp.inf):
        with Checkpoints(tmp_path, keep=1) as checkpoints:
            checkpoints.save(1, good, score=0.5)
            checkpoints.save(2, {**good, "half": good["half"].at[1].set(bad)}, score=0.7)
            with pytest.raises(CheckpointError, match=r"step 2 was not saved: half is not finite.*that of step 1"):
                checkpoints.wait()
            for which in ("latest", "best"):
                assert checkpoints.restore(good, which)[1] == 1


def test_a_failed_save_asks_the_run_to_stop(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {"w": jnp.ones(3)})
        checkpoints.wait()
        checkpoints.save(2, {"w": jnp.full(3, jnp.nan)})
        while not checkpoints.failed:
            time.sleep(0.001)
        with pytest.raises(CheckpointError, match="step 2 was not saved"):
            checkpoints.save(3, {"w": jnp.ones(3)})


def test_the_clock_may_jump(finished, tmp_path, monkeypatch):
    """Every so often by a year, forth and back, whatever the run is doing at that moment."""
    real, readings = time.time, itertools.count()
    monkeypatch.setattr(time, "time", lambda: real() + YEAR_S * (next(readings) // 40 % 2))
    assert train(tmp_path) == 0
    assert next(readings) > 120
    assert contents(tmp_path) == contents(finished)


def test_the_clock_may_jump_while_a_checkpoint_is_written(tmp_path, monkeypatch):
    """At one reading or another, which Orbax takes for a time-out of ten minutes."""
    real, readings, jump_at = time.time, itertools.count(), 0
    monkeypatch.setattr(time, "time", lambda: real() + YEAR_S * (next(readings) > jump_at))
    with Checkpoints(tmp_path) as checkpoints:
        for step in range(8):
            readings, jump_at = itertools.count(), 6 * step
            checkpoints.save(step, {"w": jnp.full(3, step)})
            checkpoints.wait()
            assert next(readings) > jump_at
            assert checkpoints.restore({"w": jnp.zeros(3, int)})[1] == step


unpickled: list[object] = []
sys.addaudithook(lambda event, arguments: unpickled.append(arguments) if event == "pickle.find_class" else None)


class Attack:
    """What writes a file when it is unpickled."""

    def __init__(self, marker: pathlib.Path):
        self.marker = marker

    def __reduce__(self):
        return pathlib.Path.touch, (self.marker,)


def test_nothing_is_ever_unpickled(tmp_path, quiet):
    files, marker = flips.make(tmp_path), tmp_path / "unpickled"
    attack = pickle.dumps(Attack(marker))
    unpickled.clear()
    for file in files:
        whole = file.read_bytes()
        file.write_bytes(attack)
        flips.outcome(tmp_path)
        file.write_bytes(whole)
    assert flips.outcome(tmp_path) == "harmless"
    assert not unpickled and not marker.exists()
    pickle.loads(attack)
    assert unpickled and marker.exists()

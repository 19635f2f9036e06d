"""Sweeps that run: rows that end well, fail or are stopped; what the next call makes of them, and the table."""

import csv
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import sweep
from stand_ins import LAUNCH
from sweep_rows import OUTCOME, Row

from mtjax.train.signals import EXIT_STOPPED

RECIPE = pathlib.Path(__file__).resolve().parents[1] / "ablate" / "small_recipe.py"
DONE = "import pathlib, sys; print('well'); pathlib.Path(sys.argv[1], 'evaluation.json').write_text('{}')"
FAILS = "print('mtjax: error: no data'); raise SystemExit(1)"
# Begins, and when it is asked to stop leaves a config, as a run does that has saved.
STOPS = """
import pathlib, signal, sys, time
def stop(*_):
    folder.joinpath("config.json").write_text("{}")
    sys.exit(75)
signal.signal(signal.SIGTERM, stop)
folder = pathlib.Path(sys.argv[1])
folder.joinpath("begun").touch()
time.sleep(60)
"""
SLEEPS = (
    "import os, pathlib, sys, time; pathlib.Path(sys.argv[1], 'begun').write_text(str(os.getpid())); time.sleep(60)"
)


def row(number, code, folder):
    folder = folder / str(number)
    return Row(number, {"a": str(number)}, folder, (sys.executable, "-c", code, str(folder)))


def wait_for(file, timeout=60):
    deadline = time.monotonic() + timeout
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_row_that_fails_ends_no_other_and_says_why(tmp_path, capsys):
    rows = [row(0, DONE, tmp_path), row(1, FAILS, tmp_path), row(2, DONE, tmp_path)]
    assert sweep.run_rows(rows, parallel=1, total=3) == 1
    assert [made.state for made in rows] == ["done", "failed", "done"]
    assert rows[1].outcome["said"] == "mtjax: error: no data" and rows[1].outcome["code"] == 1
    assert "row 1 failed with 1: mtjax: error: no data" in capsys.readouterr().out
    assert (rows[0].folder / "log.txt").read_text().splitlines()[1] == "well"


def test_a_request_to_stop_reaches_every_row_and_begins_no_other(tmp_path):
    rows = [row(number, STOPS, tmp_path) for number in range(3)]

    def ask():
        for made in rows[:2]:
            wait_for(made.folder / "begun")
        os.kill(os.getpid(), signal.SIGTERM)

    asking = threading.Thread(target=ask)
    asking.start()
    code = sweep.run_rows(rows, parallel=2, total=3)
    asking.join()
    assert code == EXIT_STOPPED
    assert [made.state for made in rows] == ["stopped", "stopped", "waiting"]
    assert [made.outcome.get("code") for made in rows] == [75, 75, None]


@pytest.mark.skipif(sys.platform != "linux", reason="asks the system for it, as only Linux knows how")
def test_a_sweep_that_is_killed_leaves_no_row_running(tmp_path):
    script = (
        f"import sys, pathlib; sys.path[:0] = [{str(LAUNCH)!r}, {str(pathlib.Path(__file__).parent)!r}]\n"
        f"import sweep, sweep_rows; folder = pathlib.Path({str(tmp_path)!r})\n"
        f"made = sweep_rows.Row(0, {{}}, folder, (sys.executable, '-c', {SLEEPS!r}, str(folder)))\n"
        "sweep.run_rows([made], 1, 1)"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL)
    try:
        wait_for(tmp_path / "begun")
        time.sleep(0.1)
        child = int((tmp_path / "begun").read_text())
    finally:
        process.kill()
        process.wait()
    status, deadline = pathlib.Path(f"/proc/{child}/status"), time.monotonic() + 10
    while status.exists() and "(zombie)" not in status.read_text():
        assert time.monotonic() < deadline, "the row outlived the sweep"
        time.sleep(0.05)


def run(workdir, *words):
    """The command in a process of its own; its exit code and all it said."""
    command = [sys.executable, str(LAUNCH / "sweep.py"), f"--config={RECIPE}", f"--workdir={workdir}", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    return done.returncode, done.stdout + done.stderr


def table(file):
    """The lines of a CSV file, each by the names of its columns."""
    return list(csv.DictReader(file.read_text().splitlines()))


@pytest.fixture(scope="module")
def failed_then_done(tmp_path_factory):
    """A sweep of two seeds. In the first call a file is in the way of one row; the second call finds it gone."""
    workdir = tmp_path_factory.mktemp("sweep")
    obstacle = workdir / "rows" / "train.seed=1" / "metrics.jsonl"
    obstacle.mkdir(parents=True)
    calls = [run(workdir, "--sweep.train.seed=0,1")]
    tables = [table(workdir / "rows.csv")]
    obstacle.rmdir()
    calls.append(run(workdir, "--sweep.train.seed=0,1"))
    tables.append(table(workdir / "rows.csv"))
    return workdir, calls, tables


@pytest.mark.slow
def test_what_failed_is_in_the_table_and_is_tried_again(failed_then_done):
    _, ((first, said), (second, said_later)), (before, after) = failed_then_done
    assert first == 1 and second == 0, said + said_later
    assert [line["state"] for line in before] == ["done", "failed"]
    assert "metrics.jsonl" in before[1]["said"] and "row 1 failed: mtjax: error" in said
    assert [line["state"] for line in after] == ["done", "done"]
    assert "row 1 of 2" in said_later and "row 0 of 2" not in said_later, "what is done is not repeated"


@pytest.mark.slow
def test_the_table_has_mean_and_spread_over_seeds_of_what_the_runs_say(failed_then_done):
    workdir, _, (_, after) = failed_then_done
    (line,) = table(workdir / "summary.csv")
    found = [json.loads((workdir / "rows" / f"train.seed={s}" / "evaluation.json").read_text())["test"] for s in (0, 1)]
    for metric in ("color/accuracy", "shade/accuracy"):
        values = [each[metric] for each in found]
        assert [float(each[metric]) for each in after] == pytest.approx(values, rel=1e-5)
        assert float(line[metric]) == pytest.approx(np.mean(values), rel=1e-5)
        assert float(line[f"{metric}_std"]) == pytest.approx(np.std(values, ddof=1), rel=1e-5)
    assert line["seeds"] == "2"
    text = (workdir / "summary.md").read_text()
    assert "| 2 of 2 |" in text and "color/accuracy ↑" in text and "±" in text


@pytest.mark.slow
def test_another_config_does_not_touch_the_rows(failed_then_done, capsys):
    workdir, _, _ = failed_then_done
    outcome = (workdir / "rows" / "train.seed=0" / OUTCOME).read_text()
    words = [f"--config={RECIPE}", f"--workdir={workdir}", "--sweep.train.seed=0,1", "--config.train.steps=3"]
    assert sweep.main(words) == 2
    assert "train.steps was 2, is 3" in capsys.readouterr().err
    assert (workdir / "rows" / "train.seed=0" / OUTCOME).read_text() == outcome

"""Runs that are really killed end as if nothing had happened: every array, every line of metrics."""

import json
import random
import signal
import time

import pytest
import runs


def kill_once_and_finish(workdir, after_step, delay):
    process = runs.start(workdir)
    runs.until(lambda: runs.steps_written(workdir) >= after_step, process)
    time.sleep(delay)
    process.kill()
    code, _ = runs.finish(process)
    assert code == -signal.SIGKILL
    assert not (workdir / "evaluation.json").exists()
    code, output = runs.finish(runs.start(workdir))
    assert code == 0, output


def test_killed_and_started_again_it_ends_bit_for_bit_the_same(folder, uninterrupted):
    kill_once_and_finish(folder / "killed", after_step=15, delay=0.01)
    assert runs.fingerprint(folder / "killed") == uninterrupted


def test_each_step_is_in_the_metrics_file_once(folder, uninterrupted):
    lines = [json.loads(line) for line in (folder / "whole" / "metrics.jsonl").read_text().splitlines()]
    training = [line["step"] for line in lines if line["split"] == "train"]
    assert training == sorted({*range(3, 61, 3), *range(10, 61, 10)})
    validation = [line for line in lines if line["split"] == "validation"]
    assert [line["step"] for line in validation] == list(range(10, 61, 10))
    assert all(f"{task}/loss" in line for line in validation for task in ("deblur", "digit", "edges"))


def test_a_finished_run_is_only_evaluated_again(folder, uninterrupted):
    (folder / "whole" / "evaluation.json").unlink()
    code, output = runs.finish(runs.start(folder / "whole"))
    assert code == 0, output
    assert runs.fingerprint(folder / "whole") == uninterrupted


def test_another_config_does_not_touch_the_run(folder, uninterrupted):
    code, output = runs.finish(runs.start(folder / "whole", "--config.optimizer.lr=5e-3"))
    assert code == 2 and "optimizer.lr" in output and len(output.strip().splitlines()) == 1
    assert runs.fingerprint(folder / "whole") == uninterrupted


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_killed_at_any_moment(folder, uninterrupted, seed):
    draw = random.Random(seed)
    workdir = folder / f"killed{seed}"
    kill_once_and_finish(workdir, after_step=draw.randrange(0, 50), delay=draw.uniform(0, 0.3))
    assert runs.fingerprint(workdir) == uninterrupted

"""A training job of two processes on this machine: it ends as one process does, and it ends when one of them dies."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import jobs
import pytest

from mtjax import cli
from mtjax.train import cluster, local
from mtjax.train.local import free_port

RECIPE = jobs.HERE / "two_process_recipe.py"


def start(workdir: pathlib.Path, *more: str, devices: int = 1) -> subprocess.Popen:
    command = [sys.executable, "-m", "mtjax.cli", "train", f"--config={RECIPE}", f"--workdir={workdir}", *more]
    environment = jobs.environment(devices, MTJAX_DATA=str(workdir.parent / "data"))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, **pipes)


def start_two(workdir: pathlib.Path, *more: str) -> subprocess.Popen:
    return start(workdir, "--local-processes=2", "--devices-per-process=2", *more)


def finish(process: subprocess.Popen, timeout: float = 300) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=timeout)
    finally:
        jobs.kill_job(process)
    return process.returncode, out, err


def lines(workdir: pathlib.Path) -> list[dict]:
    file = workdir / "metrics.jsonl"
    return [json.loads(line) for line in file.read_text().split("\n")[:-1]] if file.exists() else []


def until_it_trains(process: subprocess.Popen, workdir: pathlib.Path, timeout: float = 240) -> None:
    begin = time.monotonic()
    while not lines(workdir):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - begin < timeout
        time.sleep(0.02)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("jobs")


@pytest.fixture(scope="module")
def alone(folder):
    code, _, err = finish(start(folder / "alone", devices=4))
    assert code == 0, err
    return folder / "alone"


@pytest.fixture(scope="module")
def together(folder, alone):
    code, out, err = finish(start_two(folder / "together"))
    assert code == 0, err
    assert out.count("done: ") == 1
    return folder / "together"


def test_two_processes_train_as_one_with_as_many_devices(alone, together):
    mine, theirs = lines(alone), lines(together)
    assert [(line["step"], line["split"]) for line in theirs] == [(line["step"], line["split"]) for line in mine]
    for one, other in zip(mine, theirs, strict=True):
        numbers, others = ({k: v for k, v in line.items() if k != "split"} for line in (one, other))
        assert others == pytest.approx(numbers, rel=1e-5, abs=1e-6), one["step"]


def test_they_evaluate_as_one(alone, together):
    mine, theirs = (json.loads((workdir / "evaluation.json").read_text()) for workdir in (alone, together))
    assert theirs["step"] == mine["step"]
    for split in ("validation", "test"):
        assert "edges/f" in mine[split]  # of the whole split
        assert theirs[split] == pytest.approx(mine[split], rel=1e-5, abs=1e-6)


def test_one_of_them_writes(alone, together):
    def names(workdir):
        return {file.name for file in workdir.iterdir()}

    assert names(together) == names(alone)
    assert len(list((together / "tensorboard").iterdir())) == 1
    assert (
        json.loads((together / "config.json").read_text())["config"]
        == json.loads((alone / "config.json").read_text())["config"]
    )


def test_when_one_dies_the_job_ends_and_says_so(folder, together):
    workdir = folder / "dead"
    job = start_two(workdir)
    try:
        until_it_trains(job, workdir)
        ranks = [jobs.child(job, rank) for rank in range(2)]
        os.kill(ranks[1], signal.SIGKILL)
        begin = time.monotonic()
    except BaseException:
        jobs.kill_job(job)
        raise
    code, _, err = finish(job, timeout=60)
    assert time.monotonic() - begin < local.GRACE + 15  # and what a busy machine needs to notice
    assert code == 128 + signal.SIGKILL
    assert err.splitlines()[-1] == "mtjax: error: process 1 of 2 ended with SIGKILL"
    assert not any(pathlib.Path(f"/proc/{rank}").exists() for rank in ranks)


@pytest.mark.slow
def test_when_the_launcher_is_killed_nothing_is_left(folder, together):
    job = start_two(folder / "orphans")
    ranks = [jobs.child(job, rank) for rank in range(2)]
    jobs.kill_job(job)
    for _ in range(200):
        if not any(pathlib.Path(f"/proc/{rank}").exists() for rank in ranks):
            return
        time.sleep(0.05)
    raise AssertionError(f"{ranks} go on")


def test_devices_per_process_without_processes_is_one_line(folder, capsys):
    words = ["train", f"--config={RECIPE}", f"--workdir={folder / 'none'}", "--devices-per-process=2"]
    assert cli.main(words) == 2
    assert "--devices-per-process is for --local-processes=N" in capsys.readouterr().err


@pytest.mark.slow
def test_without_a_launcher_a_dead_peer_ends_the_run(folder, together):
    workdir, coordinator = folder / "peers", f"--coordinator=127.0.0.1:{free_port()}"
    peers = [
        start(
            workdir, coordinator, "--num-processes=2", f"--process-id={rank}", "--config.train.steps=100000", devices=2
        )
        for rank in range(2)
    ]
    try:
        until_it_trains(peers[0], workdir)
        peers[1].kill()
        begin = time.monotonic()
        peers[0].communicate(timeout=cluster.HEARTBEAT + cluster.SHUTDOWN + 30)
        print(f"ended after {time.monotonic() - begin:.1f} s with {peers[0].returncode}")
        assert peers[0].returncode not in (0, 75)
    finally:
        for peer in peers:
            jobs.kill_job(peer)


@pytest.mark.parametrize(("scripts", "first"), [(("ABRT", "KILL"), 1), (("ABRT", "ABRT"), 0), (("KILL", "TERM"), 0)])
def test_of_two_that_are_found_dead_the_one_that_aborted_is_not_the_cause(scripts, first):
    children = [subprocess.Popen(["sh", "-c", f"kill -{name} $$"]) for name in scripts]
    for child in children:
        child.wait()
    assert local._first_failed(children) == first


def test_none_failed_where_all_ended_well():
    child = subprocess.Popen(["true"])
    child.wait()
    assert local._first_failed([child]) is None

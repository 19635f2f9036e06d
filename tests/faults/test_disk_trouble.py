"""A disk that is full, or may not be written to: one line, exit code 1, and the checkpoint from before is whole."""

import contextlib
import pathlib
import resource
import shutil
import subprocess
from collections.abc import Iterator

import flips
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from disks import fill
from small_run import train

from mtjax import cli
from mtjax.train.checkpoint import CheckpointError, Checkpoints


def read_only(disk: pathlib.Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)


@contextlib.contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Inside, no file of this process may become larger."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def assert_step_1_is_whole(directory: pathlib.Path) -> None:
    template = jax.eval_shape(lambda: flips.state(0))
    with Checkpoints(directory) as checkpoints:
        state, step = checkpoints.restore(template)
    assert step == 1 and flips.bits(state) == flips.bits(flips.state(1))


def assert_one_line(capsys, *words: str) -> None:
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("mtjax: error: ") and all(word in line for word in words), line


def test_a_full_disk(disk):
    with Checkpoints(disk) as checkpoints:
        checkpoints.save(1, flips.state(1))
        checkpoints.wait()
        fill(disk)
        checkpoints.save(2, flips.state(2))
        with pytest.raises(CheckpointError, match=r"could not save step 2 .*that of step 1") as error:
            checkpoints.wait()
    assert "\n" not in str(error.value) and "no space left" in str(error.value).lower()
    assert_step_1_is_whole(disk)
    (disk / "ballast").unlink()
    with Checkpoints(disk) as checkpoints:  # the same command again, when there is room
        checkpoints.save(2, flips.state(2))
    assert sorted(path.name for path in (disk / "latest").iterdir()) == ["1", "2"]


def test_a_disk_that_fills_up_while_it_is_written_to(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, flips.state(1))
        checkpoints.wait()
        with file_size_limit(5000), pytest.raises(CheckpointError, match="could not save step 2"):
            checkpoints.save(2, flips.state(2))
            checkpoints.wait()
        assert_step_1_is_whole(tmp_path)
        checkpoints.save(2, flips.state(2))  # the limit is gone
    assert sorted(path.name for path in (tmp_path / "latest").iterdir()) == ["1", "2"]


def test_a_slow_save_is_not_torn(tmp_path):
    """The state goes on changing while it is written, and the next save waits for the end of this one."""
    state, change = {"w": jnp.zeros(3_000_000)}, jax.jit(lambda s: {"w": s["w"] + 1}, donate_argnums=0)
    with Checkpoints(tmp_path) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, state)
            changes = 0
            while not (tmp_path / "latest" / str(step)).exists():
                state = change(state)
                changes += 1
            assert changes > 0
    for step in (1, 2):
        with Checkpoints(tmp_path) as checkpoints:
            found, newest = checkpoints.restore(state)
        assert newest == 3 - step and len(np.unique(found["w"])) == 1
        shutil.rmtree(tmp_path / "latest" / str(newest))


def test_training_on_a_full_disk_is_one_line(finished, disk, capsys):
    workdir = pathlib.Path(shutil.copytree(finished, disk / "workdir"))
    shutil.rmtree(workdir / "checkpoints" / "latest" / "4")
    shutil.rmtree(workdir / "checkpoints" / "best")
    fill(disk)
    assert train(workdir) == 1
    assert_one_line(capsys, "No space left on device")
    (disk / "ballast").unlink()
    assert train(workdir) == 0


def test_a_read_only_workdir_can_be_evaluated_but_not_trained(finished, disk, capsys):
    workdir = pathlib.Path(shutil.copytree(finished, disk / "workdir"))
    read_only(disk)
    assert train(workdir) == 1
    assert_one_line(capsys, str(workdir), "Read-only file system")
    assert cli.main(["eval", f"--workdir={workdir}"]) == 0
    assert "edges" in capsys.readouterr().out


def test_checkpoints_on_a_read_only_disk_are_one_line(disk):
    with Checkpoints(disk / "checkpoints") as checkpoints:
        read_only(disk)
        with pytest.raises(CheckpointError, match=f"cannot write checkpoints to {disk}.*Read-only") as error:
            checkpoints.save(1, flips.state(1))
    assert "\n" not in str(error.value)

"""The run that nothing happened to, which the others are compared with; and no process is left behind."""

import pytest
import runs
from disks import disk
from small_run import finished, short_run

__all__ = ["disk", "finished", "short_run"]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Holds the workdirs of all runs, and their data."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def uninterrupted(folder):
    """The fingerprint of the run in FOLDER/whole."""
    code, output = runs.finish(runs.start(folder / "whole"))
    assert code == 0, output
    return runs.fingerprint(folder / "whole")


@pytest.fixture(autouse=True)
def no_process_is_left():
    yield
    for process in runs.started:
        process.kill()
        process.communicate()
    runs.started.clear()

"""One run that is asked to stop wherever it may be; each time it saves, says so with its code, and later goes on."""

import signal
import time

import pytest
import runs

from mtjax.train.signals import EXIT_STOPPED


def stop(process, times=1):
    """Asks a run to stop, which it does in seconds."""
    for _ in range(times):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.02)
    code, output = runs.finish(process, timeout=120)
    assert code == EXIT_STOPPED, output
    assert "stopped and saved" in output and "Traceback" not in output


@pytest.fixture(scope="module")
def workdir(folder):
    return folder / "stopped_everywhere"


def test_while_it_compiles_and_three_times(workdir):
    process = runs.start(workdir)
    runs.until((workdir / "config.json").exists, process)
    time.sleep(0.5)
    stop(process, times=3)
    assert runs.saved(workdir) <= 1


def test_while_it_waits_for_an_input_that_never_comes(workdir):
    process = runs.start(workdir, fault=f"hang@{runs.example_of(step=9, folder=workdir.parent)}")
    runs.until(lambda: runs.saved(workdir) == 7, process)
    time.sleep(1)
    stop(process)
    assert runs.saved(workdir) == 8


def test_while_it_validates(workdir):
    process = runs.start(workdir, fault="slow:validation")
    runs.until(lambda: runs.steps_written(workdir) == 10, process)
    stop(process)
    assert runs.saved(workdir) == 10 and runs.validated(workdir) == []


def test_in_a_step(workdir):
    process = runs.start(workdir)
    runs.until(lambda: runs.steps_written(workdir) >= 12, process)
    stop(process)
    assert 12 <= runs.saved(workdir) < 60 and runs.validated(workdir)[0] == 10


def test_while_it_is_evaluated_at_the_end(workdir):
    process = runs.start(workdir, fault="slow:test")
    runs.until(lambda: runs.validated(workdir)[-1:] == [60], process)
    time.sleep(1)
    stop(process)
    assert runs.saved(workdir) == 60 and not (workdir / "evaluation.json").exists()


def test_in_the_end_nothing_is_lost(workdir, uninterrupted):
    code, output = runs.finish(runs.start(workdir))
    assert code == 0, output
    assert runs.validated(workdir) == list(range(10, 61, 10))
    assert runs.fingerprint(workdir) == uninterrupted

"""What hangs is ended: with the stacks of all threads, a line that says what was waited for, and a code of its own."""

import subprocess
import sys
import time

import runs

from mtjax.train.watchdog import COMPILATION, EXIT_HUNG, Watchdog

HELD = """
import ctypes, time
from mtjax.train.watchdog import Watchdog
with Watchdog(1.0) as watchdog:
    watchdog.waits_for("a foreign function")
    time.sleep(0.5)
    ctypes.PyDLL(None).sleep(100)  # keeps Python's lock, so no thread of Python runs
"""


def test_an_input_that_never_comes_ends_the_run_and_the_same_command_goes_on(folder, uninterrupted):
    workdir, patience = folder / "hung", "--config.train.watchdog=5"
    process = runs.start(workdir, patience, fault=f"hang@{runs.example_of(step=9, folder=folder)}")
    runs.until(lambda: runs.saved(workdir) == 7, process)
    begin = time.monotonic()
    code, output = runs.finish(process, timeout=60)
    assert code == EXIT_HUNG == 70
    assert time.monotonic() - begin < 5 + 0.5 + 20  # the wait, a tenth of it, and what a busy machine adds
    assert (
        output.rstrip()
        .splitlines()[-1]
        .startswith("mtjax: error: waited longer than train.watchdog=5 s for the input of step 9")
    )
    assert "faulty_source.py" in output and "in next_batch" in output  # where each thread stood
    code, output = runs.finish(runs.start(workdir, patience))
    assert code == 0, output
    assert runs.fingerprint(workdir) == uninterrupted


def test_what_holds_the_lock_of_python_is_ended_too():
    done = subprocess.run([sys.executable, "-c", HELD], capture_output=True, text=True, timeout=90)
    assert done.returncode == 1 and "Timeout" in done.stderr and 'File "<string>", line 7' in done.stderr


def test_progress_in_time_is_left_alone():
    with Watchdog(0.5) as watchdog:
        for i in range(8):
            watchdog.waits_for(f"number {i}")
            time.sleep(0.1)
        watchdog.waits_for("the rest", compiles=True)
        time.sleep(0.7)  # compiling may take so much longer
    assert COMPILATION >= 600


def test_without_a_limit_there_is_no_thread():
    with Watchdog(0.0) as watchdog:
        watchdog.waits_for("ever")
        assert not watchdog._thread.is_alive()

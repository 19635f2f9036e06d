"""Two processes of one run: what happens to one of them, or to what they share, and what becomes of both."""

import json
import re
import shutil
import signal
import time

import pytest
import runs
from disks import fill

from mtjax.train.cluster import HEARTBEAT
from mtjax.train.signals import EXIT_STOPPED
from mtjax.train.watchdog import EXIT_HUNG

pytestmark = pytest.mark.slow  # a run takes as many processor seconds as two


def finish(ranks, timeout=300):
    """The exit codes of both, and all they said."""
    ended = [runs.finish(process, timeout) for process in ranks]
    return [code for code, _ in ended], "\n".join(output for _, output in ended)


@pytest.fixture(scope="module")
def pair(folder):
    """The fingerprint of the undisturbed run of two processes."""
    codes, output = finish(runs.start_ranks(folder / "pair"))
    assert codes == [0, 0], output
    return runs.fingerprint(folder / "pair")


@pytest.fixture(scope="module")
def workdir(folder):
    return folder / "disturbed_pair"


@pytest.mark.parametrize("rank", [0, 1])
def test_one_is_asked_to_stop_and_both_save_the_same_step(workdir, rank):
    before = runs.saved(workdir)
    ranks = runs.start_ranks(workdir)
    runs.until(lambda: runs.steps_written(workdir) >= before + 3, ranks[0])
    ranks[rank].send_signal(signal.SIGTERM)
    codes, output = finish(ranks)
    assert codes == [EXIT_STOPPED, EXIT_STOPPED], output
    assert output.count("stopped and saved") == 1 and "Traceback" not in output
    assert runs.saved(workdir) > before


def test_one_is_asked_to_stop_while_both_validate(workdir):
    ranks = runs.start_ranks(workdir, faults=("slow:validation", "slow:validation"))
    turn = runs.saved(workdir) // 10 * 10 + 10
    runs.until(lambda: runs.steps_written(workdir) >= turn, ranks[0])
    ranks[1].send_signal(signal.SIGTERM)
    codes, output = finish(ranks)
    assert codes == [EXIT_STOPPED, EXIT_STOPPED], output
    assert runs.saved(workdir) == turn and turn not in runs.validated(workdir)


def test_one_gets_no_input_and_both_are_ended(workdir):
    step = runs.saved(workdir) // 10 * 10 + 9
    fault = f"hang@{runs.example_of(step, workdir.parent)}"
    ranks = runs.start_ranks(workdir, "--config.train.watchdog=8", faults=(fault, fault))
    codes, output = finish(ranks, timeout=120)
    assert EXIT_HUNG in codes and 0 not in codes, output
    # Whose watchdog is the first: that of the one without an input, or of the other, which waits for it in the step.
    waited = re.findall(r"waited longer than train.watchdog=8 s for (?:the input of )?step (\d+);", output)
    assert waited and {int(number) for number in waited} <= {step, step + 1}, output


def test_one_is_killed_and_the_other_ends_in_time(workdir):
    ranks = runs.start_ranks(workdir)
    before = runs.saved(workdir)
    runs.until(lambda: runs.saved(workdir) > before, ranks[0])
    begin = time.monotonic()
    ranks[1].kill()
    codes, _ = finish(ranks, timeout=HEARTBEAT + 60)
    assert codes[0] not in (0, EXIT_STOPPED) and codes[1] == -signal.SIGKILL
    assert time.monotonic() - begin < HEARTBEAT + 30


def test_the_newest_checkpoint_is_damaged_and_both_go_on_from_the_one_before(workdir):
    newest = runs.saved(workdir)
    files = (workdir / "checkpoints" / "latest" / str(newest)).rglob("*")
    largest = max((file for file in files if file.is_file()), key=lambda file: file.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    ranks = runs.start_ranks(workdir)
    runs.until(lambda: runs.steps_written(workdir) < newest, ranks[0])  # it has gone back
    runs.until(lambda: runs.steps_written(workdir) >= newest, ranks[0])
    ranks[1].send_signal(signal.SIGTERM)
    codes, output = finish(ranks)
    assert codes == [EXIT_STOPPED, EXIT_STOPPED], output
    assert f"checkpoint of step {newest} is damaged and not used" in output


def test_in_the_end_nothing_is_lost(workdir, pair):
    codes, output = finish(runs.start_ranks(workdir))
    assert codes == [0, 0], output
    assert runs.fingerprint(workdir) == pair


def test_one_has_a_batch_that_is_not_finite_and_both_skip_the_step(folder, pair):
    workdir = folder / "pair_with_nan"
    fault = f"nan@{runs.example_of(step=9, folder=folder)}"  # which one of the two reads
    codes, output = finish(runs.start_ranks(workdir, faults=(fault, fault)))
    assert codes == [0, 0], output
    assert "step 9 changed nothing: the loss of edges is nan" in output
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    training = {line["step"]: line for line in lines if line["split"] == "train"}
    assert training[6]["skipped"] == 0 and training[9]["skipped"] == 1 and training[60]["skipped"] == 6


def test_one_cannot_read_an_example_and_the_other_ends_in_time(folder, pair):
    workdir = folder / "pair_with_a_broken_example"
    fault = f"broken@{runs.example_of(step=9, folder=folder)}"
    begin = time.monotonic()
    codes, output = finish(runs.start_ranks(workdir, faults=(fault, fault)), timeout=HEARTBEAT + 120)
    assert 1 in codes and 0 not in codes and "cannot read example" in output
    assert time.monotonic() - begin < HEARTBEAT + 90
    codes, output = finish(runs.start_ranks(workdir))
    assert codes == [0, 0], output
    assert runs.fingerprint(workdir) == pair


def test_both_refuse_the_run_of_another_config(folder, pair):
    codes, output = finish(runs.start_ranks(folder / "pair", "--config.optimizer.lr=5e-3"))
    assert codes == [2, 2] and "optimizer.lr" in output and "Traceback" not in output
    assert runs.fingerprint(folder / "pair") == pair


def test_the_disk_is_full_for_both(folder, pair, disk):
    workdir = disk / "pair"
    shutil.copytree(folder / "pair", workdir, ignore=shutil.ignore_patterns("60", "evaluation.json"))
    (disk / "data").symlink_to(folder / "data")
    before = runs.saved(workdir)
    fill(disk)
    codes, output = finish(runs.start_ranks(workdir), timeout=HEARTBEAT + 120)
    assert 1 in codes and 0 not in codes and "No space left on device" in output
    assert runs.saved(workdir) == before
    (disk / "ballast").unlink()
    codes, output = finish(runs.start_ranks(workdir))
    assert codes == [0, 0], output
    assert runs.fingerprint(workdir) == pair


def test_the_clock_jumps_for_both(folder, pair):
    workdir = folder / "pair_with_a_clock"
    codes, output = finish(runs.start_ranks(workdir, faults=("clock", "clock")))
    assert codes == [0, 0], output
    assert runs.fingerprint(workdir) == pair

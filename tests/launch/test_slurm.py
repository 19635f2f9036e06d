"""The Slurm scripts, among stand-ins for srun and scontrol: what is run, what a signal does, what is queued again."""

import json
import os
import re
import signal

import pytest
from stand_ins import LAUNCH, Place, finish, until

# As srun does: SIGTERM goes to the tasks, and the exit code is theirs.
SRUN = """
while [[ $1 == --* ]]; do shift; done
"$@" & task=$!
trap 'kill -TERM $task' TERM
wait $task; code=$?
while kill -0 $task 2>/dev/null; do wait $task; code=$?; done
exit $code
"""
# Options of sbatch that the scripts may use, and what their values look like.
DIRECTIVES = {
    "job-name": r"[\w-]+", "nodes": r"\d+", "ntasks": r"\d+", "ntasks-per-node": r"\d+", "gpus-per-node": r"\d+",
    "cpus-per-task": r"\d+", "time": r"\d\d:\d\d:\d\d", "signal": r"TERM@\d+", "requeue": "", "open-mode": "append",
    "output": r"[\w%.-]+",
}  # fmt: skip


@pytest.fixture
def place(tmp_path):
    """A checkout with a trainer that ends as $ENDS says, or saves for a while and ends with 75 when it gets SIGTERM."""
    made = Place(tmp_path)
    (tmp_path / "launch").symlink_to(LAUNCH)
    made.command("srun", SRUN)
    made.command("scontrol")
    body = """
    trap 'sleep 0.5; echo saved; exit 75' TERM
    touch begun
    for ((i = 0; i < 400; i++)); do [[ -z $ENDS ]] || exit $ENDS; sleep 0.05; done
    """
    for name in ("mtjax", "python"):
        made.command(name, body, tmp_path / ".venv" / "bin" / name)
    return made


def variables(place, ends=""):
    return {"SLURM_SUBMIT_DIR": str(place.root), "SLURM_JOB_ID": "17", "SLURM_ARRAY_TASK_ID": "3", "ENDS": ends}


@pytest.mark.parametrize(("ends", "requeued"), [("0", []), ("75", [["requeue", "17"]]), ("1", []), ("70", [])])
def test_a_run_that_stopped_and_saved_is_queued_again_and_no_other(place, ends, requeued):
    code, output = place.run("slurm.sbatch", "--config=a b.py", "--workdir=w", **variables(place, ends))
    assert code == int(ends), output
    assert place.calls("scontrol") == requeued
    assert place.calls("mtjax") == [["train", "--config=a b.py", "--workdir=w"]]
    assert place.calls("srun")[0][0] == "--kill-on-bad-exit=0"


def test_sigterm_reaches_the_run_which_saves_before_the_script_ends(place):
    process = place.start("slurm.sbatch", "--config=a.py", **variables(place))
    until((place.root / "begun").exists, process)
    process.send_signal(signal.SIGTERM)
    code, output = finish(process)
    assert code == 75, output
    assert output.splitlines() == ["saved", "stopped and saved; queued again as job 17"]
    assert place.calls("scontrol") == [["requeue", "17"]]


def test_a_task_of_an_array_is_one_row_of_the_sweep(place):
    code, _ = place.run("slurm_sweep.sbatch", "--config=a.py", "--sweep.x=1,2", **variables(place, "75"))
    assert code == 75
    assert place.calls("python") == [["launch/sweep.py", "--row=3", "--config=a.py", "--sweep.x=1,2"]]
    assert place.calls("scontrol") == [["requeue", "17"]]


def test_outside_of_slurm_it_says_what_is_missing(place):
    code, output = place.run("slurm.sbatch", SLURM_SUBMIT_DIR="")
    assert code != 0 and "is set by sbatch" in output


def test_the_one_task_of_a_node_is_given_all_its_gpus(place):
    body = "printenv JAX_LOCAL_DEVICE_IDS || echo unset"
    place.command("mtjax", body, place.root / ".venv" / "bin" / "mtjax")
    for more, said in (({"SLURM_GPUS_ON_NODE": "4"}, "0,1,2,3"), ({}, "unset")):
        assert place.run("slurm.sbatch", **variables(place), **more)[1].strip() == said
    each = {"SLURM_GPUS_ON_NODE": "4", "SLURM_NTASKS_PER_NODE": "4"}
    assert place.run("slurm.sbatch", **variables(place), **each)[1].strip() == "unset"


# Two tasks, with the variables by which a process learns of its peers.
TWO_TASKS = """
while [[ $1 == --* ]]; do shift; done
export SLURM_STEP_NODELIST=127.0.0.1 SLURM_STEP_NUM_NODES=1 SLURM_STEP_NUM_TASKS=2 SLURM_NTASKS=2
for SLURM_PROCID in 0 1; do
  SLURM_PROCID=$SLURM_PROCID SLURM_LOCALID=$SLURM_PROCID "$@" & tasks[SLURM_PROCID]=$!
done
trap 'kill -TERM ${tasks[0]}' TERM
worst=0
for task in ${tasks[@]}; do
  wait $task; code=$?
  while kill -0 $task 2>/dev/null; do wait $task; code=$?; done
  ((code > worst)) && worst=$code
done
exit $worst
"""


@pytest.mark.slow
def test_two_real_tasks_stop_together_are_queued_again_and_go_on(tmp_path):
    place = Place(tmp_path)
    for name in ("launch", ".venv"):
        (tmp_path / name).symlink_to(LAUNCH.parent / name)
    place.command("srun", TWO_TASKS)
    place.command("scontrol")
    recipe, workdir = LAUNCH.parent / "tests" / "faults" / "recipe.py", tmp_path / "run"
    job = {"SLURM_SUBMIT_DIR": str(tmp_path), "SLURM_JOB_ID": str(os.getpid()), "MTJAX_DATA": str(tmp_path / "data")}
    words = (f"--config={recipe}", f"--workdir={workdir}", "--config.train.steps=120")
    process, metrics = place.start("slurm.sbatch", *words, **job), workdir / "metrics.jsonl"
    until(lambda: metrics.is_file() and metrics.stat().st_size > 0, process, timeout=500)
    process.send_signal(signal.SIGTERM)
    code, output = finish(process, timeout=300)
    assert code == 75, output
    assert "Slurm step" in output and "stopped and saved" in output and "Traceback" not in output
    assert place.calls("scontrol") == [["requeue", job["SLURM_JOB_ID"]]]
    code, output = finish(place.start("slurm.sbatch", *words, **job), timeout=500)
    assert code == 0, output
    steps = [json.loads(line) for line in metrics.read_text().splitlines()]
    steps = [line["step"] for line in steps if line["split"] == "train"]
    assert steps[-1] == 120 and steps == sorted(set(steps)), "each step once"


@pytest.mark.parametrize("script", ["slurm.sbatch", "slurm_sweep.sbatch"])
def test_directives_are_those_of_sbatch(script):
    lines = (LAUNCH / script).read_text().splitlines()
    given = [line.removeprefix("#SBATCH --").partition("=") for line in lines if line.startswith("#SBATCH")]
    assert {name for name, _, _ in given} >= {"signal", "requeue", "open-mode", "output"}
    for name, _, value in given:
        assert re.fullmatch(DIRECTIVES[name], value), f"{name}={value}"
    first_command = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    assert not any(line.startswith("#SBATCH") for line in lines[first_command:]), "sbatch reads no further"

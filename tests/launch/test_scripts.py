"""What holds for every script: its syntax, and that it says where it was run."""

import re
import shutil
import subprocess

import pytest
from stand_ins import LAUNCH, Place

SCRIPTS = sorted([*LAUNCH.glob("*.sh"), *LAUNCH.glob("*.sbatch")])
CLUSTER = ("slurm.sbatch", "slurm_sweep.sbatch", "tpu_vm.sh", "Dockerfile", "gke_jobset.yaml", "local.sh")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_syntax(script):
    subprocess.run(["bash", "-n", script], check=True)


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck_has_nothing_to_say():
    subprocess.run(["shellcheck", "--shell=bash", "--external-sources", *SCRIPTS], check=True, cwd=LAUNCH.parent)


@pytest.mark.parametrize("name", CLUSTER)
def test_the_header_says_what_was_run_where(name):
    header = "".join(re.findall(r"^#.*\n", (LAUNCH / name).read_text(), flags=re.MULTILINE))
    assert "never" in header or "Run as it stands" in header
    for test in re.findall(r"tests/[\w/]+\.py", header):
        assert (LAUNCH.parent / test).is_file(), test


@pytest.mark.slow
def test_local_processes(tmp_path):
    place = Place(tmp_path)
    (tmp_path / "launch").mkdir()
    shutil.copy(LAUNCH / "local.sh", tmp_path / "launch")
    place.command("mtjax", "exit 75", tmp_path / ".venv" / "bin" / "mtjax")
    code, _ = place.run(str(tmp_path / "launch" / "local.sh"), "--config=a b.py", PROCESSES="3")
    assert code == 75
    assert place.calls("mtjax") == [["train", "--local-processes=3", "--devices-per-process=2", "--config=a b.py"]]

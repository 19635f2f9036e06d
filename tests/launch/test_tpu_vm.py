"""The TPU script, with a stand-in for gcloud."""

import pytest
from stand_ins import Place

SLICE = ["--zone=us-west4-a"]


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    made.command("gcloud", 'exit "${ENDS:-0}"')
    return made


def test_a_slice_is_made_and_deleted(place):
    assert place.run("tpu_vm.sh", "create", TPU="t", SPOT="1")[0] == 0
    assert place.run("tpu_vm.sh", "delete", TPU="t")[0] == 0
    tpu = ["compute", "tpus", "tpu-vm"]
    kind = ["--accelerator-type=v5litepod-8", "--version=v2-alpha-tpuv5-lite", "--spot"]
    assert place.calls("gcloud") == [[*tpu, "create", "t", *SLICE, *kind], [*tpu, "delete", "t", *SLICE, "--quiet"]]


def test_a_command_runs_on_every_host_and_its_exit_code_is_that_of_the_script(place):
    code, _ = place.run("tpu_vm.sh", "run", "train", "--config=a b.py", ENDS="75")
    assert code == 75
    ((*words, command),) = place.calls("gcloud")
    assert words == ["compute", "tpus", "tpu-vm", "ssh", "mtjax", *SLICE, "--worker=all"]
    assert command == "--command=cd mtjax && .venv/bin/mtjax 'train' '--config=a b.py'"


def test_what_is_installed_is_the_last_commit_with_its_pinned_packages(place, tmp_path):
    code, output = place.run("tpu_vm.sh", "install", NFS="10.0.0.2:/runs", TMPDIR=str(tmp_path))
    assert code == 0, output
    sent, install, mount = place.calls("gcloud")
    assert sent[3] == "scp" and sent[-1] == "--worker=all"
    assert "-c constraints.txt -e .[tpu]" in install[-1] and "\n" not in install[-1]
    assert "mount -t nfs 10.0.0.2:/runs /mnt/shared" in mount[-1]
    assert not list(tmp_path.glob("mtjax-*")), "the archive is removed"


@pytest.mark.parametrize("words", [["create"], ["install"], ["run", "doctor", "--workdir=a b"], ["delete"]])
def test_a_dry_run_prints_what_a_run_would_do_and_does_none_of_it(place, words, tmp_path):
    code, output = place.run("tpu_vm.sh", "--dry-run", *words, TMPDIR=str(tmp_path))
    assert code == 0 and not place.calls("gcloud")
    script = tmp_path / "printed.sh"
    script.write_text("\n".join(line for line in output.splitlines() if line.startswith("gcloud")))
    (tmp_path / "printed").mkdir()
    printed = Place(tmp_path / "printed")
    printed.command("gcloud")
    assert printed.run(str(script))[0] == 0
    place.run("tpu_vm.sh", *words, TMPDIR=str(tmp_path))
    assert without_archive(printed.calls("gcloud")) == without_archive(place.calls("gcloud"))


def without_archive(calls):
    """The calls, without the temporary file, whose name differs between two."""
    return [[word for word in call if not word.endswith(".tar.gz")] for call in calls]


def test_another_word_is_one_line_and_code_2(place):
    code, output = place.run("tpu_vm.sh", "--dry-run", "destroy")
    assert code == 2 and output.count("\n") == 1 and "destroy" in output

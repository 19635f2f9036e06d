"""`mtjax doctor`: what it says of this machine, and of one where something is really broken."""

import errno
import os
import resource
import subprocess
import sys

import jax
import pytest

from mtjax.doctor import command, examine, machine, probes
from mtjax.doctor.finding import Finding


def doctor(*words, **environ):
    """Exit code and output of the command in a process of its own."""
    whole = {**os.environ, "PYTHONWARNINGS": "error", **environ}
    run = [sys.executable, "-m", "mtjax.cli", "doctor", *words]
    done = subprocess.run(run, env=whole, capture_output=True, text=True, timeout=240)
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stdout


def by_name(findings):
    return {finding.what: finding for finding in findings}


def test_a_machine_that_works_is_said_to_work(tmp_path):
    several = ("--local-processes=2", "--devices-per-process=2")
    code, output = doctor(f"--workdir={tmp_path / 'not' / 'there' / 'yet'}", *several)
    assert code == 0, output
    assert f"jax {jax.__version__}" in output
    assert "4 × cpu" in output and "2, with 2 devices in this one" in output
    assert "over 4 devices, the sum is right" in output
    assert "written and read back" in output and "whole or not at all" in output
    assert "nothing is broken" in output
    assert not list(tmp_path.iterdir()), "it leaves nothing behind"


def test_what_is_broken_gets_a_line_each_and_code_1(tmp_path):
    (tmp_path / "file").write_text("in the way")
    code, output = doctor(
        f"--workdir={tmp_path / 'file' / 'run'}", JAX_COMPILATION_CACHE_DIR=str(tmp_path / "file" / "x")
    )
    assert code == 1
    assert "✗ folder: choose another --workdir" in output
    assert "! cache: the cache folder cannot be used" in output
    assert "1 broken" in output


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"XLA_FLAGS": "--a=1 --xla_force_host_platform_device_count=8"}, "forces 8 host devices"),
        ({"JAX_NUM_CPU_DEVICES": "4"}, "forces 4 host devices"),
        ({"JAX_ENABLE_X64": "True"}, "float64 is on"),
        ({"JAX_DISABLE_JIT": "1"}, "nothing is compiled"),
        ({"https_proxy": "http://user:secret@proxy"}, "no_proxy"),
    ],
)
def test_variables_that_matter(environ, said):
    (finding,) = machine.environment(environ)
    assert said in finding.advice and finding.mark == "!"
    assert "secret" not in finding.found


def test_variables_that_do_no_harm():
    environ = {"JAX_ENABLE_X64": "0", "XLA_FLAGS": "--xla_dump_to=x", "JAX_NUM_CPU_DEVICES": "1", "HOME": "/root"}
    found = machine.environment(environ)
    assert [finding.what for finding in found] == ["JAX_ENABLE_X64", "JAX_NUM_CPU_DEVICES", "XLA_FLAGS"]
    assert {finding.mark for finding in found} == {"✓"}


@pytest.mark.parametrize(("tasks", "devices", "said"), [("1(x2)", 1, "1 of the 8"), ("8(x2)", 1, ""), ("1", 8, "")])
def test_gpus_that_slurm_gave_and_no_task_uses(tasks, devices, said):
    advice = machine.idle(devices, {"SLURM_GPUS_ON_NODE": "8", "SLURM_STEP_TASKS_PER_NODE": tasks})
    assert said in advice and bool(said) == bool(advice)
    assert machine.idle(devices, {}) == ""


@pytest.mark.parametrize(
    ("environ", "said"),
    [({}, "pip install"), ({"JAX_PLATFORMS": "cpu"}, "unset"), ({"CUDA_VISIBLE_DEVICES": ""}, "hides every GPU")],
)
def test_a_gpu_that_jax_does_not_use(tmp_path, environ, said):
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    assert said in machine.unused("cpu", {"PATH": str(tmp_path), **environ})
    assert machine.unused("gpu", {"PATH": str(tmp_path), **environ}) == ""


def test_a_folder_that_takes_no_checkpoint_is_broken(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))  # as a quota would: larger files cannot be written
    try:
        (finding,) = probes.folder(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert finding.broken and os.strerror(errno.EFBIG) in finding.found
    assert not list(tmp_path.iterdir())


def test_a_cache_that_is_off_or_cold_or_warm(tmp_path):
    from jax.experimental.compilation_cache import compilation_cache

    before = jax.config.jax_compilation_cache_dir
    try:
        jax.config.update("jax_compilation_cache_dir", str(tmp_path))
        compilation_cache.reset_cache()
        assert probes.cache().mark == "✓" and list(tmp_path.iterdir()), "the first call writes"
        assert probes.cache().mark == "✓", "the second finds it there"
        jax.config.update("jax_compilation_cache_dir", None)
        assert probes.cache().found == "off"
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
        compilation_cache.reset_cache()


def test_rates_are_those_of_a_device():
    (finding,) = probes.arithmetic()
    assert 1e-4 < float(finding.found.split()[0]) < 100
    assert machine.cpus() <= os.cpu_count() and machine.memory() > 2**28


def test_a_look_that_fails_ends_no_other(tmp_path, monkeypatch):
    def fails(environ):
        raise RuntimeError("no backend\nfor you")

    monkeypatch.setattr(command, "devices", fails)
    found = dict(examine(tmp_path, {}))
    (finding,) = found["machine"]
    assert finding == Finding("machine", "RuntimeError: no backend", finding.advice, broken=True)
    assert f"raised at {__file__}:" in finding.advice
    assert by_name(found["speed"])["all-reduce"].mark == "✓"

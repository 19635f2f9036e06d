"""The switch for deterministic kernels is set before JAX starts, or refused."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import pytest

from mtjax import config
from mtjax.registry import ConfigError
from mtjax.train.deterministic import FLAG, be_deterministic

QUICKSTART = str(pathlib.Path(__file__).resolve().parents[2] / "configs" / "quickstart.py")
# A whole training needs the switch no earlier than `run`: reading the config must not start JAX.
FRESH = f"""
import os
from mtjax import config
from mtjax.train.deterministic import be_deterministic
resolved, _ = config.resolve(config.read({QUICKSTART!r}), ["--config.deterministic=True"])
be_deterministic() if resolved.deterministic else None
import jax
print(jax.numpy.ones(3).sum(), os.environ["XLA_FLAGS"])
"""


def test_it_is_in_time_after_the_config_was_read():
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    done = subprocess.run([sys.executable, "-c", FRESH], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["3.0", "--xla_force_host_platform_device_count=2", FLAG]


def test_too_late_is_one_line(monkeypatch):
    jax.devices()
    monkeypatch.setenv("XLA_FLAGS", "")
    with pytest.raises(ConfigError, match="comes too late") as error:
        be_deterministic()
    assert FLAG in str(error.value) and "\n" not in str(error.value)
    monkeypatch.setenv("XLA_FLAGS", FLAG)
    be_deterministic()  # it was set by whoever started the process


def test_it_is_part_of_the_config_and_of_its_record(tmp_path):
    raw = config.read(QUICKSTART)
    assert config.resolve(raw)[0].deterministic is False
    resolved, overrides = config.resolve(raw, ["--config.deterministic"])
    assert resolved.deterministic is True and overrides == {"deterministic": True}
    written = json.loads(config.save(resolved, overrides, tmp_path).read_text())
    assert written["config"]["deterministic"] is True and config.load(tmp_path).deterministic is True
    with pytest.raises(ConfigError, match="deterministic"):
        config.resolve(raw, ["--config.deterministic=often"])

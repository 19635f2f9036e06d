"""Shapes are checked in every test, and compiled programs are kept between runs, but not all of them in memory."""

import os
import pathlib

CACHE = pathlib.Path(__file__).resolve().parent.parent / ".cache"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax  # noqa: E402
import pytest  # noqa: E402
from jaxtyping import install_import_hook  # noqa: E402

install_import_hook("mtjax", "beartype.beartype")

MAPS = pathlib.Path("/proc/self/maps")
LESS = "--xla_backend_optimization_level=1"
MANY = 30_000  # of the 65,530 pieces of memory that Linux gives a process; a training step takes over a thousand


def pytest_configure(config):
    """Has XLA optimize less, here and in child processes: most tests compile for far longer than they compute.

    Not at all would be level 0, at which some gradients of training steps became NaN (jaxlib 0.10.2, CPU).
    """
    if config.option.markexpr == "not slow":  # the slow tests are those that compute
        os.environ["XLA_FLAGS"] = " ".join([LESS, *os.environ.get("XLA_FLAGS", "").split()])


@pytest.fixture(autouse=True)
def room_for_programs():
    """Forgets compiled programs when there are so many that one of the next would abort the process."""
    yield
    if MAPS.exists() and MAPS.read_bytes().count(b"\n") > MANY:
        jax.clear_caches()

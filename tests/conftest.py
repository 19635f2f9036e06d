"""Shapes are checked in every test, and compiled programs are kept between runs."""

import os
import pathlib

CACHE = pathlib.Path(__file__).resolve().parent.parent / ".cache"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

from jaxtyping import install_import_hook  # noqa: E402

install_import_hook("mtjax", "beartype.beartype")

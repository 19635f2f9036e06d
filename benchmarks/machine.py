"""What a measurement was taken on, in the line that each table begins with."""

import datetime
import os

import jax


def described() -> str:
    """The date, the cores that this process may use, how busy they are, the version of JAX and the device."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f"load {os.getloadavg()[0]:.1f}"
    return f"{datetime.date.today()}, {cores} cores, {load}, jax {jax.__version__}, {jax.devices()[0].device_kind}"

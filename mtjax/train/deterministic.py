"""The same bits from every run on a GPU too: XLA's switch for it, set before JAX starts."""

import os

from jax._src import xla_bridge

from mtjax.registry import ConfigError

FLAG = "--xla_gpu_deterministic_ops=true"


def be_deterministic() -> None:
    """Makes XLA use deterministic GPU kernels only; nothing changes on CPUs and TPUs, which have no others.

    Raises:
        ConfigError: JAX has started already, and XLA reads its flags once.
    """
    flags = os.environ.get("XLA_FLAGS", "").split()
    if FLAG in flags:
        return
    if xla_bridge.backends_are_initialized():
        raise ConfigError(f"deterministic=True comes too late, JAX has started already; set XLA_FLAGS={FLAG} instead")
    os.environ["XLA_FLAGS"] = " ".join([*flags, FLAG])

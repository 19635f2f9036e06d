"""What the processes of one run say to each other; with one process, all of it is free.

Each function must be called by every process, in the same order.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np


def is_main() -> bool:
    """Whether this is the process that writes files which only one may write."""
    return jax.process_index() == 0


def barrier(name: str) -> None:
    """Returns when every process has come here."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        with jax.transfer_guard("allow"):
            multihost_utils.sync_global_devices(name)


@contextlib.contextmanager
def main_first(name: str) -> Iterator[None]:
    """Inside, the main process is alone; the others go in when it has come out, by an exception too."""
    if not is_main():
        barrier(name)
    try:
        yield
    finally:
        if is_main():
            barrier(name)


def from_main(value: Any) -> Any:
    """The numbers or arrays that the main process has, on every process, as NumPy."""
    if jax.process_count() == 1:
        return jax.tree.map(np.asarray, value)
    from jax.experimental import multihost_utils

    with jax.transfer_guard("allow"):
        return multihost_utils.broadcast_one_to_all(value)


def on_any(flag: bool) -> bool:
    """Whether the flag is up on any process."""
    if jax.process_count() == 1:
        return flag
    from jax.experimental import multihost_utils

    with jax.transfer_guard("allow"):
        return bool(np.any(multihost_utils.process_allgather(np.asarray(flag))))


def whole(tree: Any) -> Any:
    """Every array whole on every process, as NumPy, however it is split over devices."""
    if jax.process_count() == 1:
        return jax.device_get(tree)
    from jax.experimental import multihost_utils

    with jax.transfer_guard("allow"):
        return multihost_utils.process_allgather(tree, tiled=True)

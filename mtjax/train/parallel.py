"""One step, compiled for all devices: by sharding annotations (`jit`), or by `pmap`, with the same results.

The state is on every device; the batch is split along its leading axis. The loop sees only `Compiled`.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXIS = "data"


class Compiled(NamedTuple):
    """A compiled step, and how its arguments get to the devices and its metrics back.

    place_state: a copy of a state, on every device.
    place_batch: a host batch (of the global batch, this process's part), split over the devices.
    run: `(state, batch) -> (state, metrics)`; the state that is passed in is used up where it is donated.
    fetch: metrics as NumPy arrays; waits until they are computed.
    """

    place_state: Callable[[Any], Any]
    place_batch: Callable[[Any], Any]
    run: Callable[[Any, Any], Any]
    fetch: Callable[[Any], Any]


def mesh(num_devices: int | None = None) -> Mesh:
    """A one-dimensional mesh of all devices, or of the first `num_devices`, with the axis "data"."""
    devices = jax.devices()[:num_devices]
    return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def place_batch(batch: Any, devices: Mesh | None = None, mode: str = "jit") -> Any:
    """A host batch (of the global batch, this process's part), split over the devices along its leading axis.

    Raises:
        ValueError: the devices cannot share it equally.
    """
    devices = devices or mesh()
    local = len(devices.local_devices)
    for leaf in jax.tree.leaves(batch):
        if leaf.shape[0] % local:
            raise ValueError(
                f"a batch of {leaf.shape[0]} examples cannot be shared by {local} devices: "
                f"data.batch_size and data.eval_batch_size must be multiples of {local} per process"
            )
    if mode == "pmap":  # the axis that pmap takes away is one of devices
        batch = jax.tree.map(lambda leaf: leaf.reshape(local, -1, *leaf.shape[1:]), batch)
    return jax.make_array_from_process_local_data(NamedSharding(devices, PartitionSpec(AXIS)), batch)


def traced_freely(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which may make constants while it is traced: the loop's guard is against those of running steps."""

    @functools.wraps(function)
    def traced(*args: Any, **kwargs: Any) -> Any:
        with jax.transfer_guard("allow"):
            return function(*args, **kwargs)

    return traced


def compile_step(
    step: Callable[..., Any], mode: Literal["jit", "pmap"] = "jit", donate: bool = True, num_devices: int | None = None
) -> Compiled:
    """Compiles `step(state, batch, axis_name=None) -> (state, metrics)`, whose outputs are equal on all devices.

    With `jit` the step is written for the global batch and XLA finds the communication. With `pmap` the step sees one
    device's part of the batch, is given `axis_name="data"`, and does its own `psum`s.

    Args:
        step: the step, or with `donate=False` anything else of a state and a batch.
        mode: "jit" or "pmap".
        donate: whether the new state takes the memory of the old one.
        num_devices: the first so many devices; all by default.

    Raises:
        ValueError: an unknown mode.
    """
    step = traced_freely(step)
    devices = mesh(num_devices)
    everywhere, split = NamedSharding(devices, PartitionSpec()), NamedSharding(devices, PartitionSpec(AXIS))
    donated = (0,) if donate else ()
    if mode == "jit":
        run = jax.jit(step, in_shardings=(everywhere, split), out_shardings=everywhere, donate_argnums=donated)
    elif mode == "pmap":
        run = jax.pmap(
            functools.partial(step, axis_name=AXIS),
            axis_name=AXIS,
            in_axes=(None, 0),
            out_axes=None,
            donate_argnums=donated,
            devices=list(devices.devices.flat),
        )
    else:
        raise ValueError(f'mode must be "jit" or "pmap", got {mode!r}')

    @jax.jit
    def copy(state: Any) -> Any:
        return jax.tree.map(jnp.copy, state)

    def run_and_start_fetching(state: Any, batch: Any) -> Any:
        state, metrics = run(state, batch)
        for leaf in jax.tree.leaves(metrics):
            leaf.copy_to_host_async()
        return state, metrics

    return Compiled(
        # Without the copy, donation would delete the caller's state; `device_put` shares memory even if told not to.
        place_state=lambda state: jax.device_put(copy(state), everywhere),
        place_batch=functools.partial(place_batch, devices=devices, mode=mode),
        run=run_and_start_fetching,
        fetch=jax.device_get,
    )

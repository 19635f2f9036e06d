"""One step, compiled for all devices: by sharding annotations (`jit`), or by `pmap`, with the same results.

The batch is split over the devices along its leading axis; the state is on every device, or split over them too. The
loop sees only `Compiled`. Results agree up to the order in which floats are added: about 1e-6 of a value.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from mtjax.registry import ConfigError
from mtjax.typing import Array

AXIS = "data"  # of the mesh; the batch is split along it
MODEL = "model"  # the other axis; along it, devices work on the same examples
SMALL = 4096  # elements; to split fewer saves less than it costs to bring them together


@dataclasses.dataclass(frozen=True)
class Layout:
    """What lies on which device.

    mesh: all devices, with the axes "data" and "model". shard: "replicated", the state whole on every device; "full",
    each of its large arrays (parameters, their average, optimizer, weighting) split over all devices.
    """

    mesh: Mesh
    shard: str = "replicated"

    @property
    def everywhere(self) -> NamedSharding:
        """Whole on every device."""
        return NamedSharding(self.mesh, PartitionSpec())

    @property
    def split(self) -> NamedSharding:
        """Split along the leading axis, as batches are."""
        return NamedSharding(self.mesh, PartitionSpec(AXIS))

    def of(self, tree: Any) -> Any:
        """The sharding of every array of a state, or of their shapes."""
        return jax.tree.map(self._of_array, tree)

    def _of_array(self, array: Any) -> NamedSharding:
        """Along the largest axis that the devices can share equally, if there is one."""
        axes = [axis for axis, size in enumerate(array.shape) if size and size % self.mesh.size == 0]
        if self.shard == "replicated" or array.size < SMALL or not axes:
            return self.everywhere
        largest = max(axes, key=lambda axis: array.shape[axis])
        return NamedSharding(self.mesh, PartitionSpec(*[None] * largest, (AXIS, MODEL)))

    def place(self, tree: Any) -> Any:
        """A state where it belongs: itself if it is there already, else, by way of the host, from where it is.

        Its arrays are whole on every process, or on the devices of all.
        """
        shardings = self.of(tree)
        if all(map(_lies, jax.tree.leaves(tree), jax.tree.leaves(shardings))):
            return tree
        with jax.transfer_guard("allow"):
            return jax.tree.map(_from_host, tree, shardings)


def layout(num_devices: int | None = None, model: int = 1, shard: str = "replicated") -> Layout:
    """All devices, or the first `num_devices`, and how the state lies on them.

    Raises:
        ConfigError: the devices of a process cannot be grouped by `model`, or grouping them would gain nothing.
    """
    devices = jax.devices()[:num_devices]
    local = sum(device.process_index == jax.process_index() for device in devices)
    if local % model:
        raise ConfigError(f"train.mesh.model={model}: expected a divisor of the {local} devices of a process")
    if model > 1 and shard == "replicated":
        raise ConfigError(
            f"train.mesh.model={model} would do the same work {model} times; expected 1, or train.mesh.shard='full'"
        )
    shape = (len(devices) // model, model)
    return Layout(jax.make_mesh(shape, (AXIS, MODEL), axis_types=(AxisType.Auto,) * 2, devices=devices), shard)


def _lies(array: Any, wanted: NamedSharding) -> bool:
    return isinstance(array, jax.Array) and array.sharding.is_equivalent_to(wanted, array.ndim)


def _from_host(array: Any, wanted: NamedSharding) -> Array:
    if isinstance(array, jax.Array) and jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key):
        data = _from_host(jax.random.key_data(array), wanted)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(array))
    whole = np.asarray(array)
    return jax.make_array_from_callback(whole.shape, wanted, lambda index: whole[index])


class Compiled(NamedTuple):
    """A compiled step, and how its arguments get to the devices and its metrics back.

    place_state: a copy of a state, on the devices.
    place_batch: a host batch (of the global batch, this process's part), split over the devices.
    run: `(state, batch) -> (state, metrics)`; the state that is passed in is used up where it is donated.
    fetch: metrics as NumPy arrays; waits until they are computed.
    """

    place_state: Callable[[Any], Any]
    place_batch: Callable[[Any], Any]
    run: Callable[[Any, Any], Any]
    fetch: Callable[[Any], Any]


def place_batch(batch: Any, devices: Layout | None = None, mode: str = "jit") -> Any:
    """A host batch (of the global batch, this process's part), split over the devices along its leading axis.

    Raises:
        ValueError: the devices cannot share it equally.
    """
    devices = devices or layout()
    local = len(devices.mesh.local_devices) // devices.mesh.shape[MODEL]
    for leaf in jax.tree.leaves(batch):
        if leaf.shape[0] % local:
            raise ValueError(
                f"a batch of {leaf.shape[0]} examples cannot be shared by {local} devices: "
                f"data.batch_size and data.eval_batch_size must be multiples of {local} per process"
            )
    if mode == "pmap":  # the axis that pmap takes away is one of devices
        batch = jax.tree.map(lambda leaf: leaf.reshape(local, -1, *leaf.shape[1:]), batch)
    with jax.transfer_guard("allow"):  # of several processes, each makes an array of its devices, then one of those
        return jax.make_array_from_process_local_data(devices.split, batch)


def traced_freely(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which may make constants while it is traced: the loop's guard is against those of running steps."""

    @functools.wraps(function)
    def traced(*args: Any, **kwargs: Any) -> Any:
        with jax.transfer_guard("allow"):
            return function(*args, **kwargs)

    return traced


def traced_on(mesh: Mesh, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which finds the mesh in context while it is traced: see `physics/sharding.py`."""

    @functools.wraps(function)
    def traced(*args: Any, **kwargs: Any) -> Any:
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return function(*args, **kwargs)

    return traced


def compile_whole(function: Callable[..., Any], devices: Layout) -> Callable[..., Any]:
    """The function, compiled; what it gives is whole on every device, so that every process can fetch it."""
    return jax.jit(traced_freely(function), out_shardings=devices.everywhere)


def compile_step(
    step: Callable[..., Any],
    mode: Literal["jit", "pmap"] = "jit",
    donate: bool = True,
    devices: Layout | None = None,
) -> Compiled:
    """Compiles `step(state, batch, axis_name=None) -> (state, metrics)`, whose metrics are equal on all devices.

    With `jit` the step is written for the global batch and XLA finds the communication. With `pmap` the step sees one
    device's part of the batch, is given `axis_name="data"`, and does its own `psum`s.

    Args:
        step: the step, or with `donate=False` anything else of a state and a batch.
        mode: "jit" or "pmap".
        donate: whether the new state takes the memory of the old one.
        devices: all of them, each with the whole state, by default.

    Raises:
        ConfigError: pmap with a state that is split.
        ValueError: an unknown mode.
    """
    devices = devices or layout()
    donated = (0,) if donate else ()
    if mode == "jit":
        run = _jit(traced_freely(step), devices, donated)
    elif mode != "pmap":
        raise ValueError(f'mode must be "jit" or "pmap", got {mode!r}')
    elif devices.shard != "replicated":
        raise ConfigError(
            f"train.mode='pmap' has the whole state on every device, not train.mesh.shard={devices.shard!r}"
        )
    else:
        run = _pmap(step, devices, donated)

    def place_state(state: Any) -> Any:
        # Without the copy, donation would delete the caller's state.
        return jax.jit(_copy, out_shardings=devices.of(state))(devices.place(state))

    def run_and_start_fetching(state: Any, batch: Any) -> Any:
        state, metrics = run(state, batch)
        for leaf in jax.tree.leaves(metrics):
            leaf.copy_to_host_async()
        return state, metrics

    return Compiled(
        place_state=place_state,
        place_batch=functools.partial(place_batch, devices=devices, mode=mode),
        run=run_and_start_fetching,
        fetch=jax.device_get,
    )


def _jit(step: Callable[..., Any], devices: Layout, donated: tuple[int, ...]) -> Callable[..., Any]:
    """The step as XLA compiles it, when the first state says what its arrays are."""
    programs: list[Callable[..., Any]] = []

    def run(state: Any, batch: Any) -> Any:
        if not programs:
            own, traced = devices.of(state), traced_on(devices.mesh, step)
            ins, outs = (own, devices.split), (own, devices.everywhere)
            programs.append(jax.jit(traced, in_shardings=ins, out_shardings=outs, donate_argnums=donated))
        return programs[0](state, batch)

    return run


def _pmap(step: Callable[..., Any], devices: Layout, donated: tuple[int, ...]) -> Callable[..., Any]:
    run = jax.pmap(
        functools.partial(traced_freely(step), axis_name=AXIS),
        axis_name=AXIS,
        in_axes=(None, 0),
        out_axes=None,
        donate_argnums=donated,
        devices=list(devices.mesh.devices.flat),
    )
    # Of several processes, each passes pmap a state of its own, which it moves, unasked, into one of all.
    return run if jax.process_count() == 1 else traced_freely(run)


def _copy(tree: Any) -> Any:
    return jax.tree.map(jnp.copy, tree)

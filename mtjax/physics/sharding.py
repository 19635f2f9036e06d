"""What the mesh in context says of images: its axis "data" splits a batch, its axis "rows" the rows of each image.

XLA splits by itself what it does pixel by pixel, but brings all examples together for a Fourier transform, on every
device. So where there is such a mesh, what is done example by example says so (`by_example`):

    with jax.set_mesh(jax.make_mesh((8,), ("data",), (AxisType.Auto,))):
        y = jax.device_put(y, PartitionSpec("data"))
        x = jax.jit(solvers.admm)(y, A, solvers.TotalVariation(1e-3)).image

A mesh is part of what JAX compiles for: a function compiled without one is not used with one. Of images that are split
by rows see `split_image.py`.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, PartitionSpec

DATA = "data"
ROWS = "rows"


def row_mesh(num_devices: int | None = None) -> Mesh:
    """A mesh with the axis "rows" of all devices, or of the first `num_devices`."""
    devices = jax.devices()[:num_devices]
    return jax.make_mesh((len(devices),), (ROWS,), axis_types=(AxisType.Auto,), devices=devices)


def parts(axis: str) -> int:
    """Over how many devices the mesh in context splits images along "data" or "rows": 1 where it does not.

    So inside of `shard_map` or `pmap` over that axis, where each device sees its part alone. ValueError if an axis
    "rows" is of JAX's explicit kind, by which every operation would have to be told how to split what it gives.
    """
    mesh = jax.sharding.get_abstract_mesh()
    kind = dict(zip(mesh.axis_names, mesh.axis_types, strict=True)).get(axis)
    if axis == ROWS and kind == AxisType.Explicit:
        raise ValueError('the axis "rows" of the mesh is explicit; expected AxisType.Auto, as from physics.row_mesh()')
    return mesh.shape[axis] if kind == AxisType.Auto else 1


def by_example(function: Callable[..., Any], *arrays: Any) -> Any:
    """`function(*arrays)`, of images `[B, ..., H, W, C]` and what else there is of each, `[B, ...]`, to `[B, ...]`.

    Each device does its own examples. Where the mesh in context has no axis "data", or its devices cannot share the
    examples equally, all do all.
    """
    if not _shared(arrays[0]):
        return function(*arrays)
    split = PartitionSpec(DATA)
    # Unchecked, since it is the same for all devices what a loop inside starts from, and not what it comes to.
    return jax.shard_map(function, in_specs=split, out_specs=split, axis_names={DATA}, check_vma=False)(*arrays)


def by_rows(function: Callable[..., Any], array: Any, before: int, after: int) -> Any:
    """`function(array)` by each device, of its part of an array that is split along one axis, -3 or -2, to another.

    Its examples too are split, where the mesh in context says so.
    """

    def split(axis: int) -> PartitionSpec:
        names: list[Any] = [None] * array.ndim
        names[axis] = ROWS
        if _shared(array):
            names[0] = DATA
        return PartitionSpec(*names)

    axes = {ROWS, DATA} if _shared(array) else {ROWS}
    return jax.shard_map(function, in_specs=split(before), out_specs=split(after), axis_names=axes)(array)


def _shared(array: Any) -> bool:
    """Whether devices share the examples of `[B, ..., H, W, C]`."""
    count = parts(DATA)
    return count > 1 and array.ndim > 3 and array.shape[0] % count == 0

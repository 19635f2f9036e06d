"""What is written down of a state beside its arrays, by which a checkpoint is later trusted, refused or called damaged.

Of every array its path, dtype, shape and SHA-256; the run's metadata; and the SHA-256 of all that.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding

from mtjax.train import distributed

FORMAT = 1


class DamagedError(Exception):
    """A checkpoint is not what was saved."""


def named_leaves(state: Any) -> dict[str, Any]:
    """The leaves by their paths, such as `params/encoder/conv/kernel`."""
    leaves: dict[str, Any] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if name in leaves or not hasattr(leaf, "dtype"):
            what = "two leaves have this path" if name in leaves else f"expected an array, got {type(leaf).__name__}"
            raise ValueError(f"state cannot be a checkpoint: {name}: {what}")
        leaves[name] = leaf
    return leaves


def _is_key(leaf: Any) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _spec(leaf: Any) -> dict[str, Any]:
    return {"dtype": str(leaf.dtype), "shape": list(leaf.shape)}


def _digest(data: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(data).view(np.uint8).data if data.size else b"").hexdigest()


def _whole(leaf: Any) -> Any:
    """All of an array in this process; where its parts are in several, every process must call this."""
    if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:
        return leaf
    return leaf.addressable_data(0) if leaf.is_fully_replicated else distributed.whole(leaf)


def to_host(leaves: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, dict[str, Any]]]:
    """Copies of the arrays, which outlive the donation of the originals, and what describes each.

    Every process must call this, and only the main one gets the arrays.
    """
    data, specs = {}, {}
    for name, leaf in leaves.items():
        specs[name] = _spec(leaf)
        if _is_key(leaf):
            specs[name]["impl"] = str(jax.random.key_impl(leaf))
            leaf = jax.random.key_data(leaf)
        specs[name]["stored"] = _spec(leaf)
        data[name] = leaf = _whole(leaf)
        if isinstance(leaf, jax.Array) and distributed.is_main():
            leaf.copy_to_host_async()
    if not distributed.is_main():
        return {}, specs
    return {name: np.array(jax.device_get(leaf)) for name, leaf in data.items()}, specs


def to_device(data: np.ndarray, spec: Mapping[str, Any], like: Any) -> jax.Array:
    """An array as it was before `to_host`, on the devices of one like it if that is spread over a mesh."""
    sharding = getattr(like, "sharding", None)
    if isinstance(sharding, NamedSharding):
        array = jax.make_array_from_callback(data.shape, sharding, lambda part: data[part])
    else:
        array = jax.device_put(data)
    return jax.random.wrap_key_data(array, impl=spec["impl"]) if "impl" in spec else array


def not_finite(arrays: Mapping[str, np.ndarray]) -> str | None:
    """The first array that holds an infinity or a NaN; None if there is none."""
    inexact = (name for name, array in arrays.items() if jax.numpy.issubdtype(array.dtype, np.inexact))
    return next((name for name in inexact if not np.isfinite(arrays[name]).all()), None)


def _seal(record: Mapping[str, Any]) -> str:
    """SHA-256 of the record's canonical JSON, itself left out."""
    content = {name: value for name, value in record.items() if name != "seal"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def make_record(
    arrays: Mapping[str, np.ndarray], specs: Mapping[str, Any], step: int, score: float | None, metadata: Any
) -> dict[str, Any]:
    """The record of a state's arrays, as JSON can hold it."""
    leaves = {name: {**spec, "sha256": _digest(arrays[name])} for name, spec in specs.items()}
    record = {"format": FORMAT, "step": step, "score": score, "metadata": metadata, "leaves": leaves}
    return {**record, "seal": _seal(record)}


def verify_record(record: Any) -> None:
    """Raises DamagedError if a record is not what was written."""
    if not isinstance(record, dict) or record.get("seal") != _seal(record):
        raise DamagedError("its record does not match its own digest")


def verify_arrays(record: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Raises DamagedError, naming the first array that is not there or differs from its digest."""
    for name, spec in record["leaves"].items():
        if name not in arrays:
            raise DamagedError(f"{name} is missing")
        if _digest(arrays[name]) != spec["sha256"]:
            raise DamagedError(f"{name} does not match its digest")


def difference(record: Mapping[str, Any], template: Mapping[str, Any], metadata: Mapping[str, Any]) -> str | None:
    """What makes a good checkpoint another run's, in one line; None if it fits."""

    def show(spec: Mapping[str, Any]) -> str:
        return f"{spec['dtype']}{spec['shape']}"

    if record["format"] != FORMAT:  # a newer version's, which is not to be taken for damaged and replaced
        return f"its format is {record['format']}, and this version of mtjax reads format {FORMAT}"
    for name in sorted({*record["metadata"], *metadata}):
        saved, now = record["metadata"].get(name), metadata.get(name)
        if json.dumps(saved) != json.dumps(now):  # as text: the order of tasks is that of arrays in the state
            return f"{name} is {saved} there and {now} here"
    saved = {name: {"dtype": s["dtype"], "shape": s["shape"]} for name, s in record["leaves"].items()}
    now = {name: _spec(leaf) for name, leaf in template.items()}
    lines = [f"{name} is not there" for name in now if name not in saved]
    lines += [f"{name} is not here" for name in saved if name not in now]
    lines += [
        f"{name} is {show(saved[name])} there and {show(now[name])} here"
        for name in now
        if name in saved and saved[name] != now[name]
    ]
    return lines[0] + (f", and {len(lines) - 1} more differences" if lines[1:] else "") if lines else None

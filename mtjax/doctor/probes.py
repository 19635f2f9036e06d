"""Whether what a run relies on works here. Nothing is taken on trust: each of these does it."""

import os
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mtjax.doctor.finding import Finding, gib, plural
from mtjax.registry import one_line

SIZE = 64 * 2**20  # bytes of the file that is written
LOW = 2 * 2**30  # bytes of free space below which a run may end for want of them


def all_reduce() -> Finding:
    """A sum over all devices of all processes, whose value is known."""
    import jax
    from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

    count, split = jax.device_count(), PartitionSpec("all")
    everything = Mesh(np.asarray(jax.devices()), ("all",), axis_types=(AxisType.Auto,))
    numbers = np.arange(count, dtype=np.int32)
    placed = jax.make_array_from_callback((count,), NamedSharding(everything, split), lambda index: numbers[index])
    add = jax.jit(
        jax.shard_map(lambda x: jax.lax.psum(x, "all"), mesh=everything, in_specs=split, out_specs=PartitionSpec())
    )
    total = int(np.asarray(add(placed).addressable_data(0))[0])
    if total != numbers.sum():
        said = f"of {numbers.sum()}, {total} arrived"
        return Finding("all-reduce", said, "the devices do not reach each other: look at NCCL_DEBUG=INFO", broken=True)
    took = 1e6 * seconds(lambda: add(placed))
    return Finding("all-reduce", f"{took:.0f} µs over {plural(count, 'device')}, the sum is right")


def arithmetic() -> list[Finding]:
    """What one device multiplies per second: float32, and bfloat16 where that has hardware of its own."""
    import jax
    import jax.numpy as jnp

    on_cpu = jax.local_devices()[0].platform == "cpu"
    size = 1024 if on_cpu else 8192

    def rate(dtype: Any) -> float:
        matrix = jax.device_put(jnp.full((size, size), 1 / size, dtype), jax.local_devices()[0])
        multiply = jax.jit(lambda m: m @ m)
        return 2 * size**3 / seconds(lambda: multiply(matrix))

    kinds = (jnp.float32,) if on_cpu else (jnp.float32, jnp.bfloat16)
    return [
        Finding(f"matmul {jnp.dtype(kind).name}", f"{rate(kind) / 1e12:.3g} TFLOP/s, {size}×{size}, one device")
        for kind in kinds
    ]


def seconds(call: Callable[[], Any], times: int = 7) -> float:
    """The median time of a call, after one that compiles."""
    import jax

    taken = []
    for _ in range(times + 1):
        begin = time.perf_counter()
        jax.block_until_ready(call())
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken[1:])


def cache() -> Finding:
    """Compiles one small program twice: what the first call writes, the second must find."""
    import jax

    def setting(name: str) -> Any:
        return getattr(jax.config, name)

    place, what = setting("jax_compilation_cache_dir"), "cache"
    if not place or not setting("jax_enable_compilation_cache"):
        return Finding(what, "off", "every start compiles anew: JAX_COMPILATION_CACHE_DIR=DIR keeps programs")
    hits: list[str] = []

    def listen(event: str, **_: Any) -> None:
        hits.extend([event] * event.endswith("/cache_hits"))

    least = "jax_persistent_cache_min_compile_time_secs"
    before = setting(least)
    jax.config.update(least, 0.0)
    jax.monitoring.register_event_listener(listen)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # JAX warns where a cache does not work; the finding says so
            for _ in range(2):
                hits.clear()
                jax.jit(lambda x: x + 1).lower(0.0).compile()
    finally:
        jax.monitoring.unregister_event_listener(listen)
        jax.config.update(least, before)
    if hits:
        return Finding(what, f"{place}: written and read back")
    said = f"{place}: what was written is not found again"
    return Finding(what, said, f"the cache folder cannot be used, every start compiles anew: is {place} writable?")


def folder(workdir: Path) -> list[Finding]:
    """Writes, syncs, renames and reads back a file where checkpoints will be, and leaves nothing there."""
    workdir = workdir.absolute()
    here = next(place for place in (workdir, *workdir.parents) if place.exists())
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=here) as scratch:
            took, renamed = write_and_rename(Path(scratch))
    except OSError as error:
        advice = "choose another --workdir, or make room and give the right to write there"
        return [Finding("folder", f"{here}: {one_line(error)}", advice, broken=True)]
    free = shutil.disk_usage(here).free
    advice = "" if renamed else "a save that is interrupted may look whole: use a file system with atomic renames"
    return [
        Finding("folder", str(here)),
        Finding("write", f"{SIZE / took / 1e6:.0f} MB/s, {SIZE >> 20} MiB with fsync in {took:.2g} s"),
        Finding("rename", "whole or not at all" if renamed else "not whole", advice, broken=not renamed),
        Finding("free", gib(free), "little room: a run that cannot save stops" if free < LOW else ""),
    ]


def write_and_rename(scratch: Path) -> tuple[float, bool]:
    """Seconds to write and sync a file; whether renames move a folder, and replace a file, with all that is in it."""
    draft, content = scratch / "draft", np.random.default_rng(0).bytes(SIZE)
    draft.mkdir()
    begin = time.perf_counter()
    with (draft / "array").open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    took = time.perf_counter() - begin
    (scratch / "array").write_bytes(b"old")
    draft.rename(scratch / "saved")
    os.replace(scratch / "saved" / "array", scratch / "array")
    left = {entry.name for entry in scratch.iterdir()}
    return took, left == {"saved", "array"} and (scratch / "array").read_bytes() == content

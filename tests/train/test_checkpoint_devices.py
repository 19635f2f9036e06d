"""A state spread over devices and processes is saved whole, and fits any other number of them, bit for bit."""

import os
import pathlib
import resource
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from mtjax.train.checkpoint import CheckpointError, Checkpoints

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPREAD = {"rows": PartitionSpec("data"), "columns": PartitionSpec(None, "data"), "keys": PartitionSpec("data")}


def numbers(step: int) -> dict[str, jax.Array]:
    """A state on one device; `odd` divides by no number of devices."""
    key = jax.random.key(step)
    return {
        "rows": jax.random.normal(key, (8, 3)),
        "columns": jax.random.normal(key, (2, 4)).astype(jnp.bfloat16),
        "keys": jax.random.split(key, 4),
        "odd": jnp.arange(7) + step,
    }


def spread(step: int, devices: list[jax.Device]) -> dict[str, jax.Array]:
    """The same state spread over a mesh of devices."""
    mesh = jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)
    shardings = {name: NamedSharding(mesh, SPREAD.get(name, PartitionSpec())) for name in numbers(step)}
    return jax.jit(lambda: numbers(step), out_shardings=shardings)()


def assert_parts_are(state: dict[str, jax.Array], step: int) -> None:
    """Every part on this process's devices has the bits of the state of that step."""
    for name, whole in numbers(step).items():
        parts = state[name]
        if name == "keys":
            whole, parts = jax.random.key_data(whole), jax.random.key_data(parts)
        for shard in parts.addressable_shards:
            assert np.asarray(shard.data).tobytes() == np.asarray(whole)[shard.index].tobytes(), name


def restored(directory: pathlib.Path, template: dict[str, jax.Array], step: int) -> None:
    with Checkpoints(directory) as checkpoints:
        found = checkpoints.restore(template)
    assert found is not None and found[1] == step
    for name, leaf in template.items():
        if isinstance(leaf.sharding, NamedSharding):
            assert found[0][name].sharding.is_equivalent_to(leaf.sharding, leaf.ndim), name
    assert_parts_are(found[0], step)


def check_devices(directory: pathlib.Path) -> None:
    """In one process with four devices: saved from 1, on to 2, to 4, to 1."""
    counts = [1, 2, 4]
    for step, (saved, read) in enumerate(zip(counts, [2, 4, 1], strict=True), 1):
        with Checkpoints(directory) as checkpoints:
            checkpoints.save(step, spread(step, jax.devices()[:saved]))
        restored(directory, spread(0, jax.devices()[:read]), step)


def check_process(directory: pathlib.Path, port: str, number: str) -> None:
    """One of two processes with two devices each: restores what one process saved, saves, fails, as one."""
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, int(number), initialization_timeout=60)
    assert jax.process_count() == 2 and len(jax.devices()) == 4
    restored(directory, spread(0, jax.devices()), 3)
    with Checkpoints(directory) as checkpoints:
        # Only the main process's score counts, so that all take the same way.
        checkpoints.save(4, spread(4, jax.devices()), score=1.0 if jax.process_index() == 0 else None)
        assert checkpoints.restore(spread(0, jax.devices()), "best")[1] == 4
    assert [path.name for path in (directory / "best").iterdir()] == ["4"]
    if jax.process_index() == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, -1))
    try:
        with Checkpoints(directory) as checkpoints:
            checkpoints.save(5, spread(5, jax.devices()))
            checkpoints.save(6, spread(6, jax.devices()))
        raise AssertionError("both saves went through")
    except CheckpointError as error:
        print("refused:", error, flush=True)
    restored(directory, spread(0, jax.devices()), 4)
    jax.distributed.shutdown()


def start(*arguments: str, devices: int) -> subprocess.Popen:
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": str(devices), "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, __file__, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, env=environment, **pipes)


def outputs(*processes: subprocess.Popen) -> list[str]:
    """What the processes said; all must end well, and none is left behind."""
    try:
        said = [process.communicate(timeout=200)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    for process, output in zip(processes, said, strict=True):
        assert process.returncode == 0, output
    return said


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Checkpoints that went from 1 device to 2 and to 4."""
    directory = tmp_path_factory.mktemp("devices")
    outputs(start("check_devices", str(directory), devices=4))
    return directory


def test_another_number_of_devices(directory):
    restored(directory, numbers(0), 3)


def test_two_processes_read_write_and_fail_together(directory):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    pair = [start("check_process", str(directory), port, number, devices=2) for number in "01"]
    lines = [[line for line in said.splitlines() if line.startswith("refused: ")] for said in outputs(*pair)]
    assert lines[0] == lines[1] and len(lines[0]) == 1
    assert "could not save step 5" in lines[0][0] and "the last good checkpoint is that of step 4" in lines[0][0]
    restored(directory, numbers(0), 4)


if __name__ == "__main__":
    function, *arguments = sys.argv[1:]
    {"check_devices": check_devices, "check_process": check_process}[function](
        pathlib.Path(arguments[0]), *arguments[1:]
    )

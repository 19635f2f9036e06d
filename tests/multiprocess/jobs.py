"""Starts the processes of one job on this machine, and what they do when they only talk to each other."""

import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def environment(devices: int, **more: str) -> dict[str, str]:
    """The variables of a process with so many CPU devices."""
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests", ROOT / "tests" / "train")))
    return {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices), "PYTHONPATH": paths, **more}


def talk(count: int, devices: int, folder: pathlib.Path, timeout: float = 300) -> list[dict]:
    """What each of `count` processes, with so many devices, finds in `findings`."""
    from mtjax.train.local import free_port

    port, files = free_port(), [folder / f"{count}_{rank}.json" for rank in range(count)]
    command = [sys.executable, str(HERE / "jobs.py"), str(port), str(count)]
    processes = [
        subprocess.Popen(
            [*command, str(rank), str(file)],
            env=environment(devices),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank, file in enumerate(files)
    ]
    try:
        said = [process.communicate(timeout=timeout)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * count, "\n".join(said)
    return [json.loads(file.read_text()) for file in files]


def findings(folder: pathlib.Path) -> dict:
    """What this process says, hears and computes as one of the job."""
    import jax
    import numpy as np
    import test_parallel

    from mtjax.train import distributed
    from mtjax.train.parallel import layout, place_batch

    rank, count = jax.process_index(), jax.process_count()
    found: dict = {"main": distributed.is_main()}
    found["from main"] = distributed.from_main({"a": np.arange(2) + rank})["a"].tolist()
    found["on any"] = [distributed.on_any(rank == count - 1), distributed.on_any(False)]
    with distributed.main_first("a file"):
        if rank == 0:
            time.sleep(0.5)
            (folder / f"{count}_first").touch()
        found["second"] = (folder / f"{count}_first").exists()
    distributed.barrier("all")
    size = test_parallel.B // count
    part = slice(rank * size, (rank + 1) * size)
    batch = place_batch({name: leaf[part] for name, leaf in test_parallel.toy_batch(0).items() if name != "valid"})
    digest = hashlib.sha256()
    for name, leaf in sorted(distributed.whole(batch).items()):
        digest.update(name.encode() + leaf.tobytes())
    found["batch"] = digest.hexdigest()
    for name, mode, devices in (
        ("jit", "jit", layout()),
        ("split", "jit", layout(shard="full")),
        ("pmap", "pmap", layout()),
    ):
        state, losses = test_parallel.train(mode, devices, part=part)
        again = devices.place(state)
        assert again["w"].sharding.is_equivalent_to(devices.of(state)["w"], 2)
        found[name] = [losses.tolist(), distributed.whole(again["w"]).tolist()]
    return found


def child(launcher: subprocess.Popen, rank: int) -> int:
    """The process id of one rank of a launcher's job; waits until it is there."""
    for _ in range(600):
        for number in pathlib.Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split():
            if f"--process-id={rank}".encode() in pathlib.Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0"):
                return int(number)
        time.sleep(0.05)
    raise AssertionError(f"process {rank} was not started")


def kill_job(launcher: subprocess.Popen) -> None:
    """Ends what is left of a job; its processes end with the launcher."""
    if launcher.poll() is None:
        launcher.send_signal(signal.SIGKILL)
    launcher.communicate(timeout=60)


if __name__ == "__main__":
    from mtjax.train import cluster

    port, count, rank = map(int, sys.argv[1:4])
    if count > 1:
        cluster.join(cluster.Setting("flags", "deactivate", f"127.0.0.1:{port}", count, rank))
    pathlib.Path(sys.argv[4]).write_text(json.dumps(findings(pathlib.Path(sys.argv[4]).parent)))

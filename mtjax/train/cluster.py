"""Which processes make up a run: given by flags, or told by Slurm, Open MPI, Kubernetes or Cloud TPU.

Nothing is joined because some variable exists: a shell in a Slurm allocation, a notebook in a pod or a TPU VM of one
host trains alone.
"""

import glob
import importlib.util
import sys
from collections.abc import Mapping
from typing import NamedTuple

from mtjax.registry import ConfigError

START = 300  # seconds in which all processes must have come together
HEARTBEAT = 30  # seconds of silence after which a process counts as dead, and with it the run
SHUTDOWN = 30  # seconds that a process waits for the others at its end


class Setting(NamedTuple):
    """How a process finds the others.

    found: who told, for people. method: what `jax.distributed.initialize` calls it, None where it has no name for it;
    it finds out what is None here.
    coordinator: "HOST:PORT" of process 0. processes: how many there are. process: the number of this one, from 0.
    """

    found: str
    method: str | None
    coordinator: str | None = None
    processes: int | None = None
    process: int | None = None


def detect(environ: Mapping[str, str], tpu: bool = False) -> Setting | None:
    """What the environment says of other processes of this run; None if there are none.

    Args:
        environ: the variables of the process.
        tpu: whether the machine has TPU chips, see `has_tpu`.

    Raises:
        ConfigError: a variable that should be a number is none.
    """
    tpu = tpu and "tpu" in environ.get("JAX_PLATFORMS", "tpu")
    return _slurm(environ) or _open_mpi(environ) or (_cloud_tpu(environ) if tpu else _kubernetes(environ))


def has_tpu() -> bool:
    """Whether JAX would find TPU chips here; asks no device, since that must not be done before `join`."""
    chips = glob.glob("/dev/accel[0-9]*") or glob.glob("/dev/vfio/[0-9]*")
    return bool(chips) and importlib.util.find_spec("libtpu") is not None


def chosen(
    detected: Setting | None, coordinator: str | None, processes: int | None, process: str | None
) -> Setting | None:
    """What the flags say, and what was detected where they say nothing; None if this process trains alone.

    Raises:
        ConfigError: the flags do not fit together, or something is missing.
    """
    if processes == 1 and coordinator is None and process is None:
        return None
    if coordinator is None and processes is None and process is None:
        if detected is not None and detected.method == "open-mpi-5":
            raise ConfigError(f"{detected.found} does not tell where process 0 is; give --coordinator=HOST:PORT")
        if detected is not None and detected.method is None and importlib.util.find_spec("kubernetes") is None:
            raise ConfigError(
                f"{detected.found}: give --coordinator, --num-processes and --process-id, or install jax[k8s]; "
                "--num-processes=1 trains alone"
            )
        return detected
    known = detected or Setting("flags", "deactivate")
    processes = known.processes if processes is None else processes
    number = known.process if process is None else _number(process, "--process-id")
    if coordinator is None or processes is None or number is None:
        raise ConfigError("--coordinator=HOST:PORT, --num-processes=N and --process-id=I are given together")
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(f"--coordinator={coordinator}: expected HOST:PORT")
    if number >= processes:
        raise ConfigError(f"--process-id={number}: expected 0 to {processes - 1}, since --num-processes={processes}")
    return Setting("flags", "deactivate", coordinator, processes, number)


def join(setting: Setting) -> None:
    """Meets the other processes; before anything asks JAX for a device.

    A process that dies later ends the others within about HEARTBEAT seconds, by SIGABRT.
    """
    import jax

    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM from `mtjax.train.signals`
    if setting.method != "deactivate":
        print(f"mtjax: {setting.found} found", file=sys.stderr)
    jax.distributed.initialize(
        setting.coordinator,
        setting.processes,
        setting.process,
        cluster_detection_method=setting.method,
        initialization_timeout=START,
        heartbeat_timeout_seconds=HEARTBEAT,
        shutdown_timeout_seconds=SHUTDOWN,
    )


def _slurm(environ: Mapping[str, str]) -> Setting | None:
    """A step of `srun` with several tasks.

    `SLURM_NTASKS` is no sign of one: a batch script and a shell of `salloc` have it too, with one process.
    """
    needed = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_LOCALID")
    if not all(name in environ for name in needed):
        return None
    count, process = (_number(environ[name], name) for name in ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"))
    return Setting(f"Slurm step of job {environ['SLURM_JOB_ID']}", "slurm", None, count, process) if count > 1 else None


def _open_mpi(environ: Mapping[str, str]) -> Setting | None:
    """A process of `mpirun`; only before version 5 did Open MPI tell where the first one is."""
    names = ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK")
    if not all(name in environ for name in names):
        return None
    count, process = (_number(environ[name], name) for name in names)
    method = "ompi" if "OMPI_MCA_orte_hnp_uri" in environ else "open-mpi-5"
    return Setting("Open MPI", method, None, count, process) if count > 1 else None


def _kubernetes(environ: Mapping[str, str]) -> Setting | None:
    """A pod of an indexed job; any pod has KUBERNETES_SERVICE_HOST. How many there are, only the cluster knows."""
    if "KUBERNETES_SERVICE_HOST" not in environ or "JOB_COMPLETION_INDEX" not in environ:
        return None
    process = _number(environ["JOB_COMPLETION_INDEX"], "JOB_COMPLETION_INDEX")
    return Setting("a pod of an indexed Kubernetes job", None, None, None, process)


def _cloud_tpu(environ: Mapping[str, str]) -> Setting | None:
    """A host of several with TPU chips: GKE names them all, a TPU VM asks its metadata server, which may know one."""
    hosts = environ.get("TPU_PROCESS_ADDRESSES") or environ.get("TPU_WORKER_HOSTNAMES")
    if hosts is not None:
        slices = _number(environ.get("MEGASCALE_NUM_SLICES") or "1", "MEGASCALE_NUM_SLICES")
        count = len(hosts.split(",")) * slices
        return Setting("Cloud TPU on GKE", "gketpu", None, count) if count > 1 else None
    return None if "TPU_SKIP_MDS_QUERY" in environ else Setting("Cloud TPU VM", "gcetpu")


def _number(text: str, name: str) -> int:
    if not text.isdigit():
        raise ConfigError(f"{name}={text!r} is not a number of 0 or more")
    return int(text)

"""What this machine is: versions, devices, CPUs, memory, and variables that change what JAX does."""

import os
import platform
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from mtjax.doctor.finding import Finding, gib, plural
from mtjax.record import versions

PREFIXES = ("JAX_", "XLA_", "CUDA_", "NVIDIA_VISIBLE", "NCCL_", "TPU_", "LIBTPU_", "MTJAX_")  # what is worth a look
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
ADVICE = {
    "JAX_DISABLE_JIT": "nothing is compiled, which is very slow: unset JAX_DISABLE_JIT",
    "JAX_DEBUG_NANS": "each result is fetched and looked at, which is slow: unset JAX_DEBUG_NANS for long runs",
    "JAX_ENABLE_X64": "float64 is on: twice the memory, and much slower on accelerators",
}
CPUS = 2  # per accelerator, for reading and augmenting


def software() -> list[Finding]:
    """Versions of Python and of the packages that results depend on."""
    known = {"python": platform.python_version(), **versions()}
    return [Finding("versions", ", ".join(f"{name} {version}" for name, version in known.items()))]


def devices(environ: Mapping[str, str]) -> list[Finding]:
    """The devices of all processes, the processes, and whether an accelerator is there that JAX does not use."""
    import jax

    from mtjax.train import cluster

    local = jax.local_devices()
    kinds = Counter(device.device_kind for device in jax.devices())
    stats = local[0].memory_stats() or {}
    each = f", {gib(stats['bytes_limit'])} each" if "bytes_limit" in stats else ""
    shown = ", ".join(f"{count} × {kind}" for kind, count in kinds.items()) + each
    found = cluster.detect(environ, cluster.has_tpu())
    told = f", {found.found} found" if found else ""
    processes = f"{jax.process_count()}, with {plural(len(local), 'device')} in this one{told}"
    advice = unused(local[0].platform, environ) or idle(len(local), environ)
    return [Finding("devices", shown, advice), Finding("processes", processes)]


def unused(backend: str, environ: Mapping[str, str]) -> str:
    """What to do if this machine has an accelerator and JAX runs on its CPU; "" if there is nothing to be done."""
    nvidia, tpu = shutil.which("nvidia-smi", path=environ.get("PATH")), any(Path("/dev").glob("accel[0-9]*"))
    if backend != "cpu" or not (nvidia or tpu):
        return ""
    chosen = environ.get("JAX_PLATFORMS", "")
    if chosen == "cpu":
        return "JAX_PLATFORMS=cpu keeps JAX from the accelerator that is there: unset it"
    if nvidia and environ.get("CUDA_VISIBLE_DEVICES") == "":
        return "CUDA_VISIBLE_DEVICES is empty and hides every GPU: unset it"
    extra = "cuda" if nvidia else "tpu"
    why = "nvidia-smi is there" if nvidia else "/dev/accel* is there"
    hint = "; LD_LIBRARY_PATH may hide its CUDA" if nvidia and environ.get("LD_LIBRARY_PATH") else ""
    return f"no accelerator found although {why}: pip install -c constraints.txt -e .[{extra}]{hint}"


def idle(devices: int, environ: Mapping[str, str]) -> str:
    """What to do if tasks of Slurm leave GPUs of their node alone: JAX gives each one GPU, unless told otherwise."""
    gpus, tasks = environ.get("SLURM_GPUS_ON_NODE", ""), environ.get("SLURM_STEP_TASKS_PER_NODE", "").partition("(")[0]
    if not gpus.isdigit() or not tasks.isdigit() or devices * int(tasks) >= int(gpus):
        return ""
    return f"{devices * int(tasks)} of the {gpus} GPUs of this node are used: --ntasks-per-node={gpus} uses all"


def host() -> list[Finding]:
    """CPUs and memory, as far as this process may use them."""
    import jax

    usable, accelerators = cpus(), sum(device.platform != "cpu" for device in jax.local_devices())
    advice = f"few for {accelerators} accelerators: reading and augmenting may be the slower part"
    machine = os.cpu_count() or usable
    shown = f"{usable}" if usable == machine else f"{usable} of {machine} may be used"
    return [
        Finding("CPUs", shown, advice if usable < CPUS * accelerators else ""),
        Finding("memory", gib(memory())),
    ]


def cpus() -> int:
    """CPUs that this process may use: its affinity, and the quota of its container."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = control_group("cpu.max").partition(" ")
    return max(1, min(usable, round(int(quota) / int(period)))) if quota.isdigit() else usable


def memory() -> int:
    """Bytes of memory that this process may use: the machine's, or the limit of its container."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = control_group("memory.max")
    return min(total, int(limit)) if limit.isdigit() else total


def control_group(name: str) -> str:
    """A limit of the container that this runs in; "" if there is none."""
    file = Path("/sys/fs/cgroup") / name
    return file.read_text().strip() if file.is_file() else ""


def environment(environ: Mapping[str, str]) -> list[Finding]:
    """Variables that change what JAX does; of proxies only the names, for their values may hold a password."""
    found = [
        Finding(name, value, advise(name, value))
        for name, value in sorted(environ.items())
        if name.startswith(PREFIXES)
    ]
    proxies = sorted(name for name in environ if name.lower() in PROXIES)
    if proxies:
        hint = "if processes cannot find each other, add their hosts to no_proxy"
        found.append(Finding(", ".join(proxies), "set", hint))
    return found or [Finding("variables", "none that JAX reads")]


def advise(name: str, value: str) -> str:
    """What to do about a variable; "" if nothing."""
    if name == "XLA_FLAGS" and "xla_force_host_platform_device_count" in value:
        count = value.partition("xla_force_host_platform_device_count=")[2].split()[:1]
        return f"XLA_FLAGS forces {''.join(count)} host devices: slower than one; for tests only"
    if name == "JAX_NUM_CPU_DEVICES" and value.isdigit() and int(value) > 1:
        return f"{name} forces {value} host devices: slower than one; for tests only"
    return ADVICE.get(name, "") if value.lower() not in ("", "0", "false", "off", "no") else ""

"""Who says which processes make up a run: environments as they are found, and what the flags add."""

import re

import pytest

from mtjax.registry import ConfigError
from mtjax.train import cluster
from mtjax.train.cluster import Setting, chosen, detect

SLURM = {"SLURM_JOB_ID": "7", "SLURM_STEP_NODELIST": "node[1-2]", "SLURM_PROCID": "3", "SLURM_LOCALID": "1"}
SLURM_STEP = {**SLURM, "SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "4"}
MPI = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "0"}
MPI_4 = {**MPI, "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1:34911"}
POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
TPU = {"TPU_WORKER_HOSTNAMES": "a,b", "TPU_WORKER_ID": "1"}

ALONE = {
    "nothing": {},
    "a batch script, which is no step": {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"},
    "a shell of salloc, a step of one task": {**SLURM, "SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "1"},
    "mpirun of one process": {**MPI_4, "OMPI_COMM_WORLD_SIZE": "1"},
    "a notebook in a pod": POD,
    "hosts of chips that are not there": TPU,
}
FOUND = {
    "srun": (SLURM_STEP, ("slurm", None, 4, 3)),
    "mpirun": (MPI_4, ("ompi", None, 4, 2)),
    "mpirun, version 5": (MPI, ("open-mpi-5", None, 4, 2)),
    "a pod of an indexed job": ({**POD, "JOB_COMPLETION_INDEX": "1"}, (None, None, None, 1)),
    "srun in a pod": ({**POD, **SLURM_STEP}, ("slurm", None, 4, 3)),
}
WITH_CHIPS = {
    "GKE": (TPU, ("gketpu", None, 2, None)),
    "GKE, two slices": ({**TPU, "MEGASCALE_NUM_SLICES": "2"}, ("gketpu", None, 4, None)),
    "GKE, in a pod of an indexed job": ({**TPU, **POD, "JOB_COMPLETION_INDEX": "1"}, ("gketpu", None, 2, None)),
    "GKE, one host": ({"TPU_WORKER_HOSTNAMES": "a"}, None),
    "a TPU VM": ({}, ("gcetpu", None, None, None)),
    "a TPU VM that may not ask": ({"TPU_SKIP_MDS_QUERY": "1"}, None),
    "a TPU VM, on its CPU": ({"JAX_PLATFORMS": "cpu"}, None),
}


@pytest.mark.parametrize("environ", ALONE.values(), ids=ALONE)
def test_it_trains_alone(environ):
    assert detect(environ) is None


@pytest.mark.parametrize(("environ", "expected"), FOUND.values(), ids=FOUND)
def test_it_finds_others(environ, expected):
    found = detect(environ)
    assert found is not None and found[1:] == expected


@pytest.mark.parametrize(("environ", "expected"), WITH_CHIPS.values(), ids=WITH_CHIPS)
def test_it_finds_others_where_there_are_chips(environ, expected):
    found = detect(environ, tpu=True)
    assert (found and found[1:]) == expected


def test_the_names_are_those_of_jax():
    from jax._src import clusters

    known = {kind.name for kind in clusters.ClusterEnv._cluster_types}
    methods = {expected[0] for _, expected in [*FOUND.values(), *WITH_CHIPS.values()] if expected}
    assert methods - {"open-mpi-5", None} <= known


def test_jax_agrees_on_slurm_and_open_mpi(monkeypatch):
    from jax._src import clusters

    for environ, address in ((SLURM_STEP, "node1:61447"), (MPI_4, "10.96.0.1:")):
        found = detect(environ)
        with monkeypatch.context() as context:
            for name, value in environ.items():
                context.setenv(name, value)
            said = clusters.ClusterEnv.auto_detect_unset_distributed_params(None, None, None, None, found.method, 10)
        assert said[0].startswith(address) and said[1:3] == (found.processes, found.process)


def test_flags_come_first_and_what_they_leave_out_is_detected():
    flags = ("host:1234", 2, "0")
    assert chosen(None, *flags) == chosen(detect(SLURM_STEP), *flags) == Setting("flags", "deactivate", *flags[:2], 0)
    assert chosen(detect(MPI), "host:1234", None, None) == Setting("flags", "deactivate", "host:1234", 4, 2)
    assert chosen(detect(SLURM_STEP), None, None, None) == detect(SLURM_STEP)
    assert chosen(detect(SLURM_STEP), None, 1, None) is None
    assert chosen(None, None, None, None) is None


@pytest.mark.parametrize(
    ("environ", "flags", "message"),
    [
        ({}, ("host:1", None, "0"), "--coordinator=HOST:PORT, --num-processes=N and --process-id=I are given together"),
        ({}, ("host", 2, "0"), "--coordinator=host: expected HOST:PORT"),
        ({}, ("host:1", 2, "2"), "--process-id=2: expected 0 to 1, since --num-processes=2"),
        ({}, ("host:1", 2, "-1"), "--process-id='-1' is not a number of 0 or more"),
        (MPI, (None, None, None), "Open MPI does not tell where process 0 is; give --coordinator=HOST:PORT"),
        ({**SLURM_STEP, "SLURM_PROCID": "x"}, (None, None, None), "SLURM_PROCID='x' is not a number"),
    ],
)
def test_what_does_not_fit_is_one_line(environ, flags, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        chosen(detect(environ), *flags)


def test_a_pod_without_the_package_that_asks_the_cluster_says_what_to_do(monkeypatch):
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"install jax\[k8s\]; --num-processes=1 trains alone"):
        chosen(detect({**POD, "JOB_COMPLETION_INDEX": "0"}), None, None, None)

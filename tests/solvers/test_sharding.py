"""A batch shared by four devices: the same solutions, each example's on its own device."""

import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

ROOT = pathlib.Path(__file__).resolve().parents[2]


def check_on_four_devices():
    """Runs in a process of its own, for the number of CPU devices is fixed once JAX has started."""
    from mtjax import physics, solvers

    random = np.random.default_rng(0)
    y, masks = random.uniform(size=(8, 12, 10, 1)), random.uniform(size=(8, 12, 10, 1)) < 0.7
    y, masks, weight = (jnp.asarray(a, jnp.float32) for a in (y, masks, np.geomspace(0.01, 0.1, 8)))
    kernel = physics.kernels.gaussian(0.7, 5)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = NamedSharding(mesh, PartitionSpec("data"))
    options = {"tolerance": 1e-4, "max_iterations": 300}
    cases = {
        "admm": lambda y, m, w: solvers.admm(y, physics.Blur(kernel), solvers.TotalVariation(w), **options),
        "pdhg": lambda y, m, w: solvers.pdhg(y, physics.Mask(m), solvers.TotalVariation(w), **options),
    }
    for name, solve in cases.items():
        solve = jax.jit(solve)
        alone = solve(y, masks, weight)
        shared = solve(*jax.device_put((y, masks, weight), rows))
        assert len(set(alone.iterations.tolist())) > 1, name
        np.testing.assert_array_equal(shared.iterations, alone.iterations, err_msg=name)
        np.testing.assert_allclose(shared.image, alone.image, atol=1e-5, err_msg=name)
        for array in (shared.image, shared.status):
            shapes = [shard.data.shape for shard in array.addressable_shards]
            assert shapes == [(2, *array.shape[1:])] * 4, (name, shapes)


def check_every_solver_on_four_devices():
    """Every solver that a config may name, with its own parameters; iterative ones do five iterations."""
    from mtjax import physics
    from mtjax.registry import accepted
    from mtjax.solvers.catalog import SOLVERS

    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = NamedSharding(mesh, PartitionSpec("data"))
    x = jnp.asarray(np.random.default_rng(0).uniform(0.2, 0.8, (8, 24, 24, 1)), jnp.float32)
    blur = physics.Blur(physics.kernels.gaussian(0.7, 5))
    radon = physics.Radon(jnp.linspace(0, 180, 12, endpoint=False), (24, 24))
    for kind, info in SOLVERS.items():
        only_noise = kind.startswith("denoise_")
        operator = physics.Identity() if only_noise else radon if kind == "filtered_back_projection" else blur
        fewer = {"iterations": 5} if "iterations" in accepted(info) else {}
        if kind == "blind_deconvolution":  # rounding grows from one alternation to the next
            fewer = {"kernel_size": 3, "iterations": 1}
        solve = jax.jit(lambda y, run=info.run, operator=operator, fewer=fewer: run(y, operator, **fewer).image)
        y = jax.jit(operator.__call__)(x)
        shared = solve(jax.device_put(y, rows))
        np.testing.assert_allclose(shared, solve(y), atol=2e-4, err_msg=kind)


@pytest.mark.slow
def test_every_solver_on_four_devices():
    done = in_a_process("all")
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_batch_on_four_devices():
    done = in_a_process()
    assert done.returncode == 0, done.stderr


def in_a_process(*words):
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "4", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(pathlib.Path(__file__)), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)


if __name__ == "__main__":
    (check_every_solver_on_four_devices if sys.argv[1:] else check_on_four_devices)()

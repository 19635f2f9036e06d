"""A batch shared by four devices: the same solutions, each example's on its own device."""

import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
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


def test_a_batch_on_four_devices():
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "4", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(pathlib.Path(__file__))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


if __name__ == "__main__":
    check_on_four_devices()

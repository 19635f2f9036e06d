"""A batch shared by four devices: the same solutions, each example's on its own device."""

import sys

import four_devices
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from mtjax.communication import collectives


def on_a_mesh(solve, *arrays):
    """What four devices find that share the examples; and that they find it without a look at each other's.

    Only whether to go on is exchanged, a bit each.
    """
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    with jax.set_mesh(mesh):
        arrays = jax.device_put(arrays, PartitionSpec("data"))
        program = jax.jit(solve).lower(*arrays).compile()
    assert all(each.payload <= 8 for each in collectives(program)), collectives(program)
    return program(*arrays)


def check_on_four_devices():
    """Runs in a process of its own, for the number of CPU devices is fixed once JAX has started."""
    from mtjax import physics, solvers
    from mtjax.train import parallel

    random = np.random.default_rng(0)
    y, masks = random.uniform(size=(8, 12, 10, 1)), random.uniform(size=(8, 12, 10, 1)) < 0.7
    y, masks, weight = (jnp.asarray(a, jnp.float32) for a in (y, masks, np.geomspace(0.01, 0.1, 8)))
    kernel = physics.kernels.gaussian(0.7, 5)
    options = {"tolerance": 1e-4, "max_iterations": 300}
    cases = {
        "admm": lambda y, m, w: solvers.admm(y, physics.Blur(kernel), solvers.TotalVariation(w), **options),
        "pdhg": lambda y, m, w: solvers.pdhg(y, physics.Mask(m), solvers.TotalVariation(w), **options),
    }
    for name, solve in cases.items():
        alone = jax.jit(solve)(y, masks, weight)
        shared = on_a_mesh(solve, y, masks, weight)
        assert len(set(alone.iterations.tolist())) > 1, name
        np.testing.assert_array_equal(shared.iterations, alone.iterations, err_msg=name)
        np.testing.assert_allclose(shared.image, alone.image, atol=1e-5, err_msg=name)
        for array in (shared.image, shared.status):
            shapes = [shard.data.shape for shard in array.addressable_shards]
            assert shapes == [(2, *array.shape[1:])] * 4, (name, shapes)

    blur, tv = physics.Blur(kernel), solvers.TotalVariation(0.02)

    def slope(y):
        return jax.grad(lambda y: jnp.sum(solvers.admm(y, blur, tv).image ** 2))(y)

    np.testing.assert_allclose(on_a_mesh(slope, y), jax.jit(slope)(y), atol=1e-4)

    def few(y):
        return solvers.admm(y, blur, tv, iterations=2).image

    large = jnp.asarray(random.uniform(size=(8, 192, 192, 1)), jnp.float32)  # on one CPU device, one after the other
    np.testing.assert_allclose(on_a_mesh(few, large), jax.jit(few)(large), atol=1e-5)

    devices = parallel.layout()  # as training steps are compiled
    step = jax.jit(parallel.traced_on(devices.mesh, few), in_shardings=devices.split, out_shardings=devices.split)
    assert not collectives(step.lower(y).compile())


def check_every_solver_on_four_devices():
    """Every solver that a config may name, with its own parameters; iterative ones do five iterations."""
    from mtjax import physics
    from mtjax.registry import accepted
    from mtjax.solvers.catalog import SOLVERS

    x = jnp.asarray(np.random.default_rng(0).uniform(0.2, 0.8, (8, 24, 24, 1)), jnp.float32)
    blur = physics.Blur(physics.kernels.gaussian(0.7, 5))
    radon = physics.Radon(jnp.linspace(0, 180, 12, endpoint=False), (24, 24))
    for kind, info in SOLVERS.items():
        only_noise = kind.startswith("denoise_")
        operator = physics.Identity() if only_noise else radon if kind == "filtered_back_projection" else blur
        fewer = {"iterations": 5} if "iterations" in accepted(info) else {}
        if kind == "blind_deconvolution":  # rounding grows from one alternation to the next
            fewer = {"kernel_size": 3, "iterations": 1}

        def solve(y, run=info.run, operator=operator, fewer=fewer):
            return run(y, operator, **fewer).image

        y = jax.jit(operator.__call__)(x)
        np.testing.assert_allclose(on_a_mesh(solve, y), jax.jit(solve)(y), atol=2e-4, err_msg=kind)


@pytest.mark.slow
def test_every_solver_on_four_devices():
    four_devices.run(__file__, "all")


def test_a_batch_on_four_devices():
    four_devices.run(__file__)


if __name__ == "__main__":
    (check_every_solver_on_four_devices if sys.argv[1:] else check_on_four_devices)()

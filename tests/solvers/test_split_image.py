"""One image over four devices: the same answers, of images that are never whole on any of them."""

import functools
import json
import sys

import four_devices
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from mtjax import physics, solvers
from mtjax.communication import collectives
from mtjax.physics import sharding, split_image

HEIGHT, WIDTH = 64, 56  # spectra have 29 columns, which four devices cannot share without filling up
KERNEL = physics.kernels.gaussian(1.2, 7)
BLUR = physics.Blur(KERNEL)
COLORS = physics.Blur(jnp.stack([physics.kernels.gaussian(s, 7) for s in (0.8, 1.2, 1.6)], -1))
TV = solvers.TotalVariation(2e-3)


def picture(*shape, dtype=jnp.float32):
    """A disc and a slope, a little different in each channel and example, blurred and with noise."""
    down, right = np.linspace(0, 1, shape[-3])[:, None, None], np.linspace(0, 1, shape[-2])[:, None]
    x = 0.2 + 0.5 * ((down - 0.5) ** 2 + (right - 0.4) ** 2 < 0.1) + 0.2 * down * np.linspace(0.5, 1, shape[-1])
    x = x + 0.02 * np.random.default_rng(0).normal(size=shape)
    return jnp.asarray(x * np.exp(1j * x) if dtype == "complex64" else x, dtype)


def mask(y):
    return jnp.asarray(np.random.default_rng(1).uniform(size=y.shape) < 0.6, y.dtype)


def summed(solve):
    """The gradient of the energy of what `solve` finds."""
    return jax.grad(lambda y: jnp.sum(solve(y) ** 2))


def admm(y, operator: physics.Operator = BLUR, **options):
    return solvers.admm(y, operator, TV, **(options or {"iterations": 20})).image


# By name: what is solved, the channels of its image, and its type: rounding errors grow in gradients.
CASES = {
    "wiener, laplacian, color": (lambda y: solvers.wiener(y, COLORS, regularizer="laplacian").image, 3, "float32"),
    "admm": (admm, 1, "float32"),
    "admm, tolerance": (lambda y: admm(y, tolerance=1e-3), 1, "float32"),
    "gradient of admm": (summed(admm), 1, "float64"),
}
MORE = {
    "wiener": (lambda y: solvers.wiener(y, BLUR).image, 1, "float64"),
    "wiener, complex": (lambda y: solvers.wiener(y, BLUR).image, 1, "complex64"),
    "unsupervised wiener": (lambda y: solvers.unsupervised_wiener(y, BLUR).image, 1, "float32"),
    "admm, color": (lambda y: admm(y, COLORS), 3, "float32"),
    "admm, float64": (admm, 1, "float64"),
    "admm, mask": (lambda y: admm(y * mask(y), physics.Mask(mask(y))), 1, "float32"),
    "fista": (lambda y: solvers.fista(y, BLUR, TV, iterations=5).image, 1, "float32"),
    "pdhg": (lambda y: solvers.pdhg(y, BLUR, TV, iterations=20).image, 1, "float32"),
    "hqs": (lambda y: solvers.hqs(y, BLUR, TV).image, 1, "float32"),
    "gradient of wiener": (summed(lambda y: solvers.wiener(y, BLUR).image), 1, "float64"),
    "implicit gradient of admm": (summed(lambda y: admm(y, tolerance=1e-3)), 1, "float64"),
}
ALL = [*CASES, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE)]


def compiled(solve, y, devices):
    """The program for so many devices, and the image as it takes it."""
    with jax.set_mesh(physics.row_mesh(devices)):
        y = jax.device_put(y, PartitionSpec("rows"))
        return jax.jit(solve).lower(y).compile(), y


def solve_on_four_devices(solve, channels, dtype):
    """How far the answer is from that of one device, and what the devices exchanged."""
    with jax.enable_x64(dtype == "float64"):
        y = picture(HEIGHT, WIDTH, channels, dtype=dtype)
        program, split = compiled(solve, y, 4)
        alone, together = jax.jit(solve)(y), program(split)
    assert alone.dtype == together.dtype == dtype
    return {
        "far": float(np.max(np.abs(np.asarray(together) - np.asarray(alone)))),
        "size": float(np.max(np.abs(alone))),
        "shards": [shard.data.shape for shard in together.addressable_shards],
        "sent": collectives(program),
    }


def check_a_batch_of_split_images():
    """Examples over two devices, the rows of each over two more: the mesh may have other axes."""
    mesh = jax.make_mesh((2, 2), ("data", "rows"), axis_types=(AxisType.Auto,) * 2)
    y = picture(4, HEIGHT, WIDTH, 1)
    with jax.set_mesh(mesh):
        together = jax.jit(admm)(jax.device_put(y, PartitionSpec("data", "rows")))
    assert {shard.data.shape for shard in together.addressable_shards} == {(2, HEIGHT // 2, WIDTH, 1)}
    np.testing.assert_allclose(together, jax.jit(admm)(y), atol=1e-5)


def check_what_cannot_be_split():
    for shape, words in (
        ((66, 56, 1), "the image has 66 rows; expected a multiple of 4, to be split over 4 devices"),
        ((64, 7, 1), "the image has 7 columns; expected at least 8, to be split over 4 devices"),
    ):
        with jax.set_mesh(physics.row_mesh()), pytest.raises(ValueError, match=words):
            jax.jit(admm).lower(jax.ShapeDtypeStruct(shape, jnp.float32))
    explicit = jax.make_mesh((4,), ("rows",), axis_types=(AxisType.Explicit,))
    with jax.set_mesh(explicit), pytest.raises(ValueError, match='the axis "rows" of the mesh is explicit'):
        jax.jit(admm).lower(jax.ShapeDtypeStruct((64, 56, 1), jnp.float32))


def memory_of_a_device(devices):
    """Bytes that a device needs beside the image and the answer, for one larger than the fixed costs."""
    solve = functools.partial(admm, iterations=20)
    program, _ = compiled(solve, picture(512, 512, 1), devices)
    memory = program.memory_analysis()
    assert memory is not None
    return memory.temp_size_in_bytes


def on_four_devices(more):
    """Runs in a process of its own, for the number of CPU devices is fixed once JAX has started."""
    if more:
        print(json.dumps({name: solve_on_four_devices(*case) for name, case in MORE.items()}))
        return
    check_a_batch_of_split_images()
    check_what_cannot_be_split()
    cases = {name: solve_on_four_devices(*case) for name, case in CASES.items()}
    print(json.dumps({**cases, "memory": [memory_of_a_device(n) for n in (1, 2, 4)]}))


@functools.cache
def found(*words):
    """What such a process finds."""
    return json.loads(four_devices.run(__file__, *words))


def case_of(name):
    return found()[name] if name in CASES else found("more")[name]


@pytest.mark.parametrize("name", ALL)
def test_the_answer_is_that_of_one_device(name):
    case = case_of(name)
    precision = 1e-10 if {**CASES, **MORE}[name][2] == "float64" else 1e-5
    assert case["far"] <= precision * max(case["size"], 1)


@pytest.mark.parametrize("name", ALL)
def test_no_device_ever_has_the_image(name):
    """Rows are exchanged for columns, borders passed on; nothing larger than a few rows is summed or gathered."""
    _, channels, dtype = {**CASES, **MORE}[name]
    case = case_of(name)
    assert case["shards"] == [[HEIGHT // 4, WIDTH, channels]] * 4
    pixel = np.dtype(dtype).itemsize * channels
    for kind, payload, _, _ in case["sent"]:
        if kind == "all-to-all":  # a device's part of a spectrum, at most of a complex image
            assert payload <= HEIGHT // 4 * 64 * pixel
        else:
            assert payload <= 4 * 64 * pixel, (kind, payload)


def test_a_transform_is_one_exchange():
    exchanges = [(payload, times) for kind, payload, _, times in case_of("admm")["sent"] if kind == "all-to-all"]
    assert {payload for payload, _ in exchanges} == {8 * HEIGHT // 4 * 32}  # a complex spectrum's part, filled up
    assert [times for _, times in exchanges].count(19) == 2  # in the loop: forth and back
    assert sum(times for _, times in exchanges) <= 2 * 20 + 6  # and those before the first iteration


def test_differences_pass_on_one_row():
    passed = [payload for kind, payload, _, times in case_of("admm")["sent"] if times == 19 and "perm" in kind]
    assert passed == [4 * WIDTH] * 2  # ∇ needs the row below, ∇ᵀ that above


def test_memory_of_a_device_falls_with_their_number():
    one, two, four = found()["memory"]
    assert two <= 0.55 * one
    assert four <= 0.3 * one


def test_without_such_a_mesh_nothing_changes():
    assert sharding.parts(sharding.ROWS) == sharding.parts(sharding.DATA) == 1
    assert [split_image.columns(width, real=True) for width in (1, 2, 7, 8)] == [1, 2, 4, 5]
    with jax.set_mesh(physics.row_mesh(1)):
        assert "shard_map" not in str(jax.make_jaxpr(admm)(picture(8, 8, 1)))


if __name__ == "__main__":
    on_four_devices(sys.argv[1:])

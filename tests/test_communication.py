"""The collectives that are counted are those that were asked for, with their sizes, also inside loops and branches."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from jax.sharding import PartitionSpec

from mtjax.communication import Collective, collectives, parse, sent

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAIRS = [(0, 1), (1, 2), (2, 3), (3, 0)]

# What each device does with its part `x` [2, 4] float32, 32 bytes, and the collectives that this is.
PROGRAMS = {
    "nothing": (lambda x: 2 * x, []),
    "sum": (lambda x: lax.psum(x, "d"), [("all-reduce", 32, 4, 1)]),
    "gather": (lambda x: lax.all_gather(x, "d"), [("all-gather", 32, 4, 1)]),
    "scatter": (lambda x: lax.psum_scatter(x, "d", scatter_dimension=1), [("reduce-scatter", 32, 4, 1)]),
    "exchange": (lambda x: lax.all_to_all(x, "d", 1, 0, tiled=True), [("all-to-all", 32, 4, 1)]),
    "pass on": (lambda x: lax.ppermute(x, "d", PAIRS), [("collective-permute", 32, 4, 1)]),
    "half": (lambda x: lax.psum(x.astype(jnp.int8), "d"), [("all-reduce", 8, 4, 1)]),
    "in pairs": (lambda x: lax.psum(x, "d", axis_index_groups=[[0, 1], [2, 3]]), [("all-reduce", 32, 2, 1)]),
    "loop": (
        lambda x: lax.scan(lambda c, _: (jnp.sin(lax.ppermute(c, "d", PAIRS)), None), x, length=5)[0],
        [("collective-permute", 32, 4, 5)],
    ),
    "loop in a loop": (
        lambda x: lax.fori_loop(
            0, 3, lambda _, c: lax.fori_loop(0, 7, lambda _, c: jnp.sin(lax.ppermute(c, "d", PAIRS)), c), x
        ),
        [("collective-permute", 32, 4, 21)],
    ),
    "branch": (
        lambda x: lax.cond(jnp.sum(lax.psum(x, "d")) > 0, lambda v: lax.ppermute(v, "d", PAIRS), jnp.sin, x),
        [("all-reduce", 32, 4, 1), ("collective-permute", 32, 4, 1)],
    ),
}


def count_on_four_devices():
    """Runs in a process of its own, for the number of CPU devices is fixed once JAX has started."""
    mesh = jax.make_mesh((4,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    split = PartitionSpec("d")
    counts = {}
    for name, (own, _) in PROGRAMS.items():
        program = jax.jit(jax.shard_map(own, mesh=mesh, in_specs=split, out_specs=split, check_vma=False))
        counts[name] = collectives(program.lower(jax.ShapeDtypeStruct((8, 4), jnp.float32)).compile())
    print(json.dumps(counts))


@pytest.fixture(scope="module")
def counts():
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "4", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(pathlib.Path(__file__))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", PROGRAMS)
def test_known_programs(counts, name):
    assert sorted(tuple(each) for each in counts[name]) == PROGRAMS[name][1]


def test_bytes_sent_by_one_of_four_devices():
    expected = {
        "all-reduce": 48,  # in a ring: 3/4 while the sums are made, 3/4 while they go round
        "all-gather": 96,
        "reduce-scatter": 24,
        "all-to-all": 24,
        "collective-permute": 32,
    }
    assert {kind: Collective(kind, 32, 4, 1).sent for kind in expected} == expected
    assert sent([Collective("all-to-all", 32, 4, 10), Collective("collective-permute", 32, 4, 2)]) == 304


def test_the_forms_that_accelerators_have():
    """Begun and finished apart, groups in short form, tiled layouts, several arrays at once, types of 4 and 8 bits."""
    text = """HloModule step, is_scheduled=true, num_partitions=8

ENTRY %main.1_spmd (param: bf16[128,64]) -> bf16[1024,64] {
  %param = bf16[128,64]{1,0:T(8,128)(2,1)} parameter(0)
  %small = f8e4m3fn[10]{0} parameter(1)
  %tiny = s4[10]{0} parameter(2)
  %all-gather-start = (bf16[128,64]{1,0:T(8,128)(2,1)}, bf16[1024,64]{1,0}) all-gather-start(%param), replica_groups=[1,8]<=[8], dimensions={0}
  %all-gather-done = bf16[1024,64]{1,0} all-gather-done(%all-gather-start)
  %both = (f8e4m3fn[10]{0}, s4[10]{0}) all-reduce(%small, %tiny), replica_groups=mesh['a'=4,'b'=2] {'b'}, to_apply=%add
  %all-reduce-start = bf16[128,64]{1,0} all-reduce-start(%param), replica_groups={}, to_apply=%add
  ROOT %all-reduce-done = bf16[128,64]{1,0} all-reduce-done(%all-reduce-start)
}
"""  # noqa: E501
    assert parse(text) == [
        Collective("all-gather", 128 * 64 * 2, 8, 1),
        Collective("all-reduce", 15, 2, 1),
        Collective("all-reduce", 128 * 64 * 2, 8, 1),
    ]


if __name__ == "__main__":
    count_on_four_devices()

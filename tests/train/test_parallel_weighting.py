"""Weightings see the gradients of the global batch: the same weights and update on four devices, by jit and by pmap."""

import four_devices
import jax
import numpy as np
import pytest
import tiny

from mtjax import weighting
from mtjax.train.balancing import Balancing
from mtjax.train.parallel import compile_step, layout
from mtjax.train.step import make_train_step

NAMES = ("digit", "edges")
WAYS = {
    "features": Balancing(weighting.make("nash_mtl", names=NAMES), "features"),
    "parameters": Balancing(weighting.make("cagrad", names=NAMES), "parameters"),
    "low memory": Balancing(weighting.make("upgrad", names=NAMES), "parameters", low_memory=True),
    "halves": Balancing(weighting.make("modo", names=NAMES, lr=10.0), "parameters"),
    "buffers": Balancing(weighting.make("db_mtl", names=NAMES), "parameters"),
}


def check_on_four_devices():
    """Runs in a process of its own, for the number of CPU devices is fixed once JAX has started."""
    assert len(jax.devices()) == 4
    batch = tiny.batch(8)
    batch["valid"]["label"][5:] = False  # a device has no label at all
    for name, balancing in WAYS.items():
        parts = tiny.experiment(NAMES, optimizer={"kind": "sgd", "lr": 0.1, "clip": 0.0, "momentum": 0.0})
        parts = tiny.with_balancing(parts, balancing)
        found = {}
        for mode, devices in (("jit", 1), ("jit", 4), ("pmap", 4)):
            step = compile_step(make_train_step(parts), mode, devices=layout(devices))
            state = step.place_state(tiny.initial(parts))
            for _ in range(2):
                state, metrics = step.run(state, step.place_batch(batch))
            said = {key: metrics[key] for key in ("weights", "losses", "cosine")}
            found[mode, devices] = jax.device_get((said, state.params))
        one = found.pop(("jit", 1))
        for way, other in found.items():
            for a, b in zip(jax.tree.leaves(other), jax.tree.leaves(one), strict=True):
                np.testing.assert_allclose(a, b, rtol=5e-3, atol=1e-4, err_msg=f"{name} {way}")


@pytest.mark.slow
def test_weights_are_those_of_the_global_batch():
    four_devices.run(__file__)


if __name__ == "__main__":
    check_on_four_devices()

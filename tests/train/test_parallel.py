"""The same step by jit and by pmap, on one device and on four: the same numbers, and nobody's arrays are deleted."""

import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtjax.train.parallel import compile_step, mesh

ROOT = pathlib.Path(__file__).resolve().parents[2]
B = 8


def toy_step(state, batch, axis_name=None):
    """Least squares on inputs with noise of their own, over the valid examples of the global batch."""

    def total(x):
        return jax.lax.psum(x, axis_name) if axis_name else x

    def key_of(position):
        return jax.random.fold_in(jax.random.fold_in(state["key"], state["step"]), position)

    keys = jax.vmap(key_of)(batch["position"])
    x = batch["x"] + 0.1 * jax.vmap(lambda key: jax.random.normal(key, (3,)))(keys)
    valid = batch["valid"]["y"]
    count = total(valid.sum())

    def loss(w):
        return jnp.where(valid, ((x @ w - batch["y"]) ** 2).sum(-1), 0).sum()

    value, gradient = jax.tree.map(lambda g: total(g) / count, jax.value_and_grad(loss)(state["w"]))
    return {**state, "w": state["w"] - 0.1 * gradient, "step": state["step"] + 1}, {"loss": value, "count": count}


def toy_state():
    return {"w": jnp.ones((3, 2)), "step": jnp.int32(0), "key": jax.random.key(0)}


def toy_batch(step, size=B):
    rng = np.random.default_rng(step)
    valid = np.arange(size) < size // 2 - 1  # a device or two has no valid example at all
    return {
        "x": rng.normal(size=(size, 3)).astype(np.float32),
        "y": rng.normal(size=(size, 2)).astype(np.float32),
        "position": np.arange(size, dtype=np.int32),
        "valid": {"y": valid},
    }


def train(mode, num_devices, steps=5):
    """The weights and losses after some steps, under the guard of the real loop."""
    compiled = compile_step(toy_step, mode, num_devices=num_devices)
    losses, original = [], toy_state()
    with jax.transfer_guard("disallow"):
        state = compiled.place_state(original)
        for step in range(steps):
            state, metrics = compiled.run(state, compiled.place_batch(toy_batch(step)))
            losses.append(compiled.fetch(metrics)["loss"])
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(original))
    assert state["w"].sharding.is_fully_replicated and len(state["w"].devices()) == num_devices
    return np.asarray(state["w"]), np.array(losses)


def check_on_four_devices():
    """Runs in a process of its own, for the number of CPU devices is fixed once JAX has started."""
    assert len(jax.devices()) == 4
    reference, losses = train("jit", 1)
    for mode in ("jit", "pmap"):
        for devices in (2, 4):
            weights, these = train(mode, devices)
            np.testing.assert_allclose(weights, reference, rtol=1e-5, atol=1e-6, err_msg=f"{mode} on {devices}")
            np.testing.assert_allclose(these, losses, rtol=1e-5)
    for mode in ("jit", "pmap"):
        with pytest.raises(ValueError, match=r"10 examples cannot be shared by 4 devices.*multiples of 4") as error:
            compile_step(toy_step, mode).place_batch(toy_batch(0, size=10))
        assert "\n" not in str(error.value)


def test_both_modes_agree_on_one_device():
    weights, losses = train("jit", 1)
    other_weights, other_losses = train("pmap", 1)
    np.testing.assert_allclose(other_weights, weights, rtol=1e-6)
    np.testing.assert_allclose(other_losses, losses, rtol=1e-6)


def test_both_modes_agree_on_four_devices():
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "4", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error::DeprecationWarning:mtjax", str(pathlib.Path(__file__))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_state_is_donated_unless_told_otherwise():
    for donate in (True, False):
        compiled = compile_step(toy_step, donate=donate)
        state = compiled.place_state(toy_state())
        compiled.run(state, compiled.place_batch(toy_batch(0)))
        assert state["w"].is_deleted() == donate


def test_an_unknown_mode_is_one_line():
    with pytest.raises(ValueError, match='mode must be "jit" or "pmap"'):
        compile_step.__wrapped__(toy_step, "pmapp")  # past the type checker of the tests


def test_the_mesh_has_one_axis_over_all_devices():
    assert mesh().axis_names == ("data",)
    assert mesh().size == len(jax.devices())


if __name__ == "__main__":
    check_on_four_devices()


def test_a_step_may_make_constants_but_not_fetch_any():
    def step(state, batch):
        return state + jax.random.uniform(jax.random.key(3)), {"loss": batch.sum()}

    compiled = compile_step(step)
    state, batch = compiled.place_state(jnp.zeros(())), compiled.place_batch(np.ones(4, np.float32))
    with jax.transfer_guard("disallow"):
        for _ in range(2):
            state, _ = compiled.run(state, batch)
        with pytest.raises(Exception, match="Disallowed host-to-device transfer"):
            compiled.run(state, np.ones(4, np.float32))

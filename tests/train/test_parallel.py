"""The same step by jit and by pmap, whole or split, on one device and on four: the same numbers, no array deleted."""

import four_devices
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtjax.registry import ConfigError
from mtjax.train.parallel import Layout, compile_step, layout

B, N = 8, 64  # N × N is just as large as what is split


def toy_step(state, batch, axis_name=None):
    """Least squares on inputs with noise of their own, over the valid examples of the global batch."""

    def total(x):
        return jax.lax.psum(x, axis_name) if axis_name else x

    def key_of(position):
        return jax.random.fold_in(jax.random.fold_in(state["key"], state["step"]), position)

    keys = jax.vmap(key_of)(batch["position"])
    x = batch["x"] + 0.1 * jax.vmap(lambda key: jax.random.normal(key, (N,)))(keys)
    valid = batch["valid"]["y"]
    count = total(valid.sum())

    def loss(w):
        return jnp.where(valid, ((x @ w - batch["y"]) ** 2).mean(-1), 0).sum()

    value, gradient = jax.tree.map(lambda g: total(g) / count, jax.value_and_grad(loss)(state["w"]))
    return {**state, "w": state["w"] - 0.1 * gradient, "step": state["step"] + 1}, {"loss": value, "count": count}


def toy_state():
    return {"w": jnp.ones((N, N)), "step": jnp.int32(0), "key": jax.random.key(0)}


def toy_batch(step, size=B):
    rng = np.random.default_rng(step)
    valid = np.arange(size) < size // 2 - 1  # a device or two has no valid example at all
    return {
        "x": rng.normal(size=(size, N)).astype(np.float32),
        "y": rng.normal(size=(size, N)).astype(np.float32),
        "position": np.arange(size, dtype=np.int32),
        "valid": {"y": valid},
    }


def train(mode, devices, steps=5, part=slice(None)):
    """The state and losses after some steps, under the guard of the real loop; `part` is this process's examples."""
    compiled = compile_step(toy_step, mode, devices=devices)
    losses, original = [], toy_state()
    with jax.transfer_guard("disallow"):
        state = compiled.place_state(original)
        for step in range(steps):
            batch = jax.tree.map(lambda leaf: leaf[part], toy_batch(step))
            state, metrics = compiled.run(state, compiled.place_batch(batch))
            losses.append(compiled.fetch(metrics)["loss"])
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(original))
    return state, np.array(losses)


def check_agreement(devices: Layout, reference, losses, mode="jit"):
    state, these = train(mode, devices)
    np.testing.assert_allclose(state["w"], reference["w"], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(these, losses, rtol=1e-6)
    assert len(state["w"].devices()) == devices.mesh.size
    return state


def check_on_four_devices():
    """Runs in a process of its own, for the number of CPU devices is fixed once JAX has started."""
    assert len(jax.devices()) == 4
    reference, losses = train("jit", layout(1))
    for count in (2, 4):
        for mode in ("jit", "pmap"):
            state = check_agreement(layout(count), reference, losses, mode)
            assert state["w"].sharding.is_fully_replicated
    for model in (1, 2, 4):
        split = layout(model=model, shard="full")
        state = check_agreement(split, reference, losses)
        assert {shard.data.size for shard in state["w"].addressable_shards} == {N * N // 4}
        assert state["step"].sharding.is_fully_replicated  # small
        assert split.place(state) is state
        whole = layout().place(state)["w"]
        assert whole.sharding.is_fully_replicated
        np.testing.assert_array_equal(whole, state["w"])
    for mode in ("jit", "pmap"):
        with pytest.raises(ValueError, match=r"10 examples cannot be shared by 4 devices.*multiples of 4") as error:
            compile_step(toy_step, mode).place_batch(toy_batch(0, size=10))
        assert "\n" not in str(error.value)
    with pytest.raises(ConfigError, match=r"train.mesh.model=3: expected a divisor of the 4 devices"):
        layout(model=3, shard="full")
    with pytest.raises(ConfigError, match=r"train.mesh.model=2 would do the same work 2 times"):
        layout(model=2)
    with pytest.raises(ConfigError, match=r"train.mode='pmap' has the whole state on every device.*'full'"):
        compile_step(toy_step, "pmap", devices=layout(shard="full"))
    check_which_axis_is_split()


def check_which_axis_is_split():
    split = layout(shard="full")
    shapes = {"wide": (3, 3, 32, 64), "odd": (97, 101), "small": (60, 60), "odd last": (400, 402)}
    axes = {name: split.of(np.zeros(shape)).spec for name, shape in shapes.items()}
    both = ("data", "model")
    assert {name: tuple(spec) for name, spec in axes.items()} == {
        "wide": (None, None, None, both), "odd": (), "small": (), "odd last": (both,),
    }  # fmt: skip


def test_both_modes_agree_on_one_device():
    state, losses = train("jit", layout(1))
    other, other_losses = train("pmap", layout(1))
    np.testing.assert_allclose(other["w"], state["w"], rtol=1e-6)
    np.testing.assert_allclose(other_losses, losses, rtol=1e-6)


def test_both_modes_agree_on_four_devices_and_so_does_a_split_state():
    four_devices.run(__file__)


def test_the_state_is_donated_unless_told_otherwise():
    for donate in (True, False):
        compiled = compile_step(toy_step, donate=donate)
        state = compiled.place_state(toy_state())
        compiled.run(state, compiled.place_batch(toy_batch(0)))
        assert state["w"].is_deleted() == donate


def test_an_unknown_mode_is_one_line():
    with pytest.raises(ValueError, match='mode must be "jit" or "pmap"'):
        compile_step.__wrapped__(toy_step, "pmapp")  # past the type checker of the tests


def test_the_mesh_has_all_devices():
    assert layout().mesh.axis_names == ("data", "model")
    assert layout().mesh.size == len(jax.devices())


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


if __name__ == "__main__":
    check_on_four_devices()

"""The mathematics of sharings that keep one encoder: experts, gates, attention, messages."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sharing_models import disturbed

from mtjax.models import SHARINGS, Pyramid
from mtjax.models.sharing.dselect_k import Selectors, selections, smooth_step
from mtjax.models.sharing.experts import Expert, Logits, mix, pooled

TASKS = ("a", "b", "c")
READS = {"a": "x", "b": "x", "c": "y"}


def pyramid(seed, size=4):
    keys = jax.random.split(jax.random.key(seed))
    levels = (jax.random.normal(keys[0], (2, size, size, 4)), jax.random.normal(keys[1], (2, size // 2, size // 2, 8)))
    return Pyramid(levels, (2, 4), (2 * size, 2 * size))


FEATURES = {"x": pyramid(0), "y": pyramid(1)}


def start(sharing, seed=0):
    """Its parameters in general position, and what it gives with parameters, as functions compiled once."""
    params = jax.jit(lambda: sharing.init(jax.random.key(seed), FEATURES, READS, TASKS))().get("params", {})
    share = jax.jit(lambda params, wanted=TASKS: sharing.apply({"params": params}, FEATURES, READS, wanted))
    return disturbed(params, seed, 0.3), share


def same(left, right, **tolerance):
    for x, y in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(x, y, **{"atol": 1e-5, **tolerance})


@pytest.mark.parametrize("adapt", ["none", "bias", "film", "adapter"])
def test_hard_sharing_begins_with_the_encoder_s_features(adapt):
    sharing = SHARINGS["hard"](TASKS, adapt=adapt)
    params = sharing.init(jax.random.key(0), FEATURES, READS, TASKS).get("params", {})
    assert len(params) == (0 if adapt == "none" else 3)
    shared = sharing.apply({"params": params}, FEATURES, READS, TASKS)
    same(shared["a"], FEATURES["x"], atol=0)
    same(shared["c"], FEATURES["y"], atol=0)


def test_what_adapts_to_a_task_is_what_was_asked_for():
    levels = FEATURES["x"].levels
    shared = {}
    for adapt in ("bias", "norm", "film", "adapter"):
        sharing = SHARINGS["hard"](("a", "b"), adapt=adapt)
        params = disturbed(sharing.init(jax.random.key(0), FEATURES, READS, ("a", "b"))["params"])
        shared[adapt] = sharing.apply({"params": params}, FEATURES, READS, ("a", "b"))
        own = params["task_a"]
        finest = shared[adapt]["a"][0].finest
        if adapt == "bias":
            same(finest, levels[0] + own["bias0"])
        elif adapt == "film":
            same(finest, levels[0] * own["scale0"] + own["bias0"])
        elif adapt == "adapter":
            kernel, bias = own["adapter0"]["kernel"][0, 0], own["adapter0"]["bias"]
            same(finest, levels[0] + levels[0] @ kernel + bias)
        else:  # four channels are four groups
            plain = (finest - own["norm0"]["bias"]) / own["norm0"]["scale"]
            same(plain.mean((1, 2)), jnp.zeros((2, 4)))
            same(plain.var((1, 2)), jnp.ones((2, 4)), atol=1e-3)
        assert not np.allclose(finest, shared[adapt]["b"][0].finest)


def test_gates_sum_to_one_and_begin_even():
    gate = Logits(5)
    x = pooled(FEATURES["x"])
    assert x.shape == (2, 12)
    params = gate.init(jax.random.key(0), x)
    np.testing.assert_allclose(jax.nn.softmax(gate.apply(params, x)), 0.2)
    weights = jax.nn.softmax(gate.apply(disturbed(params, scale=3.0), x))
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-6)
    assert weights.dtype == jnp.float32 and float(weights.std()) > 0.01
    half = Pyramid(tuple(2 * x for x in FEATURES["x"].levels), (2, 4), (8, 8))
    same(mix(jnp.array([[1.0, 0.0], [0.5, 0.5]]), [FEATURES["x"], half])[1:].levels[0][0], 1.5 * half.levels[0][1] / 2)


def test_one_expert_is_that_expert():
    params, share = start(SHARINGS["mmoe"](TASKS, experts=1))
    shared = share(params)
    expected = Expert().apply({"params": params["expert0"]}, FEATURES["x"])
    same(shared["a"][0], expected)
    same(shared["b"][0], expected)
    same(shared["c"][0], Expert().apply({"params": params["expert0"]}, FEATURES["y"]))


def test_mixtures_are_of_the_experts():
    params, share = start(SHARINGS["mmoe"](TASKS, experts=2))
    said = [Expert().apply({"params": params[f"expert{e}"]}, FEATURES["x"]).finest for e in range(2)]
    gate = params["task_b"]["gate"]
    weights = jax.nn.softmax(pooled(FEATURES["x"]) @ gate["kernel"] + gate["bias"])[..., None, None, None]
    same(share(params)["b"][0].finest, weights[:, 0] * said[0] + weights[:, 1] * said[1])


def test_cgc_without_experts_of_tasks_is_mmoe():
    mmoe, mmoe_share = start(SHARINGS["mmoe"](TASKS, experts=2))
    _, share = start(SHARINGS["cgc"](TASKS, task_experts=0, shared_experts=2))
    gates = {task: {"gate": value} for task, value in mmoe.items() if task.startswith("task_")}
    same(share({"layer0": {**mmoe, **gates}}), mmoe_share(mmoe))


@pytest.mark.slow
def test_experts_of_one_task_are_not_read_by_another_until_a_second_layer():
    for layers in (1, 2):
        params, share = start(SHARINGS["cgc"](TASKS, layers=layers))
        before = share(params)
        layer = {**params["layer0"], "task_a": disturbed(params["layer0"]["task_a"], 5)}
        after = share({**params, "layer0": layer})
        assert not np.allclose(before["a"][0].finest, after["a"][0].finest)
        assert bool((before["b"][0].finest == after["b"][0].finest).all()) == (layers == 1)
        assert bool((before["c"][0].finest == after["c"][0].finest).all())  # reads another observation
        sharing = SHARINGS["cgc"](TASKS, layers=layers)
        alone = sharing.apply({"params": params}, {"x": FEATURES["x"]}, READS, ("b",))
        same(alone["b"], before["b"])


def test_smooth_steps_join_zero_and_one_smoothly():
    x = jnp.array([-2.0, -0.5, 0.0, 0.5, 2.0])
    np.testing.assert_array_equal(smooth_step(x), [0, 0, 0.5, 1, 1])
    slope = jax.vmap(jax.grad(smooth_step))
    np.testing.assert_allclose(slope(jnp.array([-3.0, -0.4999, 0.0, 0.4999, 3.0])), [0, 0, 1.5, 0, 0], atol=2e-3)


def test_selectors_select_exactly_k_when_saturated():
    codes = jnp.array([[1.0, -1.0], [1.0, 1.0]])  # experts 1 and 3, by their bits
    np.testing.assert_array_equal(selections(codes), [[0, 1, 0, 0], [0, 0, 0, 1]])
    weights = Selectors(2, 4).apply({"params": {"codes": codes, "shares": jnp.array([0.0, jnp.log(3.0)])}})
    np.testing.assert_allclose(weights, [0, 0.25, 0, 0.75], rtol=1e-6)
    between = selections(jax.random.uniform(jax.random.key(0), (3, 3), minval=-0.5, maxval=0.5))
    np.testing.assert_allclose(between.sum(-1), 1, rtol=1e-6)


def test_entropy_drives_selectors_to_one_expert():
    sharing = SHARINGS["dselect_k"](("a",), experts=4, selected=1, entropy=2.0)

    def price(codes):
        return sharing.penalty({"sharing": {"task_a": {"codes": codes}}})

    np.testing.assert_allclose(price(jnp.zeros((1, 2))), 2 * np.log(4), rtol=1e-6)
    for codes in (jnp.ones((1, 2)), jnp.array([[0.5, -0.5]])):  # decided: no price, and no NaN in its gradient
        assert float(price(codes)) == 0
        np.testing.assert_array_equal(jax.grad(price)(codes), jnp.zeros((1, 2)))
    codes = jnp.array([[0.1, -0.2]])
    assert bool((jnp.sign(jax.grad(price)(codes)) == -jnp.sign(codes)).all())


@pytest.mark.slow
def test_attention_lets_through_a_part_of_the_features():
    params, share = start(SHARINGS["mtan"](TASKS))
    shared = share(params)
    for x, level in zip(shared["a"][0].levels, FEATURES["x"].levels, strict=True):
        mask = x / level
        assert 0 < float(mask.min()) < float(mask.max()) < 1
    finer = jax.tree.map(jnp.array, params)
    finer["task_a"]["mask0_norm"]["bias"] += 1
    after = share(finer)
    assert not np.allclose(shared["a"][0].levels[1], after["a"][0].levels[1])  # a coarser mask sees the finer one


@pytest.mark.parametrize("kind", ["pad_net", pytest.param("mti_net", marks=pytest.mark.slow)])
def test_messages_begin_as_none_and_pass_through_the_receiver_s_gate(kind):
    sharing = SHARINGS[kind](TASKS)
    params, share = start(sharing)
    receivers = [name for name in params if name.startswith("receive") and name.endswith("_a")]
    assert len(receivers) == {"pad_net": 1, "mti_net": 2}[kind]
    initial = {"pad_net": 1, "mti_net": 2}[kind]
    shared = share(params)
    assert {len(pyramids) for pyramids in shared.values()} == {1 + initial}
    closed, silent = dict(params), dict(params)
    for name in receivers:
        gate = params[name]["gate"]
        closed[name] = {**params[name], "gate": {**gate, "bias": gate["bias"] - 1e4}}
        quiet = {k: jax.tree.map(jnp.zeros_like, v) if k.startswith("from") else v for k, v in params[name].items()}
        silent[name] = quiet
    same(share(closed)["a"], share(silent)["a"])
    assert not np.allclose(shared["a"][0].finest, share(silent)["a"][0].finest)
    first = jax.jit(lambda: sharing.init(jax.random.key(0), FEATURES, READS, TASKS))()["params"]
    for name in receivers:
        assert not any(bool(v["kernel"].any()) for k, v in first[name].items() if k.startswith("from"))


def test_initial_heads_of_mti_net_read_pyramids_that_begin_at_each_scale():
    params, share = start(SHARINGS["mti_net"](TASKS))
    final, fine, coarse = share(params)["a"]
    assert (final.strides, fine.strides, coarse.strides) == ((2, 4), (2, 4), (4,))
    same(fine.levels[1:], coarse.levels, atol=0)


def test_messages_of_prompts_begin_as_hard_sharing():
    sharing = SHARINGS["message"](TASKS)
    params = jax.jit(lambda: sharing.init(jax.random.key(0), FEATURES, READS, TASKS))()["params"]
    _, share = start(sharing)
    shared = share(params)
    same(shared["a"], FEATURES["x"], atol=0)
    same(shared["c"], FEATURES["y"], atol=0)
    moved = disturbed(params)
    before = share(moved)
    moved["prompt_c"]["token"] += 1  # what another task asks changes what a task reads
    assert not np.allclose(before["a"][0].finest, share(moved)["a"][0].finest)

"""Rates at the steps that matter, whom decay and clipping touch, and that a task's optimizer is that head's alone."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from mtjax.train import optimizers

TASKS = ("deblur", "digit")


def some_params():
    leaf = {"kernel": jnp.ones((3, 4)), "bias": jnp.ones((1, 4)), "scale": jnp.ones(4), "temperature": jnp.ones(())}
    return {"encoder": {"conv": leaf}, "sharing": {}, "heads": {task: {"out": leaf} for task in TASKS}}


def one_update(spec, grads=None):
    """The first update, at a constant rate."""
    params = some_params()
    optimizer = optimizers.make(ConfigDict({"schedule": {"kind": "constant"}, **spec}), 100, TASKS)
    grads = jax.tree.map(jnp.ones_like, params) if grads is None else grads
    return optimizer.update(grads, optimizer.init(params), params)[0]


def test_warmup_cosine_at_the_steps_that_matter():
    rate = optimizers.warmup_cosine(1e-2, 1000, warmup=100, final=0.1)
    np.testing.assert_allclose(rate(0), 1e-4, rtol=1e-5)
    np.testing.assert_allclose(rate(49), 5e-3, rtol=1e-5)
    np.testing.assert_allclose(rate(99), 1e-2, rtol=1e-5)
    np.testing.assert_allclose(rate(100), 1e-2, rtol=1e-5)
    np.testing.assert_allclose(rate(550), 0.55e-2, rtol=1e-5)  # half of the way down: the mean of both ends
    np.testing.assert_allclose(rate(1000), 1e-3, rtol=1e-5)
    np.testing.assert_allclose(rate(2000), 1e-3, rtol=1e-5)


def test_warmup_takes_at_most_half_of_a_short_run():
    rate = optimizers.warmup_cosine(1.0, 10, warmup=100)
    np.testing.assert_allclose([rate(k) for k in range(5)], [0.2, 0.4, 0.6, 0.8, 1.0], rtol=1e-6)
    np.testing.assert_allclose(rate(10), 0.0, atol=1e-7)
    assert optimizers.warmup_cosine(1.0, 10, warmup=0)(0) == 1.0


def test_constant_is_constant():
    rate = optimizers.learning_rate({"lr": 0.3, "schedule": {"kind": "constant"}}, 10)
    assert rate(0) == rate(9) == 0.3


def test_sgd_follows_its_schedule():
    params = {"encoder": {"kernel": jnp.zeros((2, 2))}}
    spec = {"kind": "sgd", "lr": 1.0, "clip": None, "momentum": 0.0, "schedule": {"kind": "warmup_cosine", "warmup": 4}}
    optimizer = optimizers.make(spec, 8, TASKS)
    state, moved = optimizer.init(params), []
    for _ in range(8):
        updates, state = optimizer.update(jax.tree.map(jnp.ones_like, params), state, params)
        moved.append(-float(updates["encoder"]["kernel"][0, 0]))
    cosine = [0.5 * (1 + np.cos(np.pi * k / 4)) for k in range(4)]
    np.testing.assert_allclose(moved, [0.25, 0.5, 0.75, 1.0, *cosine], rtol=1e-5)


def test_decay_touches_kernels_alone():
    params = some_params()
    zero = jax.tree.map(jnp.zeros_like, params)
    for kind in ("adamw", "lion", "sgd"):
        updates = one_update({"kind": kind, "lr": 0.1, "weight_decay": 0.5}, grads=zero)["encoder"]["conv"]
        np.testing.assert_allclose(updates["kernel"], -0.1 * 0.5, rtol=1e-6, err_msg=kind)
        assert not any(np.any(updates[name]) for name in ("bias", "scale", "temperature")), kind


def test_decay_mask_in_a_head_with_its_own_optimizer():
    zero = jax.tree.map(jnp.zeros_like, some_params())
    spec = {"kind": "adamw", "lr": 0.1, "weight_decay": 0.0, "per_task": {"digit": {"weight_decay": 0.5}}}
    updates = one_update(spec, grads=zero)
    np.testing.assert_allclose(updates["heads"]["digit"]["out"]["kernel"], -0.05, rtol=1e-6)
    others = (updates["encoder"], updates["heads"]["deblur"], updates["heads"]["digit"]["out"]["bias"])
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(others))


def test_clipping_bounds_the_norm_of_all_parameters_together():
    spec = {"kind": "sgd", "lr": 1.0, "momentum": 0.0, "per_task": {"digit": {"lr": 2.0}}}
    updates = one_update({**spec, "clip": 0.5})
    updates["heads"]["digit"] = jax.tree.map(lambda update: update / 2, updates["heads"]["digit"])
    np.testing.assert_allclose(optax.tree.norm(updates), 0.5, rtol=1e-5)
    np.testing.assert_allclose(one_update({**spec, "clip": 1e9})["encoder"]["conv"]["bias"], -1.0)
    np.testing.assert_allclose(one_update({**spec, "clip": None})["encoder"]["conv"]["bias"], -1.0)


@pytest.mark.parametrize("kind", ["adamw", "adam", "sgd", "lion"])
def test_a_task_rate_scales_that_head_alone(kind):
    plain = one_update({"kind": kind, "lr": 1e-3})
    own = one_update({"kind": kind, "lr": 1e-3, "per_task": {"digit": {"lr": 5e-3}}})
    for part in ("encoder", "sharing"):
        jax.tree.map(np.testing.assert_array_equal, plain[part], own[part])
    jax.tree.map(np.testing.assert_array_equal, plain["heads"]["deblur"], own["heads"]["deblur"])
    ratio = jax.tree.map(lambda a, b: a / b, own["heads"]["digit"], plain["heads"]["digit"])
    jax.tree.map(lambda r: np.testing.assert_allclose(r, 5.0, rtol=1e-5), ratio)


def test_a_task_may_have_another_kind_and_keeps_the_rate():
    spec = {"kind": "adamw", "lr": 1e-3, "b1": 0.8, "clip": None}
    spec["per_task"] = {"digit": {"kind": "sgd", "momentum": 0.0}}
    grads = jax.tree.map(lambda p: jnp.full_like(p, 7.0), some_params())
    updates = one_update(spec, grads=grads)
    np.testing.assert_allclose(updates["heads"]["digit"]["out"]["bias"], -7e-3, rtol=1e-5)
    np.testing.assert_allclose(updates["heads"]["deblur"]["out"]["bias"], -1e-3, rtol=1e-3)  # Adam's first step: -lr


def test_it_minimizes_under_jit():
    params = {"encoder": {"kernel": jnp.full((2, 2), 3.0)}, "heads": {"digit": {"kernel": jnp.full((2, 2), -2.0)}}}
    optimizer = optimizers.make({"lr": 0.1, "per_task": {"digit": {"kind": "sgd", "lr": 0.05}}}, 200, TASKS)

    @jax.jit
    def step(carry, _):
        params, state = carry
        grads = jax.grad(lambda p: sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(p)))(params)
        updates, state = optimizer.update(grads, state, params)
        return (optax.apply_updates(params, updates), state), None

    (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), length=200)
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(params)) < 0.05


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"kind": "adamx"}, "adam"),
        ({"kind": "sgd", "momentun": 0.5}, "did you mean 'momentum'"),
        ({"per_task": {"digits": {}}}, "did you mean 'digit'"),
        ({"per_task": {"digit": {"lr": 0.0}}}, "optimizer.per_task.digit.lr must be positive, got 0.0"),
        ({"schedule": {"kind": "warmup_cosin"}}, "warmup_cosine"),
        ({"schedule": {"kind": "warmup_cosine", "final": 2.0}}, "final=2.0"),
        ({"clip": -1.0}, "optimizer.clip"),
    ],
)
def test_wrong_specs_are_one_line(spec, message):
    with pytest.raises(ValueError, match=message) as error:
        optimizers.make(spec, 10, TASKS)
    assert "\n" not in str(error.value)

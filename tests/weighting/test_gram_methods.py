"""What holds for every method that reads inner products of gradients: symmetry, scale, absent tasks, odd cases."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jacobian_steps import CONFLICT, NAMES, apply, compiled, direction, random_jacobian

from mtjax import weighting

# How the direction grows with the gradients: d(s J) = s^degree d(J); None where steps have a fixed size.
DEGREES = {
    "gradnorm": 1, "mgda": 1, "pcgrad": 1, "gradvac": 1, "cagrad": 1, "imtl_g": 1, "nash_mtl": 0, "fairgrad": -1 / 3,
    "aligned_mtl": 1, "upgrad": 1, "dualproj": 1, "conflict_free": 1, "sdmgrad": 1, "modo": None, "auto_lambda": None,
}  # fmt: skip
# What a single task is given as its weight; 1 for all others.
ALONE = {
    "cagrad": lambda length: 1.4,
    "nash_mtl": lambda length: 1 / length,
    "fairgrad": lambda length: length ** (-4 / 3),
    "auto_lambda": lambda length: 0.1,
}
# SDMGrad's own step size makes its inner steps unstable, and rounding errors large.
PARAMS = {"modo": {"lr": 0.1}, "auto_lambda": {"lr": 1e-2}, "sdmgrad": {"lr": 0.5}}
each = pytest.mark.parametrize("kind", DEGREES)
DEGENERATE = {
    "all zero": np.zeros((4, 3)),
    "one zero": np.concatenate([np.zeros((1, 3)), CONFLICT]),
    "duplicate": CONFLICT[[0, 1, 2, 0]],
    "opposite": np.stack([CONFLICT[0], -CONFLICT[0], 2 * CONFLICT[0], CONFLICT[1]]),
    "zero inside the hull": np.concatenate([np.eye(3), -np.ones((1, 3))]),
    "more tasks than parameters": random_jacobian(0, 4, 2),
    "one parameter": random_jacobian(1, 4, 1),
}


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def run(kind, jacobian, **arguments):
    return apply(kind, jacobian, **PARAMS.get(kind, {}), **arguments)


@each
def test_turning_the_parameter_space_turns_the_direction(kind):
    jacobian = random_jacobian(2)
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(6, 6)))[0]
    got = direction(kind, jacobian @ turn, **PARAMS.get(kind, {}))
    np.testing.assert_allclose(got, direction(kind, jacobian, **PARAMS.get(kind, {})) @ turn, atol=1e-10)


@each
def test_the_order_of_the_tasks_does_not_matter(kind):
    """Random orders belong to names, so that this holds for PCGrad and GradVac as well."""
    order = [2, 0, 3, 1]
    jacobian, losses = random_jacobian(4), np.arange(1.0, 5)
    weights, _ = run(kind, jacobian, losses=losses)
    turned, _ = run(kind, jacobian[order], losses=losses[order], names=tuple(NAMES[i] for i in order))
    np.testing.assert_allclose(turned, np.asarray(weights)[order], atol=1e-10)


@each
def test_absent_tasks_are_taken_out_of_the_problem(kind):
    """Weights over several steps are those of the method that has never heard of the absent task."""
    kept = [0, 1, 3]
    present = np.asarray([True, True, False, True])
    full = alone = None
    for step in range(3):
        jacobian, second, losses = random_jacobian(step), random_jacobian(10 + step), np.arange(1.0, 5) + step
        before = full if full is not None else compiled(kind, **PARAMS.get(kind, {}))[0].init()
        given = dict(seed=step, losses=np.where(present, losses, 0), second=second)
        weights, full = run(kind, jacobian, state=full, present=present, **given)
        given |= dict(losses=losses[kept], second=second[kept])
        wanted, alone = run(kind, jacobian[kept], state=alone, names=("a", "b", "d"), **given)
        np.testing.assert_allclose(np.asarray(weights)[kept], wanted, rtol=1e-9, atol=1e-12)
        assert weights[2] == 0
        for new, old in zip(jax.tree.leaves(full), jax.tree.leaves(before), strict=True):
            if new.ndim:
                np.testing.assert_array_equal(new[2], old[2])
                np.testing.assert_array_equal(new[..., 2], old[..., 2])


@each
def test_one_present_task_and_none(kind):
    jacobian = random_jacobian(5)
    weights, state = run(kind, jacobian, present=np.arange(4) == 1)
    wanted = ALONE.get(kind, lambda length: 1.0)(np.linalg.norm(jacobian[1]))
    np.testing.assert_allclose(weights, [0, wanted, 0, 0], rtol=0.11 if kind == "auto_lambda" else 1e-12)
    weights, state = run(kind, jacobian, present=np.zeros(4, bool))
    np.testing.assert_array_equal(weights, 0)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))


@each
@pytest.mark.parametrize("double", [True, False])
def test_no_scale_is_too_small_or_too_large(kind, double):
    with jax.enable_x64(double):
        jacobian = random_jacobian(6).astype(float if double else np.float32)
        base = direction(kind, jacobian, **PARAMS.get(kind, {}))
        for scale in (1e-10, 1e-5, 1e5, 1e10):
            weights, state = run(kind, jacobian * jacobian.dtype.type(scale))
            assert weights.dtype == jacobian.dtype and np.isfinite(weights).all()
            assert np.all(state["converged"]) if "converged" in state else True
            if DEGREES[kind] is not None:
                got = np.asarray(weights) @ jacobian * scale ** (1 - DEGREES[kind])
                np.testing.assert_allclose(got, base, rtol=1e-9 if double else 1e-3, atol=1e-9 if double else 1e-4)


@each
@pytest.mark.parametrize("double", [True, False])
def test_degenerate_gradients_give_finite_weights(kind, double):
    with jax.enable_x64(double):
        for name, jacobian in DEGENERATE.items():
            # Four rows of three columns each: one compilation.
            jacobian = np.pad(jacobian, ((0, 0), (0, 3 - jacobian.shape[1]))).astype(float if double else np.float32)
            weights, state = run(kind, jacobian)
            assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((weights, state))), name


@each
def test_a_batch_of_problems_is_solved_like_each(kind):
    method, step = compiled(kind, **PARAMS.get(kind, {}))
    jacobians = jnp.asarray([random_jacobian(seed, spread=1) for seed in range(3)])
    key, present, losses = jax.random.key(0), jnp.ones(4, bool), jnp.ones(4)
    together = jax.vmap(lambda j: step(j, present, method.init(), key, losses, j)[0])(jacobians)
    for jacobian, weights in zip(jacobians, together, strict=True):
        np.testing.assert_allclose(weights, run(kind, jacobian)[0], rtol=1e-9, atol=1e-12)


@each
def test_the_state_keeps_its_shape(kind):
    """As a scan over steps needs it, in float32 too."""
    for double in (True, False):
        with jax.enable_x64(double):
            method, step = compiled(kind, **PARAMS.get(kind, {}))
            jacobian = jnp.ones((4, 3), jnp.float32)
            given = jacobian, jnp.ones(4, bool), method.init(), jax.random.key(0), jnp.ones(4, jnp.float32), jacobian
            weights, state = jax.eval_shape(step, *given)
            assert weights.dtype == jnp.float32
            want = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), method.init())
            assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), state) == want


@each
def test_usual_problems_are_solved(kind):
    for seed in range(20):
        weights, state = run(kind, random_jacobian(seed, spread=1))
        assert np.isfinite(weights).all()
        assert np.all(state["converged"]) if "converged" in state else True


def test_different_methods_differ():
    jacobian = np.concatenate([CONFLICT, [[2.0, 1.0, -3.0]]])
    directions = {kind: direction(kind, jacobian, **PARAMS.get(kind, {})) for kind in DEGREES}
    directions["equal"] = jacobian.mean(0)
    # These two start as other methods do: GradNorm with the sum, GradVac with PCGrad.
    del directions["gradvac"]
    for (one, first), (other, second) in itertools.combinations(directions.items(), 2):
        assert np.abs(first - second).max() > 1e-3 * np.abs(first).max(), (one, other)


@pytest.mark.parametrize("kind", ["modo", "sdmgrad", "auto_lambda"])
def test_halves_of_a_batch_have_no_common_features(kind):
    method = weighting.make(kind, 2)
    assert method.needs == "halves" and method.levels == ("parameters",)


@pytest.mark.parametrize(
    ("kind", "params", "message"),
    [
        ("cagrad", {"c": -1.0}, "c must be"),
        ("fairgrad", {"alpha": 0.0}, "alpha must be"),
        ("gradvac", {"beta": 1.5}, "beta must be between 0 and 1, got 1.5"),
        ("upgrad", {"preference": {"z": 1.0}}, "'z'"),
        ("dualproj", {"preference": (1.0, 2.0)}, "2 numbers for 4"),
        ("conflict_free", {"preference": (1.0, 0.0, 1.0, 1.0)}, "must be positive"),
        ("gradnorm", {"alpha": -0.5}, "alpha must be"),
        ("modo", {"lr": 0.0}, "lr must be"),
        ("sdmgrad", {"steps": 0}, "steps must be"),
        ("auto_lambda", {"primary": ("a", "q")}, "'q'"),
    ],
)
def test_wrong_parameters_are_named(kind, params, message):
    with pytest.raises(ValueError, match=message):
        weighting.make(kind, names=NAMES, **params)

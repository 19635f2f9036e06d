"""What holds for every method that reads losses or whole gradients: absent tasks, order, range, compilation."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from weighting_steps import NAMES, compiled, data, flat_direction

from mtjax import weighting

METHODS = {
    "log": {},
    "geometric": {},
    "imtl_l": {"lr": 0.1},
    "stch": {"mu": 0.5, "warmup": 2},
    "dwa": {"window": 2},
    "rlw": {},
    "famo": {"lr": 0.3, "floor": 0.1},
    "graddrop": {},
    "excess_mtl": {"lr": 0.5},
    "moco": {"gamma": 0.5, "rho": 0.1},
    "db_mtl": {"sigma": 0.2},
}
STEPS = 6
EVERYBODY = np.ones(len(NAMES), bool)
each = pytest.mark.parametrize("kind", METHODS)


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def rows(tree, index):
    return jax.tree.map(lambda leaf: leaf[index], tree)


def task_rows(state, task, num_tasks=4):
    """The part of a state that belongs to one task."""
    leaves = [leaf for leaf in jax.tree.leaves(state) if leaf.ndim]
    assert all(len(leaf) == num_tasks for leaf in leaves)
    return [np.asarray(leaf[task]) for leaf in leaves]


def run(kind, chosen=None, present=EVERYBODY):
    """Weights and directions of several steps; of a method that only has the chosen tasks, if some are chosen."""
    chosen = np.arange(len(NAMES)) if chosen is None else chosen
    method, step = compiled(kind, tuple(NAMES[i] for i in chosen), **METHODS[kind])
    state = method.init(rows(data(0)[1], chosen))
    weights, directions = [], []
    for number in range(STEPS):
        losses, gradients, later = data(number)
        keep = np.broadcast_to(present, (STEPS, len(NAMES)))[number]
        gradients = jax.tree.map(lambda g, k=keep: jnp.where(k.reshape(-1, *(1,) * (g.ndim - 1)), g, 0), gradients)
        losses, gradients, later = rows((jnp.where(keep, losses, 0), gradients, jnp.where(keep, later, 0)), chosen)
        w, d, state = step(state, losses, jnp.asarray(keep[chosen]), gradients, jax.random.key(number), later)
        weights.append(w)
        directions.append(flat_direction(d))
    return np.asarray(weights), np.asarray(directions), state


@each
def test_an_absent_task_is_taken_out_of_the_problem(kind):
    present, chosen = np.asarray([True, False, True, True]), np.asarray([0, 2, 3])
    weights, directions, state = run(kind, present=present)
    alone, alone_directions, _ = run(kind, chosen)
    np.testing.assert_array_equal(weights[:, 1], 0)
    np.testing.assert_allclose(weights[:, chosen], alone, rtol=1e-12)
    np.testing.assert_allclose(directions, alone_directions, rtol=1e-10, atol=1e-12)
    before = compiled(kind, **METHODS[kind])[0].init(data(0)[1])
    for old, new in zip(task_rows(before, 1), task_rows(state, 1), strict=True):
        np.testing.assert_array_equal(old, new)


@each
def test_an_absent_task_keeps_its_state_and_others_go_on(kind):
    method, step = compiled(kind, **METHODS[kind])
    state = method.init(data(0)[1])
    for number in range(4):
        losses, gradients, later = data(number)
        _, _, state = step(state, losses, jnp.asarray(EVERYBODY), gradients, jax.random.key(0), later)
    losses, gradients, later = data(9)
    half = jnp.asarray([True, True, False, True])
    gone = jax.tree.map(lambda g: g.at[2].set(0), gradients)
    weights, _, after = step(state, losses.at[2].set(0), half, gone, jax.random.key(0), later.at[2].set(0))
    assert weights[2] == 0 and np.all(weights[np.asarray([0, 1, 3])] >= 0) and weights.sum() > 0
    names = [name for name in state if name != "present"] if isinstance(state, dict) else []
    for name in names:  # "present" tells who was there, so it changes
        for old, new in zip(task_rows(state[name], 2), task_rows(after[name], 2), strict=True):
            np.testing.assert_array_equal(old, new)
    if names and kind not in ("stch", "graddrop"):  # stch is past its warm-up; graddrop has nothing but the key
        moved = zip(task_rows(state, 0), task_rows(after, 0), strict=True)
        assert any(not np.array_equal(old, new) for old, new in moved)


@each
def test_of_nothing_is_nothing(kind):
    weights, directions, state = run(kind, present=np.zeros(len(NAMES), bool))
    np.testing.assert_array_equal(weights, 0)
    np.testing.assert_array_equal(directions, 0)
    assert all(np.isfinite(leaf).all() for task in range(len(NAMES)) for leaf in task_rows(state, task))


@each
def test_a_single_present_task_decides_alone(kind):
    weights, directions, _ = run(kind, present=np.asarray([False, False, True, False]))
    assert np.all(weights[:, 2] > 0)
    if kind not in ("moco", "db_mtl"):  # which follow a mean over steps
        gradients = np.stack([flat_direction(rows(data(number)[1], 2)) for number in range(STEPS)])
        np.testing.assert_allclose(directions, weights[:, 2:3] * gradients, rtol=1e-12)


@each
def test_the_order_of_the_tasks_does_not_matter(kind):
    """Also for the methods that are not equivariant to rotations; what is drawn hangs on names and coordinates."""
    order = np.asarray([2, 0, 3, 1])
    weights, directions, _ = run(kind)
    permuted, permuted_directions, _ = run(kind, order)
    np.testing.assert_allclose(permuted, weights[:, order], rtol=1e-9)
    np.testing.assert_allclose(permuted_directions, directions, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@each
def test_no_scale_of_losses_or_gradients_makes_a_weight_infinite(kind, dtype):
    with jax.enable_x64(dtype == np.float64):
        method, step = compiled(kind, **METHODS[kind])
        levels = [0.0, 1e-30, 1.0, 1e10, -1.0]
        for scale, first, second in itertools.product([0.0, 1e-10, 1.0, 1e10], levels, levels):
            losses, gradients, later = data(3, dtype=dtype)
            losses = losses.at[0].set(first).at[1].set(second)
            gradients = jax.tree.map(lambda g, s=scale: g * s, gradients)
            state = method.init(gradients)
            for number in range(3):
                weights, direction, state = step(
                    state, losses, jnp.asarray(EVERYBODY), gradients, jax.random.key(number), later
                )
            assert weights.dtype == dtype and np.isfinite(weights).all(), (scale, first, second, weights)
            assert np.isfinite(flat_direction(direction)).all(), (scale, first, second)


@each
def test_a_state_keeps_its_dtypes_whatever_the_losses_have(kind):
    """So that steps can be scanned, donated and restored."""
    for dtype in (np.float32, np.float64):
        method, step = compiled(kind, **METHODS[kind])
        losses, gradients, later = data(0, dtype=dtype)
        state = method.init(gradients)
        weights, direction, after = jax.eval_shape(
            step, state, losses, jnp.asarray(EVERYBODY), gradients, jax.random.key(0), later
        )
        assert weights.dtype == dtype and direction["w"].dtype == dtype
        assert jax.tree.map(lambda x: (x.shape, x.dtype), state) == jax.tree.map(lambda x: (x.shape, x.dtype), after)


@each
def test_under_vmap_as_one_by_one(kind):
    method, step = compiled(kind, **METHODS[kind])
    examples = [data(number) for number in range(3)]
    losses, gradients, later = jax.tree.map(lambda *leaves: jnp.stack(leaves), *examples)
    keys = jax.random.split(jax.random.key(0), 3)
    present = jnp.asarray([[True, True, True, True], [True, False, True, True], [True, True, True, False]])
    state = method.init(examples[0][1])
    together, _, _ = jax.vmap(step, (None, 0, 0, 0, 0, 0))(state, losses, present, gradients, keys, later)
    for number in range(3):
        one, _, _ = step(state, *rows((losses, present, gradients, keys, later), number))
        np.testing.assert_allclose(together[number], one, rtol=1e-12)


def test_methods_that_should_differ_do():
    directions = {kind: run(kind)[1][-1] for kind in METHODS}
    for one, other in itertools.combinations(METHODS, 2):
        assert not np.allclose(directions[one], directions[other], rtol=1e-3), (one, other)


@each
def test_combine_applies_the_method_once(kind):
    _, gradients, _ = data(1)
    direction = weighting.combine(kind, gradients["b"], losses=data(1)[0])
    assert direction.shape == (5,) and np.isfinite(direction).all() and np.any(np.asarray(direction) != 0)

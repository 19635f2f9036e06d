import jax
import jax.numpy as jnp
import numpy as np
import pytest
from weighting_steps import compiled, data, flat, flat_direction

from mtjax import weighting
from mtjax.weighting.buffers import gram, norms
from mtjax.weighting.quadratic import project_simplex

ALL = np.ones(4, bool)
SOME = np.asarray([True, False, True, True])
KEY = jax.random.key(0)


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def nearest_on_simplex(point):
    """By bisection for the number that is taken off everywhere."""
    low, high = point.min() - 1, point.max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(point - middle, 0).sum() > 1 else (low, middle)
    return np.maximum(point - low, 0)


class Excess:
    """ExcessMTL in NumPy."""

    def __init__(self, size):
        self.energy, self.first, self.log = np.zeros(size), np.zeros(4), np.zeros(4)

    def __call__(self, rows, losses, present):
        self.energy[present] += rows[present] ** 2
        excess = (rows**2 / np.sqrt(np.where(self.energy > 0, self.energy, 1))).sum(1)
        self.first = np.where(present & (self.first == 0), excess, self.first)
        self.log[present] += 0.5 * excess[present] / self.first[present]
        weights = np.where(present, np.exp(self.log), 0)
        return weights / weights.sum(), weights / weights.sum() @ rows


class MoCo:
    """MoCo in NumPy: algorithm 1 with the schedule of the authors' code."""

    def __init__(self, size):
        self.buffer, self.count, self.share = np.zeros(size), np.zeros(4), np.full(4, 0.25)

    def __call__(self, rows, losses, present):
        self.count[present] += 1
        for i in np.flatnonzero(present):
            target = rows[i] / np.linalg.norm(rows[i]) * losses[i]
            self.buffer[i] -= 0.5 / self.count[i] ** 0.5 * (self.buffer[i] - target)
        here = self.buffer[present]
        total = self.share[present].sum()
        own = self.share[present] / total
        rate = 0.3 / self.count[present].max() ** 0.4
        own = nearest_on_simplex(own - rate * (here @ here.T + 0.1 * np.eye(len(here))) @ own)
        self.share[present] = total * own
        weights = np.zeros(4)
        weights[present] = own
        return weights, own @ here


class Balanced:
    """DB-MTL in NumPy."""

    def __init__(self, size):
        self.buffer, self.count = np.zeros(size), np.zeros(4)

    def __call__(self, rows, losses, present):
        self.count[present] += 1
        for i in np.flatnonzero(present):
            gradient = rows[i] / losses[i]
            self.buffer[i] = gradient + 0.8 / self.count[i] ** 0.3 * (self.buffer[i] - gradient)
        lengths = np.linalg.norm(self.buffer, axis=1)
        weights = np.zeros(4)
        weights[present] = lengths[present].max() / lengths[present]
        return weights, weights @ self.buffer


CASES = [
    ("excess_mtl", {"lr": 0.5}, Excess),
    ("moco", {"gamma": 0.3, "gamma_sigma": 0.4, "rho": 0.1}, MoCo),
    ("db_mtl", {"beta": 0.8, "sigma": 0.3}, Balanced),
]


@pytest.mark.parametrize(("kind", "params", "reference"), CASES)
def test_agrees_with_numpy_over_several_steps(kind, params, reference):
    method, step = compiled(kind, **params)
    state = method.init(jax.tree.map(lambda g: jax.ShapeDtypeStruct(g.shape, g.dtype), data(0)[1]))
    expected = reference((4, 11))
    for number in range(8):
        losses, gradients, later = data(number)
        present = SOME if number in (2, 3) else ALL
        gone = jax.tree.map(lambda g, p=present: g * p.reshape(-1, *(1,) * (g.ndim - 1)), gradients)
        weights, direction, state = step(state, losses * present, jnp.asarray(present), gone, KEY, later)
        wanted_weights, wanted = expected(flat(gone), np.asarray(losses), present)
        np.testing.assert_allclose(weights, wanted_weights, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(flat_direction(direction), wanted, rtol=1e-9, atol=1e-12)


def test_excess_mtl_begins_with_equal_weights_and_then_follows_the_excess():
    method, step = compiled("excess_mtl", lr=0.5)
    losses, gradients, later = data(0)
    weights, _, state = step(method.init(gradients), losses, ALL, gradients, KEY, later)
    np.testing.assert_allclose(weights, 0.25)
    weaker = jax.tree.map(lambda g: g.at[0].multiply(0.1), gradients)
    weights, _, _ = step(state, losses, ALL, weaker, KEY, later)
    assert weights[0] < 0.25 - 1e-3 and np.ptp(weights[1:]) < 1e-9


def test_excess_mtl_depends_on_the_axes_and_the_others_do_not():
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(11, 11)))[0]
    for kind, params, _ in CASES:
        found = []
        for turn in (np.eye(11), rotation):
            method, step = compiled(kind, **params)
            state = method.init({"flat": jnp.zeros((4, 11))})
            for number in range(3):
                losses, gradients, later = data(number)
                rows = {"flat": jnp.asarray(flat(gradients) @ turn)}
                _, direction, state = step(state, losses, ALL, rows, KEY, later)
            found.append(np.asarray(direction["flat"]))
        assert np.allclose(found[0] @ rotation, found[1], rtol=1e-9) == (kind != "excess_mtl"), kind


def settled_weights(rows, losses):
    """The weights of MoCo after many steps with the same gradients."""
    method = weighting.make("moco", len(rows), gamma_sigma=0.0)
    signals = weighting.Signals(losses, jnp.ones(len(rows), bool), gradients=rows)

    @jax.jit
    def settle(state):
        return jax.lax.scan(lambda s, _: method.update(signals, s)[::-1], state, None, length=1500)

    return np.asarray(settle(method.init(rows))[1][-1])


def test_moco_with_constant_gradients_reaches_the_weights_of_mgda():
    random = np.random.default_rng(2)
    one, two = np.asarray([1.0, 0.5, 0, 0.2, 0, 0]), np.asarray([-0.5, 0.8, 0.3, 0, 0, 0.1])
    gamma = np.clip((two - one) @ two / ((one - two) @ (one - two)), 0, 1)
    lengths = np.linalg.norm([one, two], axis=1)
    # Losses equal to the lengths: MoCo's scaled gradients are then the gradients themselves.
    found = settled_weights(jnp.asarray([one, two]), jnp.asarray(lengths))
    np.testing.assert_allclose(found, [gamma, 1 - gamma], atol=1e-6)
    assert 0.1 < gamma < 0.9
    rows = random.normal(size=(4, 6)) + 0.5
    rows[3] = rows[:3].mean(0) * 3  # on the far side of the others: no part of the shortest combination
    found = settled_weights(jnp.asarray(rows), jnp.asarray(np.linalg.norm(rows, axis=1)))
    shortest = found @ rows
    slack = rows @ shortest - shortest @ shortest
    assert np.all(slack > -1e-6) and np.all(np.abs(slack[found > 1e-6]) < 1e-6) and found[3] == 0


def test_moco_scales_gradients_to_the_losses():
    method, step = compiled("moco", gamma=0.3)
    losses, gradients, later = data(0)
    _, _, state = step(method.init(gradients), losses, ALL, gradients, KEY, later)
    np.testing.assert_allclose(np.linalg.norm(flat(state["buffer"]), axis=1), 0.5 * losses, rtol=1e-12)


def test_moco_leaves_an_absent_task_its_share():
    method, step = compiled("moco", gamma=0.3)
    losses, gradients, later = data(0)
    state = {**method.init(gradients), "share": jnp.asarray([0.1, 0.6, 0.3, 0.0])}
    _, _, state = step(state, losses, SOME, gradients, KEY, later)
    np.testing.assert_allclose([state["share"][1], state["share"].sum()], [0.6, 1])
    only = np.asarray([False, False, False, True])  # whose share is zero
    weights, _, after = step(state, losses, only, gradients, KEY, later)
    np.testing.assert_allclose(weights, only)
    assert np.isfinite(after["share"]).all()


def test_db_mtl_gives_all_tasks_the_largest_length():
    method, step = compiled("db_mtl")
    state = method.init(data(0)[1])
    for number in range(3):
        losses, gradients, later = data(number)
        weights, _, state = step(state, losses, ALL, gradients, KEY, later)
        lengths = np.linalg.norm(flat(state["buffer"]), axis=1)
        np.testing.assert_allclose(weights * lengths, lengths.max(), rtol=1e-12)
    assert np.ptp(weights) > 0.1


def test_db_mtl_does_not_see_the_unit_of_a_loss():
    method, step = compiled("db_mtl")
    units = jnp.asarray([1e3, 1.0, 0.02, 7.0])
    losses, gradients, later = data(0)
    scaled = jax.tree.map(lambda g: g * units.reshape(-1, *(1,) * (g.ndim - 1)), gradients)
    one, other = [
        step(method.init(gradients), each, ALL, g, KEY, later)[1]
        for each, g in ((losses, gradients), (units * losses, scaled))
    ]
    np.testing.assert_allclose(flat_direction(one), flat_direction(other), rtol=1e-12)


def test_a_task_without_gradient_disturbs_no_other():
    for kind, params, _ in CASES:
        method, step = compiled(kind, **params)
        losses, gradients, later = data(0)
        gradients = jax.tree.map(lambda g: g.at[1].set(0), gradients)
        weights, direction, _ = step(method.init(gradients), losses, ALL, gradients, KEY, later)
        assert np.isfinite(weights).all() and np.isfinite(flat_direction(direction)).all()
        assert np.all(weights[np.asarray([0, 2, 3])] > 0) or kind == "moco"


def test_bfloat16_gradients_are_kept_in_float32():
    for kind, params, _ in CASES:
        method, step = compiled(kind, **params)
        losses, gradients, later = data(0)
        gradients = jax.tree.map(lambda g: g.astype(jnp.bfloat16), gradients)
        state = method.init(gradients)
        _, direction, after = step(state, losses, ALL, gradients, KEY, later)
        assert direction["w"].dtype == jnp.bfloat16
        assert jax.tree.map(lambda x: x.dtype, after) == jax.tree.map(lambda x: x.dtype, state)
        large = [leaf for leaf in jax.tree.leaves(after) if leaf.ndim > 1]
        assert large and all(leaf.dtype == jnp.float32 for leaf in large)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_lengths_stay_in_the_range_of_float32(scale):
    gradients = data(0)[1]
    small = jax.tree.map(lambda g: (g * scale).astype(jnp.float32), gradients)
    np.testing.assert_allclose(norms(small), scale * np.linalg.norm(flat(gradients), axis=1), rtol=1e-6)


def test_inner_products_are_those_of_the_whole_gradients():
    gradients = data(0)[1]
    np.testing.assert_allclose(gram(gradients), flat(gradients) @ flat(gradients).T, rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e20])
def test_the_projection_is_the_nearest_point(scale):
    random = np.random.default_rng(3)
    for present in (ALL, SOME, np.asarray([False, True, False, False])):
        for _ in range(5):
            point = random.normal(size=4) * scale
            expected = np.zeros(4)
            expected[present] = nearest_on_simplex(point[present] - point[present].max())
            np.testing.assert_allclose(project_simplex(jnp.asarray(point), jnp.asarray(present)), expected, atol=1e-9)


@pytest.mark.parametrize("kind", ["excess_mtl", "moco", "db_mtl"])
def test_init_wants_gradients_or_their_shapes(kind):
    method = weighting.make(kind, 4)
    assert method.levels == ("parameters",) and method.needs == "gradients"
    with pytest.raises(ValueError, match=f"{kind} keeps something of the gradients' size: init needs them"):
        method.init()
    with pytest.raises(ValueError, match=r"gradients must have leaves \[4, \.\.\.\], one row per task, got \(3, 2\)"):
        method.init({"w": jax.ShapeDtypeStruct((3, 2), jnp.float32)})


@pytest.mark.parametrize(
    ("kind", "params", "message"),
    [
        ("excess_mtl", {"lr": 0.0}, "lr must be a positive number, got 0.0"),
        ("moco", {"beta": -0.5}, "beta must be a positive number, got -0.5"),
        ("moco", {"gamma": float("nan")}, "gamma must be a positive number, got nan"),
        ("moco", {"rho": -1.0}, "rho must be a number that is not negative, got -1.0"),
        ("moco", {"gamma_sigma": -1.0}, "gamma_sigma must be a number that is not negative, got -1.0"),
        ("db_mtl", {"beta": 1.0}, "beta must be below 1, got 1.0"),
        ("db_mtl", {"sigma": -1.0}, "sigma must be a number that is not negative, got -1.0"),
    ],
)
def test_a_wrong_parameter_gets_one_line(kind, params, message):
    with pytest.raises(ValueError, match=message):
        weighting.make(kind, 4, **params)

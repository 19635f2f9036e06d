"""Data terms: proximal maps against a dense grid and Moreau's identity, gradients against their values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtjax import physics, solvers

RANDOM = np.random.default_rng(0)
SHAPE = (3, 4, 2)
T = 0.7
WEIGHTS = np.round(8 * RANDOM.uniform(0, 2, SHAPE)) / 8  # some are 0; all are exact in float32
TERMS = {
    "l2": solvers.L2(),
    "weighted": solvers.WeightedL2(WEIGHTS),
    "l1": solvers.L1(),
    "huber": solvers.Huber(0.25),
    "poisson": solvers.Poisson(0.0625),
    "ball": solvers.L2Ball(0.8),
}
SEPARABLE = [name for name in TERMS if name != "ball"]
SMOOTH = ["l2", "weighted", "huber"]


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def pair(like=SHAPE):
    """Some `v`, and observations that are not negative and now and then 0."""
    return jnp.asarray(RANDOM.normal(0.4, 1, like)), jnp.asarray(np.maximum(RANDOM.normal(0.5, 0.5, like), 0))


def by_definition(name, z, y):
    """The value at each pixel, in NumPy."""
    r = z - y
    if name == "poisson":
        mean = z + 0.0625
        with np.errstate(divide="ignore", invalid="ignore"):
            log = np.where(y > 0, y * np.log(np.where(y > 0, mean / np.where(y > 0, y, 1), 1)), 0)
        return np.where(mean < 0, np.inf, mean - y - np.where(np.isnan(log), -np.inf, log))
    return {
        "l2": r**2 / 2,
        "weighted": np.broadcast_to(WEIGHTS, r.shape) * r**2 / 2,
        "l1": np.abs(r),
        "huber": np.where(np.abs(r) < 0.25, r**2 / 2, 0.25 * np.abs(r) - 0.03125),
    }[name]


@pytest.mark.parametrize("name", SEPARABLE)
def test_the_value_is_the_definition(name):
    z, y = pair((2, *SHAPE))
    z = jnp.abs(z)  # where Poisson's is finite
    expected = by_definition(name, np.asarray(z), np.asarray(y)).sum((1, 2, 3))
    np.testing.assert_allclose(TERMS[name].value(z, y), expected, rtol=1e-12)


def test_poisson_is_infinite_where_nothing_could_be_counted():
    y = jnp.ones((1, 1, 1))
    term = solvers.Poisson()
    for z, expected in ((-0.1, np.inf), (0.0, np.inf), (1.0, 0.0), (2.0, 1 - np.log(2))):
        np.testing.assert_allclose(term.value(z * y, y), expected, rtol=1e-12)
    assert term.value(0 * y, 0 * y) == 0
    assert term.value(-y, 0 * y) == np.inf


@pytest.mark.parametrize("name", SEPARABLE)
def test_no_point_of_a_grid_is_better_than_the_prox(name):
    v, y = pair()
    found = np.asarray(TERMS[name].prox(v, T, y))

    def cost(z):
        return T * by_definition(name, z, np.asarray(y)) + (z - np.asarray(v)) ** 2 / 2

    grid = np.linspace(-4, 4, 16001)[:, None, None, None]
    best = cost(grid + 0 * np.asarray(v)).min(0)
    assert np.isfinite(cost(found)).all()
    assert (cost(found) <= best + 1e-12).all()  # and so, the cost being 1-strongly convex, near the minimizer:
    np.testing.assert_allclose(found, grid.ravel()[cost(grid + 0 * np.asarray(v)).argmin(0)], atol=1e-3)


def test_the_prox_of_the_ball_is_the_nearest_point():
    v, y = pair()
    for scale in (0.01, 1.0):
        z = scale * v + (1 - scale) * y
        found = np.asarray(solvers.L2Ball(0.8).prox(z, T, y))
        away = np.asarray(z - y)
        size = np.linalg.norm(away)
        np.testing.assert_allclose(found, y + away * min(1, 0.8 / size), atol=1e-12)
        assert solvers.L2Ball(0.8).value(jnp.asarray(found), y) == 0
    assert solvers.L2Ball(0.8).value(v, y) == np.inf


@pytest.mark.parametrize("name", TERMS)
def test_proximal_maps_are_firmly_nonexpansive_and_moreau_holds(name):
    v, y = pair()
    w, _ = pair()
    term = TERMS[name]
    p, q = term.prox(v, T, y), term.prox(w, T, y)
    assert jnp.sum((p - q) ** 2) <= jnp.sum((p - q) * (v - w)) + 1e-12
    # The rest, (v − p) / t, is the dual point: φ(z) >= φ(p) + <(v − p) / t, z − p> for every z (Fenchel and Moreau).
    rest = (v - p) / T
    z = jnp.abs(jnp.asarray(RANDOM.uniform(0, 1, (500, *SHAPE)))) if name != "ball" else y + 0.1 * (v - y) + 0 * v[None]
    bound = term.value(p, y) + jnp.sum(rest * (z - p), (1, 2, 3))
    assert (term.value(z, y) >= bound - 1e-9).all()


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_and_curvatures(name):
    term, (z, y) = TERMS[name], pair()
    np.testing.assert_allclose(term.gradient(z, y), jax.grad(lambda z: term.value(z, y))(z), atol=1e-12)
    jacobian = np.asarray(jax.jacobian(term.gradient)(z, y)).reshape(z.size, z.size)
    largest = np.linalg.norm(jacobian, 2)
    assert 0.3 < largest <= term.curvature + 1e-12


@pytest.mark.parametrize("name", sorted(set(TERMS) - set(SMOOTH)))
def test_what_is_not_smooth_says_so(name):
    assert TERMS[name].curvature is None
    with pytest.raises(ValueError, match="no gradient") as caught:
        TERMS[name].gradient(*pair())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", TERMS)
def test_derivatives_of_values_and_proximal_maps(name):
    """Finite at kinks, where `z = y`; those of central differences elsewhere."""
    term, (v, y) = TERMS[name], pair()
    y = y + 0.1

    def projected(v, t, y):
        return jnp.sum(jnp.cos(jnp.arange(v.size)).reshape(v.shape) * term.prox(v, t, y))

    args = (v, jnp.asarray(T), y)
    gradients = jax.grad(projected, (0, 1, 2))(*args)
    for i, gradient in enumerate(gradients):
        direction = jnp.asarray(RANDOM.normal(size=args[i].shape))
        ends = [projected(*args[:i], args[i] + s * 1e-6 * direction, *args[i + 1 :]) for s in (1, -1)]
        np.testing.assert_allclose(jnp.vdot(gradient, direction), (ends[0] - ends[1]) / 2e-6, rtol=1e-5, atol=1e-8)
    for dtype in (np.float32, np.float64):
        y = y.astype(dtype)
        for where in (y, 0 * y):
            kinks = jax.grad(projected, (0, 1, 2))(where, jnp.asarray(T, dtype), y)
            assert all(jnp.isfinite(g).all() for g in kinks)
        if name != "ball":
            assert jnp.isfinite(jax.grad(lambda z, y=y: term.value(z, y))(y)).all()


@pytest.mark.parametrize("name", TERMS)
def test_tuples_are_terms_added_up(name):
    (v, y), (w, x) = pair(), pair()
    term = TERMS[name]
    parts = term
    if name == "weighted":
        parts = solvers.WeightedL2((WEIGHTS, WEIGHTS))
    elif name == "ball":  # one ball for both
        joined = term.prox(jnp.concatenate([v, w]), T, jnp.concatenate([y, x]))
        np.testing.assert_allclose(jnp.concatenate(term.prox((v, w), T, (y, x))), joined, atol=1e-12)
        return
    for found, expected in zip(parts.prox((v, w), T, (y, x)), (term.prox(v, T, y), term.prox(w, T, x)), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-12)
    v, w = jnp.abs(v), jnp.abs(w)
    np.testing.assert_allclose(parts.value((v, w), (y, x)), term.value(v, y) + term.value(w, x), rtol=1e-12)
    if name in SMOOTH:
        np.testing.assert_allclose(parts.gradient((v, w), (y, x))[1], term.gradient(w, x), atol=1e-12)


def test_parameters_for_each_example():
    v, y = pair((2, *SHAPE))
    for make, values in ((solvers.Huber, [0.1, 0.5]), (solvers.L2Ball, [0.2, 1.0]), (solvers.Poisson, [0.0, 0.3])):
        both = make(jnp.array(values))
        for i, value in enumerate(values):
            alone = make(value).prox(v[i], T, y[i])
            np.testing.assert_allclose(both.prox(v, T, y)[i], alone, atol=1e-12)
            np.testing.assert_allclose(both.value(v, y)[i], make(value).value(v[i], y[i]))


@pytest.mark.parametrize("name", ["l2", "weighted", "l1", "huber", "ball"])
def test_complex_values_turn_with_their_phase(name):
    """Turning `v` and `y` by one phase turns the proximal point, and leaves the value."""
    term, (v, y) = TERMS[name], pair()
    phase = np.exp(0.7j)
    np.testing.assert_allclose(term.prox(phase * v, T, phase * y), phase * term.prox(v, T, y), atol=1e-12)
    np.testing.assert_allclose(term.value(phase * v, phase * y), term.value(v, y), rtol=1e-12)


def test_weights_that_are_not_built_as_the_observation():
    v, y = pair()
    with pytest.raises(ValueError, match="weights are not built as y is"):
        solvers.WeightedL2(WEIGHTS).value((v, v), (y, y))


def test_the_curvature_is_certain_for_a_whole_problem():
    """The gradient of `φ(A x)` is no steeper than curvature times `‖A‖²` says."""
    operator = physics.Blur(RANDOM.uniform(size=(3, 3)))
    term, y = solvers.WeightedL2(WEIGHTS), pair()[1]
    x = jnp.zeros((3, 4, 2))
    hessian = jax.hessian(lambda x: term.value(operator(x), y))(x).reshape(x.size, x.size)
    assert np.linalg.norm(hessian, 2) <= term.curvature * operator.norm_bound() ** 2 + 1e-9

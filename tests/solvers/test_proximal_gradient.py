"""Proximal gradients: optima computed otherwise, known rates, gradients, batches; denoisers as proximal maps; RED."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from mtjax import physics, solvers
from mtjax.solvers.priors import Gradient

RANDOM = np.random.default_rng(0)
SHAPE = (8, 7, 1)
KERNEL = np.asarray(physics.kernels.gaussian(0.6, 3))
IMAGE = RANDOM.uniform(size=SHAPE)
MASK = RANDOM.uniform(size=SHAPE[:2]) < 0.7
WEIGHT = 0.03
SOLVERS = {"ista": solvers.ista, "fista": solvers.fista, "davis_yin": solvers.davis_yin}
TIGHT = {"tolerance": 1e-10, "max_iterations": 20000}


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def dense(operator, shape=SHAPE):
    columns = jax.jit(jax.vmap(operator))(jnp.eye(int(np.prod(shape))).reshape(-1, *shape))
    return np.concatenate([np.reshape(part, (int(np.prod(shape)), -1)) for part in jax.tree.leaves(columns)], 1).T


def optimum(matrix, analysis, y, weight):
    """Exact minimizer of `½‖A x − y‖² + w‖L x‖₁`: the dual is a least-squares problem with bounds, `|p| <= w`."""
    factor = np.linalg.cholesky(matrix.T @ matrix)
    solve = functools.partial(np.linalg.solve, factor)
    found = scipy.optimize.lsq_linear(solve(analysis.T), solve(matrix.T @ y), (-weight, weight), "bvls", tol=1e-15)
    return np.linalg.solve(factor.T, solve(matrix.T @ y - analysis.T @ found.x))


def blur():
    return physics.Blur(KERNEL)


def close(found, expected):
    assert np.linalg.norm(found - expected) <= 1e-6 * np.linalg.norm(expected)


@pytest.mark.parametrize("kind", ["sparse", "variation"])
def test_all_reach_the_exact_optimum(kind):
    operator = blur()
    sparse = kind == "sparse"
    prior = solvers.GroupL21(WEIGHT) if sparse else solvers.TotalVariation(WEIGHT, isotropic=False)
    observed = (IMAGE > 0.8) * IMAGE if sparse else IMAGE
    y = operator(jnp.asarray(observed)) + 0.02 * RANDOM.standard_normal(SHAPE)
    analysis = np.eye(IMAGE.size) if sparse else dense(Gradient())
    expected = optimum(dense(operator), analysis, np.ravel(y), WEIGHT).reshape(SHAPE)
    assert np.sum(np.abs(analysis @ expected.ravel()) < 1e-9) > 10  # the prior has done something
    for solver in SOLVERS.values():
        found = jax.jit(functools.partial(solver, operator=operator, prior=prior, **TIGHT))(y)
        assert solvers.status_name(found.status) == "converged"
        close(found.image, expected)


PROBLEMS = {
    "masked-box": (True, [solvers.TotalVariation], None, solvers.Box(0.2, 0.8)),
    "two-huber": (False, [solvers.TotalVariation, solvers.GroupL21], solvers.Huber(0.1), None),
    "tgv": (False, [solvers.TGV], None, solvers.NonNegative()),
}


@pytest.mark.parametrize(("name", "problem"), PROBLEMS.items())
def test_the_optimum_is_that_of_other_methods(name, problem):
    masked, kinds, data, constraint = problem
    operator = physics.Mask(MASK) @ blur() if masked else blur()
    y = operator(jnp.asarray(1.3 * IMAGE - 0.15))
    prior = [kind(WEIGHT) for kind in kinds]
    arguments = {"operator": operator, "prior": prior, "data": data, "constraint": constraint}
    if name == "tgv":
        expected = solvers.pdhg(y, **arguments, tolerance=1e-11, max_iterations=100000)
    else:
        expected = solvers.admm(y, **arguments, rho=0.3, tolerance=1e-11, max_iterations=50000)
    assert solvers.status_name(expected.status) == "converged"
    for solver in (solvers.fista, solvers.davis_yin):
        found = jax.jit(functools.partial(solver, **arguments, **TIGHT))(y)
        assert solvers.status_name(found.status) == "converged"
        close(found.image, expected.image)
        if constraint is not None:
            np.testing.assert_array_less(np.abs(constraint.prox(found.image, 1.0) - found.image), 1e-12)


def test_known_rates_from_a_bad_start():
    """`F(x_k) − F* <= L‖x₀ − x*‖² / 2k`, `2 L‖x₀ − x*‖² / (k + 1)²` with momentum (Beck and Teboulle, 2009)."""
    operator = physics.Blur(np.asarray(physics.kernels.gaussian(1.2, 5)))
    y, prior, count = operator(jnp.asarray(IMAGE)), solvers.GroupL21(1e-3), 60
    start = jnp.full(SHAPE, 5.0)
    solve = {name: functools.partial(solver, y, operator, prior) for name, solver in SOLVERS.items()}
    best = jax.jit(functools.partial(solve["fista"], tolerance=1e-12, max_iterations=20000))()
    least = np.ravel(dense(operator) @ np.ravel(best.image) - np.ravel(y))
    least = (least**2).sum() / 2 + 1e-3 * np.abs(best.image).sum()
    squared = float(jnp.sum((start - best.image) ** 2))
    k = np.arange(1, count + 1)
    traces = {
        "ista": solve["ista"](iterations=count, init=start, trace=True).trace,
        "fista": solve["fista"](iterations=count, init=start, trace=True, restart=False).trace,
    }
    excess = {name: np.asarray(trace["objective"]) - least for name, trace in traces.items()}
    assert np.all(excess["ista"] <= squared / (2 * k))
    assert np.all(np.diff(excess["ista"]) < 1e-12)
    assert np.all(excess["fista"] <= 2 * squared / (k + 1) ** 2)
    assert excess["fista"][-1] < 0.1 * excess["ista"][-1]
    assert min(excess["ista"].min(), excess["fista"].min()) > -1e-9


BOX, SLOPE = (0.2, 0.8), RANDOM.uniform(size=SHAPE)


def test_implicit_gradients_are_finite_differences():
    def loss(y, weight, kernel):
        prior, box = solvers.TotalVariation(weight), solvers.Box(*BOX)
        options = {"tolerance": 1e-11, "max_iterations": 20000}
        found = solvers.fista(y, physics.Blur(kernel), prior, constraint=box, **options)
        return jnp.vdot(jnp.asarray(SLOPE), found.image)

    args = (blur()(jnp.asarray(IMAGE)), jnp.array(WEIGHT), jnp.asarray(KERNEL))
    gradients = jax.jit(jax.grad(loss, (0, 1, 2)))(*args)
    loss = jax.jit(loss)
    for i, (arg, gradient) in enumerate(zip(args, gradients, strict=True)):
        direction = jnp.asarray(RANDOM.standard_normal(arg.shape))
        ends = [loss(*args[:i], arg + s * 1e-6 * direction, *args[i + 1 :]) for s in (1, -1)]
        np.testing.assert_allclose(jnp.vdot(gradient, direction), (ends[0] - ends[1]) / 2e-6, rtol=1e-3, atol=1e-4)


def test_each_example_stops_by_itself():
    y = jnp.asarray(RANDOM.uniform(size=(3, *SHAPE)))
    masks = jnp.asarray(RANDOM.uniform(size=(3, *SHAPE)) < 0.6, float)
    weights = jnp.array([0.01, 0.05, 0.2])

    def solve(y, mask, weight):
        prior = solvers.TotalVariation(weight)
        box = solvers.Box(*BOX)
        return solvers.fista(mask * y, physics.Mask(mask), prior, tolerance=1e-4, inner=5, constraint=box)

    together, mapped = jax.jit(solve)(y, masks, weights), jax.jit(jax.vmap(solve))(y, masks, weights)
    assert len(set(np.asarray(together.iterations).tolist())) == 3
    alone = jax.jit(solve)
    for i in range(3):
        one = alone(y[i], masks[i], weights[i])
        for many in (together, mapped):
            np.testing.assert_allclose(many.image[i], one.image, atol=1e-12)
            assert many.iterations[i] == one.iterations
            assert many.status[i] == one.status == solvers.Status.CONVERGED


def test_an_earlier_solution_is_gone_on_from():
    y = blur()(jnp.asarray(IMAGE))
    solve = functools.partial(solvers.fista, y, blur(), solvers.TotalVariation(WEIGHT), inner=3)
    whole, first = solve(iterations=5), solve(iterations=2)
    np.testing.assert_allclose(solve(iterations=3, init=first).image, whole.image, atol=1e-14)
    assert jnp.abs(solve(iterations=3, init=first.image).image - whole.image).max() > 1e-6  # the duals matter


def smoother():
    """A denoiser `f(x) = W x` with `W` symmetric, and `W` as a matrix."""
    mean = physics.Blur(np.asarray(physics.kernels.gaussian(1.0, 5)))
    return lambda x, sigma: mean(x), dense(mean)


def test_a_linear_denoiser_as_a_proximal_map():
    denoise, w = smoother()
    operator = blur()
    a, y = dense(operator), operator(jnp.asarray(IMAGE))
    found = solvers.fista(y, operator, solvers.Denoiser(denoise), step=0.9, **TIGHT)
    expected = np.linalg.solve(np.eye(len(w)) - w + 0.9 * w @ a.T @ a, 0.9 * w @ a.T @ np.ravel(y))
    close(np.ravel(found.image), expected)


def test_red_with_a_linear_denoiser_minimizes_its_cost():
    denoise, w = smoother()
    weights = jnp.array([0.05, 0.5])
    for operator in (blur(), physics.Mask(MASK) @ blur()):
        a, y = dense(operator), operator(jnp.asarray(RANDOM.uniform(size=(2, *SHAPE))))
        found = jax.jit(lambda y, op=operator: solvers.red(y, op, denoise, weights, **TIGHT))(y)
        for i, weight in enumerate(weights):
            normal = a.T @ a + weight * (np.eye(len(w)) - w)
            close(np.ravel(found.image[i]), np.linalg.solve(normal, a.T @ np.ravel(y[i])))
            assert found.status[i] == solvers.Status.CONVERGED


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": solvers.L1()}, "pdhg"),
        ({"inner": 0}, "inner=0"),
        ({"step": jnp.ones(3)}, "hyper-parameter"),
        ({"iterations": 3, "tolerance": 1e-3}, "exclude each other"),
        ({"relaxation": 2.5}, "relaxation=2.5"),
    ],
)
def test_bad_arguments_get_one_line(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        solvers.davis_yin(jnp.ones((8, 8)), physics.Identity(), solvers.TotalVariation(), **options)
    assert "\n" not in str(caught.value)

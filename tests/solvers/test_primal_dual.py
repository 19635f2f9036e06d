"""Primal-dual, linearized ADMM, Douglas-Rachford: steps, gradients, batches, and terms of every kind."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtjax import physics, solvers
from mtjax.solvers import TotalVariation
from mtjax.solvers.bounds import bound_of_each, squared_norm
from mtjax.solvers.constraints import Box

RANDOM = np.random.default_rng(0)
SHAPE = (8, 10, 1)
KERNEL = np.asarray(physics.kernels.gaussian(0.7, 5), float)
IMAGE = RANDOM.uniform(size=SHAPE)
WEIGHT = 0.03
NAMES = ["pdhg", "linearized_admm", "douglas_rachford"]


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def near(found, expected):
    return np.linalg.norm(np.asarray(found) - np.asarray(expected)) / np.linalg.norm(np.asarray(expected))


def test_steps_are_certain_to_converge():
    """`1/τ − Σ σᵢ LᵢᵀLᵢ` is not negative, and at least half the gradient's Lipschitz constant where one is taken."""
    from mtjax.solvers.primal_dual import _plan
    from mtjax.solvers.problem import pose

    operator = physics.Blur(RANDOM.uniform(size=(3, 3)), "edge")
    problem = pose(jnp.asarray(IMAGE), operator, [TotalVariation(WEIGHT), TotalVariation(WEIGHT, boundary="reflect")])
    maps = [operator, *(prior.analysis for prior in problem.priors)]
    normal, *analyses = [np.asarray(jax.jacobian(a.normal)(jnp.zeros(SHAPE))).reshape(80, 80) for a in maps]
    for gradient in (False, True):
        for step in (None, 1e-3, 1.0, 1e3):
            for relaxation in (0.5, 1.0, 1.9):
                plan = _plan(problem, step, jnp.array(relaxation), gradient)
                terms = zip(plan.terms, analyses if gradient else [normal, *analyses], strict=True)
                rest = np.linalg.eigvalsh(np.eye(80) / plan.step - sum(term.rho * m for term, m in terms)).min()
                least = np.linalg.norm(normal, 2) / 2 / (2 - relaxation) if gradient else 0
                assert rest >= least - 1e-9 / float(plan.step)
                if step is not None:
                    assert plan.step <= step * (1 + 1e-9)


def test_bounds_are_of_each_example_by_itself():
    kernels = RANDOM.uniform(size=(3, 3, 3, 1))
    each = squared_norm(physics.Mask(MASKS) @ physics.Blur(kernels))
    alone = [float(squared_norm(physics.Mask(MASKS[i]) @ physics.Blur(kernels[i]))) for i in range(3)]
    np.testing.assert_allclose(each, np.reshape(alone, (3, 1, 1, 1)))
    assert squared_norm(physics.Blur(kernels[:1])).shape == ()
    weighted = solvers.WeightedL2(jnp.array([1.0, 2.0, 3.0])[:, None, None, None])
    np.testing.assert_allclose(bound_of_each(lambda data: data.curvature, weighted)[:, 0, 0, 0], [1, 2, 3])
    frames = physics.Frames(physics.Shift(RANDOM.uniform(size=(3, 2))), 3)  # 3 frames are not 3 examples
    np.testing.assert_allclose(squared_norm(frames), 3)


MASKS = (RANDOM.uniform(size=(3, *SHAPE)) < 0.7).astype(float)


@pytest.mark.parametrize("name", [*NAMES, "condat-vu"])
def test_vmap_batches_and_per_example_parameters_agree(name):
    y, kernels = jnp.asarray(RANDOM.uniform(size=(3, 8, 10, 2))), jnp.asarray(RANDOM.uniform(size=(3, 3, 3, 1)) / 9)
    speed = jnp.array([0.2, 0.3, 0.5])
    solver = functools.partial(solvers.pdhg, gradient=True) if name == "condat-vu" else getattr(solvers, name)
    keyword = "step" if name in ("pdhg", "condat-vu") else "rho"

    @jax.jit
    def solve(y, mask, kernel, weight, speed):
        operator = physics.Mask(mask) @ physics.Blur(kernel)
        return solver(y, operator, TotalVariation(weight), tolerance=1e-4, **{keyword: speed})

    args = (y, jnp.asarray(MASKS), kernels, jnp.array([0.01, 0.05, 0.2]), speed)
    batched, mapped = solve(*args), jax.jit(jax.vmap(solve))(*args)
    assert len(set(np.asarray(batched.iterations).tolist())) > 1
    np.testing.assert_allclose(mapped.image, batched.image, atol=1e-12)
    np.testing.assert_array_equal(mapped.iterations, batched.iterations)
    for i in range(3):
        other = solve(*[jnp.stack([a[i]] * 3) for a in args])  # among copies of itself
        np.testing.assert_array_equal(other.image[1], batched.image[i])
        assert other.iterations[1] == batched.iterations[i]


@functools.cache
def counts():
    """A problem of two observations of photons, in a box, and its solution by ADMM."""
    stack = physics.Stack([physics.Blur(KERNEL), physics.Mask(MASKS[0])])
    args = stack(jnp.asarray(IMAGE)), stack, TotalVariation(0.05)
    options = {"data": solvers.Poisson(0.01), "constraint": Box(0.3, 0.6), "max_iterations": 20000}
    return args, options, solvers.admm(*args, rho=0.5, tolerance=1e-10, **options).image


@pytest.mark.parametrize("name", NAMES)
def test_tuples_and_data_without_a_gradient(name):
    args, options, expected = counts()
    speed = {"step": 1.0} if name == "pdhg" else {"rho": 0.5}
    found = getattr(solvers, name)(*args, tolerance=1e-9, **speed, **options).image
    assert near(found, expected) < 1e-6
    assert found.min() >= 0.3 and found.max() <= 0.6


@pytest.mark.parametrize("name", NAMES)
def test_a_ball_is_reached(name):
    y, operator, data = jnp.asarray(IMAGE), physics.Blur(KERNEL), solvers.L2Ball(1.0)
    found = getattr(solvers, name)(y, operator, TotalVariation(1.0), data=data, iterations=3000)
    np.testing.assert_allclose(jnp.linalg.norm(operator(found.image) - y), 1.0, rtol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_going_on_is_the_same_as_not_stopping(name):
    y, operator, prior = jnp.asarray(IMAGE), physics.Blur(KERNEL), TotalVariation(WEIGHT)
    solve = getattr(solvers, name)
    half = solve(y, operator, prior, iterations=6)
    whole = solve(y, operator, prior, iterations=12)
    rest = solve(y, operator, prior, iterations=6, init=half)
    np.testing.assert_allclose(rest.image, whole.image, atol=1e-13)
    traced = solve(y, operator, prior, iterations=12, trace=True).trace
    assert traced["objective"].shape == traced["residual"].shape == (12,)
    assert traced["objective"][-1] < traced["objective"][0]
    again = solve(y, operator, prior, iterations=6, init=half.image)
    assert near(again.image, whole.image) > 1e-8  # from the image alone, the multipliers have to be found again


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite_where_nothing_varies(name):
    y = jnp.full(SHAPE, 0.5, jnp.float32)

    @jax.jit
    @functools.partial(jax.grad, argnums=(0, 1, 2))
    def gradients(y, weight, kernel):
        return jnp.sum(getattr(solvers, name)(y, physics.Blur(kernel), TotalVariation(weight), iterations=3).image ** 2)

    for weight in (0.0, WEIGHT):
        args = (y, jnp.float32(weight), jnp.asarray(KERNEL, jnp.float32))
        assert all(jnp.isfinite(g).all() for g in gradients(*args)), weight


@pytest.mark.parametrize(
    ("solver", "options", "message"),
    [
        (solvers.pdhg, {"relaxation": 2.0}, "relaxation=2.0"),
        (solvers.pdhg, {"gradient": True, "data": solvers.L1()}, "data=L1 has no gradient"),
        (solvers.pdhg, {"step": jnp.ones(3)}, "hyper-parameter"),
        (solvers.pdhg, {"constraint": TotalVariation()}, "constraint=TotalVariation"),
        (solvers.douglas_rachford, {"relaxation": 0.0}, "relaxation=0.0"),
        (solvers.linearized_admm, {"iterations": 0}, "iterations=0"),
    ],
)
def test_bad_arguments_get_one_line(solver, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        solver(jnp.ones((8, 8)), physics.Identity(), TotalVariation(), **options)
    assert "\n" not in str(caught.value)

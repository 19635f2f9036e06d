"""What all iterative solvers share: warm starts, traces, adaptive penalties, batches, half-quadratic splitting."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from mtjax import physics, solvers
from mtjax.solvers import TotalVariation, fixed_point
from mtjax.solvers.constraints import Box, NonNegative

RANDOM = np.random.default_rng(0)
SHAPE = (8, 10, 1)
KERNEL = np.asarray(physics.kernels.gaussian(0.7, 5), float)
IMAGE = RANDOM.uniform(size=SHAPE)
MASK = (RANDOM.uniform(size=SHAPE) < 0.7).astype(float)
WEIGHT = 0.03


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def near(found, expected):
    return np.linalg.norm(np.asarray(found) - np.asarray(expected)) / np.linalg.norm(np.asarray(expected))


def dense(operator, shape=SHAPE):
    """The matrix of a real or complex linear map."""
    units = jnp.eye(int(np.prod(shape))).reshape(-1, *shape)
    return np.asarray(operator(units)).reshape(len(units), -1).T


@functools.cache
def blurred():
    """A blur and its observation, and their matrix."""
    operator = physics.Blur(KERNEL)
    return operator(jnp.asarray(IMAGE)), operator, dense(operator)


# Warm starts and traces


@pytest.mark.parametrize("options", [{}, {"balance": True}])
def test_going_on_is_the_same_as_not_stopping(options):
    y, operator, _ = blurred()
    solve = functools.partial(solvers.admm, y, operator, TotalVariation(WEIGHT), rho=1.0, **options)
    half, whole = solve(iterations=6), solve(iterations=12)
    # Not to the last bit: the last iteration is compiled by itself, and rounds in another order.
    np.testing.assert_allclose(solve(iterations=6, init=half).image, whole.image, rtol=1e-12)
    assert near(half.image, whole.image) > 1e-6


def test_a_solution_of_another_size_or_solver_starts_from_its_image_or_is_named():
    y, operator, _ = blurred()
    other = solvers.hqs(y, operator, TotalVariation(WEIGHT))
    solve = functools.partial(solvers.admm, y, operator, TotalVariation(WEIGHT), iterations=3)
    np.testing.assert_array_equal(solve(init=other).image, solve(init=other.image).image)
    with pytest.raises(ValueError, match="init has shape"):
        solve(init=solvers.wiener(jnp.ones((9, 9)), physics.Identity()))


def test_a_start_of_another_precision_is_taken():
    y, operator, _ = blurred()
    found = solvers.admm(y, operator, TotalVariation(WEIGHT), iterations=3, init=jnp.zeros(SHAPE, jnp.float32))
    assert found.image.dtype == np.float64
    complexes = solvers.admm(y + 0j, operator, TotalVariation(WEIGHT), iterations=3, init=jnp.zeros(SHAPE))
    assert complexes.image.dtype == np.complex128


def objective(x, y, matrix, weight):
    x = np.asarray(x)
    down, across = (np.roll(x, -1, axis) - x for axis in (-3, -2))
    misfit = np.asarray(y).ravel() - matrix @ x.ravel()
    return misfit @ misfit / 2 + weight * np.hypot(down, across).sum()


def test_the_trace_is_what_was_computed():
    y, operator, matrix = blurred()
    solve = functools.partial(solvers.admm, y, operator, TotalVariation(WEIGHT), rho=0.2)
    assert solve(iterations=2).trace is None
    found = solve(iterations=6, trace=True)
    assert found.trace["objective"].shape == found.trace["residual"].shape == (6,)
    for count in (1, 6):
        alone = solve(iterations=count)
        expected = objective(alone.image, y, matrix, WEIGHT)
        np.testing.assert_allclose(found.trace["objective"][count - 1], expected, rtol=1e-12)
        np.testing.assert_allclose(found.trace["residual"][count - 1], alone.residual, rtol=1e-9)


def test_the_trace_of_an_example_ends_where_it_stopped():
    y = jnp.asarray(RANDOM.uniform(size=(3, *SHAPE)))
    prior = TotalVariation(jnp.array([0.01, 0.05, 0.3]))
    found = solvers.admm(y, blurred()[1], prior, tolerance=1e-3, max_iterations=300, trace=True)
    counts = np.asarray(found.iterations)
    assert len(set(counts.tolist())) > 1
    for values in found.trace.values():
        assert values.shape == (3, 300)
        np.testing.assert_array_equal(np.isfinite(values), np.arange(300) < counts[:, None])
    assert (np.take_along_axis(np.asarray(found.trace["residual"]), counts[:, None] - 1, 1) <= 1e-3).all()


# Adaptive penalties, data terms, constraints


def test_balancing_makes_any_penalty_a_good_one():
    y, operator, _ = blurred()
    y = jnp.stack([y] * 5)
    rho = jnp.array([1e-3, 1e-2, 1e-1, 1.0, 10.0])
    options = {"tolerance": 1e-9, "max_iterations": 20000}
    plain, balanced = (
        solvers.admm(y, operator, TotalVariation(WEIGHT), rho=rho, balance=balance, **options)
        for balance in (False, True)
    )
    for image in balanced.image:
        assert near(image, plain.image[3]) < 1e-6
    for bad in (0, 1, 4):
        assert balanced.iterations[bad] < plain.iterations[bad] / 2
    assert max(balanced.iterations) < 10 * min(balanced.iterations)


def test_weights_of_one_change_nothing_and_weights_of_zero_hide_pixels():
    y, operator, _ = blurred()
    solve = functools.partial(solvers.admm, prior=TotalVariation(WEIGHT), rho=0.2, tolerance=1e-9, max_iterations=20000)
    ones = solve(y, operator, data=solvers.WeightedL2(np.ones(SHAPE)))
    assert near(ones.image, solve(y, operator).image) < 1e-6
    hidden = solve(jnp.where(MASK > 0, y, 99.0), operator, data=solvers.WeightedL2(MASK))
    masked = solve(MASK * y, physics.Mask(MASK) @ operator)
    assert near(hidden.image, masked.image) < 1e-6
    both = solve(y, physics.Mask(MASK) @ operator, data=solvers.WeightedL2(2 * np.ones(SHAPE)))  # splits the mask
    half = functools.partial(solve, prior=TotalVariation(WEIGHT / 2))
    assert near(both.image, half(y * MASK, physics.Mask(MASK) @ operator).image) < 1e-6


def test_the_ball_is_reached_and_is_a_least_squares_problem_of_some_weight():
    y, operator, _ = blurred()
    solve = functools.partial(solvers.admm, y, operator, TotalVariation(1.0), rho=10.0)
    found = solve(data=solvers.L2Ball(0.5), tolerance=1e-10, max_iterations=20000)
    misfit = operator(found.image) - y
    np.testing.assert_allclose(jnp.linalg.norm(misfit), 0.5, rtol=1e-6)
    # TV(x) over the ball has the optimality condition of ½‖A x − y‖² + w TV(x) for one w: find it by its misfit.
    weighted = jax.jit(
        lambda w: solvers.admm(y, operator, TotalVariation(w), rho=10 * w, tolerance=1e-10, max_iterations=20000).image
    )
    w = scipy.optimize.brentq(lambda w: float(jnp.linalg.norm(operator(weighted(w)) - y)) - 0.5, 1e-3, 0.3, xtol=1e-9)
    assert near(found.image, weighted(w)) < 1e-4


def test_poisson_data_against_a_solver_for_bounds():
    """With a smooth prior, KL is a smooth problem in a box: SciPy's L-BFGS-B."""
    _, operator, matrix = blurred()
    y = jnp.asarray(RANDOM.poisson(20 * np.asarray(operator(jnp.asarray(IMAGE)))) / 20.0)
    denoise = Quadratic(0.5)
    found = solvers.admm(
        y, operator, denoise, rho=2.0, data=solvers.Poisson(0.1), constraint=NonNegative(), tolerance=1e-12,
        max_iterations=20000,
    )  # fmt: skip
    counts = np.asarray(y).ravel()

    def cost(x):
        mean = matrix @ x + 0.1
        gradient = matrix.T @ (1 - counts / mean) + 0.5 * x
        return np.sum(mean - counts * np.log(mean)) + x @ x / 4, gradient

    expected = scipy.optimize.minimize(
        cost, np.ones(80), jac=True, method="L-BFGS-B", bounds=[(0, None)] * 80,
        options={"ftol": 1e-16, "gtol": 1e-11, "maxiter": 5000},
    )  # fmt: skip
    assert near(found.image.ravel(), expected.x) < 1e-6
    assert (expected.x < 1e-6).sum() > 0  # the constraint matters


def Quadratic(weight):
    """`weight/2 ‖x‖²` as a denoiser: its proximal map for `sigma² = t` is division."""
    return solvers.Denoiser(lambda x, sigma: x / (1 + sigma**2), weight)


def test_constraints_hold_at_the_end():
    y, operator, _ = blurred()
    solve = functools.partial(solvers.admm, y, operator, TotalVariation(0.01), rho=0.2)
    assert solve(iterations=300).image.max() > 0.7
    found = solve(constraint=Box(0.4, 0.6), tolerance=1e-9, max_iterations=20000)
    assert found.image.min() > 0.4 - 1e-6 and found.image.max() < 0.6 + 1e-6
    assert (jnp.abs(found.image - 0.6) < 1e-6).sum() > 2


# Half-quadratic splitting, plug and play


def linear_denoiser(std=1.0):
    """A symmetric blur, whatever the noise, and its matrix W: the proximal map of `½ xᵀ (W⁻¹ − I) x`."""
    blur = physics.Blur(np.asarray(physics.kernels.gaussian(std, 5), float))
    mixed = dense(blur) / 2 + np.eye(80) / 2
    return solvers.Denoiser(lambda x, sigma: (x + blur(x)) / 2), mixed


def test_plug_and_play_with_a_linear_denoiser_is_quadratic():
    y, operator, matrix = blurred()
    denoiser, w = linear_denoiser()
    rho = 0.3
    penalty = rho * (np.linalg.inv(w) - np.eye(80))  # its prox at 1/rho is the denoiser
    expected = np.linalg.solve(matrix.T @ matrix + penalty, matrix.T @ np.ravel(y))
    found = solvers.admm(y, operator, denoiser, rho=rho, tolerance=1e-13, max_iterations=20000)
    assert near(found.image.ravel(), expected) < 1e-8
    # Half-quadratic splitting minimizes over z too: ½‖Ax−y‖² + ρ/2 ‖x−z‖² + ρ/2 zᵀ(W⁻¹ − I)z, that is z = W x.
    split = np.linalg.solve(matrix.T @ matrix + rho * (np.eye(80) - w), matrix.T @ np.ravel(y))
    found = solvers.hqs(y, operator, denoiser, rho=rho, growth=1, tolerance=1e-13, max_iterations=20000)
    assert near(found.image.ravel(), split) < 1e-8
    assert near(split, expected) > 1e-3


def test_half_quadratic_splitting_minimizes_the_penalized_problem():
    """With `z` minimized out, anisotropic TV is Huber's function of the differences: SciPy's L-BFGS on that."""
    y, operator, matrix = blurred()
    rho, weight, target = 0.5, 0.05, np.ravel(y)
    found = solvers.hqs(
        y, operator, TotalVariation(weight, isotropic=False), rho=rho, growth=1, tolerance=1e-12, max_iterations=20000
    )
    differences = np.concatenate(
        [np.reshape(np.roll(np.eye(80).reshape(-1, 8, 10), -1, a), (80, 80)).T for a in (1, 2)]
    )
    differences = differences - np.tile(np.eye(80), (2, 1))

    def cost(x):
        d, misfit = differences @ x, matrix @ x - target
        slope = np.clip(rho * d, -weight, weight)
        value = np.where(np.abs(d) < weight / rho, rho * d**2 / 2, weight * np.abs(d) - weight**2 / (2 * rho)).sum()
        return misfit @ misfit / 2 + value, matrix.T @ misfit + differences.T @ slope

    options = {"ftol": 1e-16, "gtol": 1e-12, "maxiter": 5000}
    expected = scipy.optimize.minimize(cost, target, jac=True, method="L-BFGS-B", options=options).x
    assert near(found.image.ravel(), expected) < 1e-6


def test_growing_penalties_approach_the_problem_of_admm():
    y, operator, _ = blurred()
    prior = TotalVariation(WEIGHT)
    goal = solvers.admm(y, operator, prior, tolerance=1e-9, max_iterations=20000).image
    errors = [near(solvers.hqs(y, operator, prior, 0.05, g, n).image, goal) for g, n in ((2.0, 8), (1.1, 80))]
    assert errors[1] < errors[0] < 0.1
    with pytest.raises(ValueError, match=r"growth=2\.0 with a tolerance"):
        solvers.hqs(y, operator, prior, tolerance=1e-3)


def test_the_schedule_of_dpir():
    sigma, count, strength = 7.65 / 255, 8, 0.23
    schedule = solvers.dpir_schedule(sigma, count)
    levels = np.geomspace(49 / 255, sigma, count)
    rho = strength * sigma**2 / levels[1:] ** 2  # each after the denoising at the level before
    np.testing.assert_allclose(schedule.rho * schedule.growth ** np.arange(count - 1), rho, rtol=1e-6)
    seen = []

    def denoise(x, sigma):
        jax.debug.callback(lambda s: seen.append(float(np.ravel(s)[0])), sigma)
        return x

    y, operator, _ = blurred()
    solvers.hqs(y, operator, solvers.Denoiser(denoise, schedule.weight), schedule.rho, schedule.growth, count)
    jax.effects_barrier()
    np.testing.assert_allclose(seen, levels, rtol=1e-6)
    with pytest.raises(ValueError, match="iterations=1"):
        solvers.dpir_schedule(sigma, 1)


# Batches


BATCH = RANDOM.uniform(size=(3, *SHAPE))
KERNELS = RANDOM.uniform(size=(3, 3, 3, 1)) / 9
MASKS = (RANDOM.uniform(size=(3, *SHAPE)) < 0.7).astype(float)
OWN = [0.1, 0.2, 0.4]  # of each example


@pytest.mark.parametrize(
    ("shared", "operator", "data", "weight"),
    [
        (True, lambda: physics.Mask(MASKS[0]) @ physics.Blur(KERNELS[0]), None, WEIGHT),
        (False, lambda: physics.Frames(physics.Shift(BATCH[:3, 0, :2, 0]), 3), None, WEIGHT),  # 3 frames, not examples
        (False, lambda: physics.Blur(KERNELS), None, WEIGHT),
        (False, lambda: physics.Mask(MASKS), None, WEIGHT),
        (False, lambda: physics.Blur(KERNELS[0]), None, np.array(OWN)),
        (False, lambda: physics.Identity(), lambda: solvers.WeightedL2(MASKS), WEIGHT),
        (False, lambda: physics.Identity(), lambda: solvers.Huber(jnp.array(OWN)), WEIGHT),
    ],
)
def test_large_images_go_one_by_one_where_they_share_their_operator(monkeypatch, shared, operator, data, weight):
    monkeypatch.setattr(fixed_point, "_LARGE", 4)
    calls = []
    mapped = jax.lax.map
    monkeypatch.setattr(fixed_point.lax, "map", lambda f, xs: calls.append(len(xs)) or mapped(f, xs))
    term = None if data is None else data()
    observed = jax.eval_shape(operator(), BATCH)
    solve = functools.partial(solvers.admm, rho=jnp.array(OWN), data=term, iterations=3)
    found = jax.eval_shape(lambda y: solve(y, operator(), TotalVariation(weight)), observed)
    assert bool(calls) == shared
    assert found.image.shape[0] == 3


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"iterations": 4}, marks=pytest.mark.slow),
        {"tolerance": 1e-5, "max_iterations": 500, "trace": True},
    ],
)
def test_one_by_one_is_the_same_as_together(monkeypatch, options):
    direction = jnp.asarray(RANDOM.normal(size=BATCH.shape))
    operator = physics.Blur(KERNELS[0])
    results = []
    for large in (2**15, 4):
        monkeypatch.setattr(fixed_point, "_LARGE", large)

        @jax.jit
        @functools.partial(jax.value_and_grad, argnums=(0, 1), has_aux=True)
        def both(y, rho):
            found = solvers.admm(y, operator, TotalVariation(WEIGHT), rho=rho, **options)
            return jnp.vdot(direction, found.image), found

        (_, found), gradients = both(jnp.asarray(BATCH), jnp.array(OWN))
        results.append((found, gradients))
    (one, first), (other, second) = results
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-10)
    # The implicit gradient of a batch goes on until its last example is done, so that it is the same to a tolerance.
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-10 if "iterations" in options else 1e-3)


@pytest.mark.parametrize("name", ["pdhg", "douglas_rachford", "linearized_admm", "hqs"])
def test_an_example_that_is_not_finite_leaves_the_others_alone(name):
    y, operator, _ = blurred()
    batch = jnp.stack([y, y]).at[0, 3, 3].set(jnp.nan)
    more = {"growth": 1} if name == "hqs" else {}
    solve = jax.jit(lambda y: getattr(solvers, name)(y, operator, TotalVariation(WEIGHT), tolerance=1e-4, **more))
    found, fine = solve(batch), solve(jnp.stack([y, y]))
    assert solvers.status_name(found.status[0]) == "diverged"
    assert found.status[1] == fine.status[1] and found.iterations[1] == fine.iterations[1]
    np.testing.assert_array_equal(found.image[1], fine.image[1])


# Complex images


def test_complex_images_of_a_real_blur_are_their_real_and_imaginary_parts_where_all_is_quadratic():
    y, operator, matrix = blurred()
    y = y + 1j * jnp.asarray(RANDOM.uniform(size=SHAPE))
    z = jnp.asarray(RANDOM.normal(size=SHAPE)) + 1j
    found = solvers.data_prox(z, y, operator, 0.1)
    for part in (jnp.real, jnp.imag):
        np.testing.assert_allclose(part(found), solvers.data_prox(part(z), part(y), operator, 0.1), atol=1e-12)
    system = matrix.T @ matrix + 0.1 * np.eye(80)
    np.testing.assert_allclose(
        found.ravel(), np.linalg.solve(system, matrix.T @ np.ravel(y) + 0.1 * np.ravel(z)), atol=1e-12
    )


def test_complex_total_variation_is_that_of_the_magnitudes_of_differences():
    """Its optimum, by the same solver in the plane: complex numbers as two channels that share their lengths."""
    y, operator, matrix = blurred()
    y = y + 1j * jnp.asarray(RANDOM.uniform(size=SHAPE))
    found = solvers.admm(y, operator, TotalVariation(0.05), rho=0.3, tolerance=1e-11, max_iterations=20000).image
    assert found.dtype == np.complex128

    def smoothed(parts):  # the objective, with lengths √(d² + ε²), from its definition
        x = parts.reshape(2, 80)
        image = (x[0] + 1j * x[1]).reshape(8, 10)
        misfit = matrix @ image.ravel() - np.ravel(y)
        down, across = (np.roll(image, -1, axis) - image for axis in (0, 1))
        return np.sum(np.abs(misfit) ** 2) / 2 + 0.05 * np.sqrt(np.abs(down) ** 2 + np.abs(across) ** 2 + 1e-16).sum()

    best = np.stack([np.real(found).ravel(), np.imag(found).ravel()])
    value = smoothed(best.ravel())
    for scale in (1e-2, 1e-3, 1e-4):
        for _ in range(100):
            assert smoothed(best.ravel() + scale * RANDOM.normal(size=160)) > value
    # A real observation stays real, and one turned by a phase only turns.
    turned = solvers.admm(1j * y, operator, TotalVariation(0.05), rho=0.3, tolerance=1e-11, max_iterations=20000).image
    assert near(turned, 1j * found) < 1e-6

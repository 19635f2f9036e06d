"""All solvers of `φ(A x; y) + Σ gᵢ(Lᵢ x) + constraint` reach one optimum, found by other means in dense NumPy."""

import functools

import jax
import numpy as np
import pytest
import scipy.optimize

from mtjax import physics, solvers
from mtjax.solvers import L1, TotalVariation
from mtjax.solvers.constraints import Box

RANDOM = np.random.default_rng(0)
SHAPE = (8, 10, 1)
SIZE = 80
KERNEL = np.asarray(physics.kernels.gaussian(0.7, 5), float)
IMAGE = RANDOM.uniform(size=SIZE)


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def matrix(function):
    """The linear map as a dense matrix, from its definition in NumPy."""
    return np.stack([function(unit.reshape(SHAPE[:2])).ravel() for unit in np.eye(SIZE)], 1)


def blur(x):
    taps = [(i - 2, j - 2, KERNEL[i, j]) for i in range(5) for j in range(5)]
    return sum(weight * np.roll(x, (i, j), (0, 1)) for i, j, weight in taps)


def differences(x):
    return np.stack([np.roll(x, -1, axis) - x for axis in (0, 1)])


BLUR, DIFFERENCES = matrix(blur), matrix(differences)
MISSING = np.ones(SIZE)
MISSING[RANDOM.permutation(SIZE)[:20]] = 0

FREE = (-9.0, 9.0)  # no optimum comes near

# One problem for each example of a batch: mask, weights of two total variations, and the box.
PROBLEMS = {
    "deblurring": (np.ones(SIZE), 0.02, 0.0, FREE),
    "inpainting after blur": (MISSING, 0.02, 0.0, FREE),
    "box": (np.ones(SIZE), 0.02, 0.0, (0.42, 0.63)),
    "two priors": (np.ones(SIZE), 0.015, 0.015, FREE),
}
MASKS = np.stack([mask for mask, *_ in PROBLEMS.values()])
OBSERVED = MASKS * (BLUR @ IMAGE)
CORRUPTED = np.where(RANDOM.uniform(size=SIZE) < 0.2, 1.0, BLUR @ IMAGE)


def by_active_sets(mask, y, weight):
    """L2 and anisotropic total variation: the dual is least squares in a box, solved exactly (Stark and Parker)."""
    a = mask[:, None] * BLUR
    values, vectors = np.linalg.eigh(a.T @ a)
    half = vectors / np.sqrt(np.where(values > 1e-10, values, 1e-8))  # the last changes the optimum by 1e-8
    m, b = half.T @ DIFFERENCES.T, half.T @ a.T @ y
    found = scipy.optimize.lsq_linear(m, b, (-weight, weight), method="bvls", tol=1e-15, max_iter=5000)
    return half @ (b - m @ found.x)


def by_dual_gradients(y, anisotropic, isotropic, low, high):
    """Accelerated proximal gradients on the dual; the gap between primal and dual value certifies the result."""
    inverse = np.linalg.inv(BLUR.T @ BLUR)
    right = BLUR.T @ y
    k = np.concatenate([DIFFERENCES, DIFFERENCES, np.eye(SIZE)])
    step = 1 / np.linalg.norm(k @ inverse @ k.T, 2)

    def conjugate_prox(p):
        q = np.split(p[: 4 * SIZE], 4)
        size = np.maximum(1, np.hypot(q[2], q[3]) / max(isotropic, 1e-30))
        r = p[4 * SIZE :]
        r = r - step * np.clip(r / step, low, high)
        return np.concatenate([*np.clip(q[:2], -anisotropic, anisotropic), q[2] / size, q[3] / size, r])

    def gap(p):
        x = inverse @ (right - k.T @ p)
        inside = np.clip(x, low, high)
        down, across = differences(inside.reshape(SHAPE[:2])).reshape(2, -1)
        variation = anisotropic * np.abs([down, across]).sum() + isotropic * np.hypot(down, across).sum()
        primal = ((BLUR @ inside - y) ** 2).sum() / 2 + variation
        r = p[4 * SIZE :]
        dual = (y @ y) / 2 - (right - k.T @ p) @ x / 2 - np.maximum(low * r, high * r).sum()
        return primal - dual, inside

    p = before = np.zeros(len(k))
    t = 1.0
    for _ in range(60000):
        new = conjugate_prox(p + step * (k @ (inverse @ (right - k.T @ p))))
        restart = (p - new) @ (new - before) > 0
        following = 1.0 if restart else (1 + np.sqrt(1 + 4 * t * t)) / 2
        p = new if restart else new + (t - 1) / following * (new - before)
        t, moved, before = following, np.abs(new - before).max(), new
        if moved < 1e-15:
            break
    difference, x = gap(before)
    assert abs(difference) < 1e-11
    return x


def by_linear_programming(y, weight):
    """L1 and anisotropic total variation: variables x, |A x − y|, |D x|."""
    rows = []
    for sign in (1, -1):
        rows.append(np.concatenate([sign * BLUR, -np.eye(SIZE), np.zeros((SIZE, 2 * SIZE))], 1))
        rows.append(np.concatenate([sign * DIFFERENCES, np.zeros((2 * SIZE, SIZE)), -np.eye(2 * SIZE)], 1))
    bound = np.concatenate([y, np.zeros(2 * SIZE), -y, np.zeros(2 * SIZE)])
    cost = np.concatenate([np.zeros(SIZE), np.ones(SIZE), np.full(2 * SIZE, weight)])
    limits = [(None, None)] * SIZE + [(0, None)] * (3 * SIZE)
    found = scipy.optimize.linprog(cost, np.concatenate(rows), bound, bounds=limits, method="highs")
    assert found.status == 0
    return found.x[:SIZE]


@functools.cache
def optima():
    """Those of `PROBLEMS`, in their order."""
    found = []
    for y, (mask, anisotropic, isotropic, (low, high)) in zip(OBSERVED, PROBLEMS.values(), strict=True):
        if isotropic == 0 and (low, high) == FREE:
            found.append(by_active_sets(mask, y, anisotropic))
        else:
            found.append(by_dual_gradients(y, anisotropic, isotropic, low, high))
    return np.stack(found)


SOLVERS = {
    "admm": (solvers.admm, [{"rho": rho} for rho in (0.2, 0.05, 1.0)]),
    "pdhg": (solvers.pdhg, [{"step": 1.0, "relaxation": 1.5}]),
    "condat-vu": (functools.partial(solvers.pdhg, gradient=True), [{"step": 0.7}]),
    "linearized_admm": (solvers.linearized_admm, [{"rho": 0.2}]),
    "douglas_rachford": (solvers.douglas_rachford, [{"rho": 0.2, "relaxation": 1.5}]),
    "fista": (functools.partial(solvers.fista, inner=5), [{}]),
    "davis_yin": (functools.partial(solvers.davis_yin, inner=5), [{}]),
}


def problems(dtype):
    """The arguments of `solve`, a batch."""
    first, second, boxes = zip(*[rest for _, *rest in PROBLEMS.values()], strict=True)
    images = [np.reshape(a, (-1, *SHAPE)).astype(dtype) for a in (OBSERVED, MASKS)]
    return images + [np.asarray(a, dtype) for a in (first, second, *np.transpose(boxes))]


def relative(found, expected):
    return np.linalg.norm(np.reshape(found, expected.shape) - expected, axis=-1) / np.linalg.norm(expected, axis=-1)


def test_the_optima_are_those_of_different_problems():
    low, high = PROBLEMS["box"][-1]
    box = optima()[list(PROBLEMS).index("box")]
    assert (np.isclose(box, low).sum() > 2) and (np.isclose(box, high).sum() > 2)
    assert relative(optima()[1:], optima()[:-1]).min() > 1e-2


@pytest.mark.parametrize("name", SOLVERS)
def test_least_squares_with_priors_and_a_box(name):
    solver, choices = SOLVERS[name]

    @jax.jit
    def solve(y, masks, first, second, low, high, parameters):
        operator = physics.Mask(masks) @ physics.Blur(KERNEL)
        priors = [TotalVariation(first, isotropic=False), TotalVariation(second)]
        tolerance, most = (1e-10, 20000) if y.dtype == np.float64 else (1e-7, 3000)
        options = {"tolerance": tolerance, "max_iterations": most}
        return solver(y, operator, priors, constraint=Box(low, high), **options, **parameters)

    for parameters in choices:
        found = solve(*problems(np.float64), parameters)
        assert (found.status == solvers.Status.CONVERGED).all()
        assert relative(found.image, optima()).max() < 1e-6
    found = solve(*problems(np.float32), choices[0])
    assert found.image.dtype == np.float32
    assert relative(found.image, optima()).max() < 1e-4


@pytest.mark.parametrize("name", ["admm", "pdhg", "linearized_admm", "douglas_rachford"])
def test_absolute_deviations(name):
    solver, choices = SOLVERS[name]
    y = CORRUPTED.reshape(SHAPE)
    prior = TotalVariation(0.3, isotropic=False)
    options = {"tolerance": 1e-11, "max_iterations": 50000, **choices[0]}
    found = jax.jit(lambda y: solver(y, physics.Blur(KERNEL), prior, data=L1(), **options))(y)
    expected = by_linear_programming(CORRUPTED, 0.3)
    assert relative(found.image.reshape(-1), expected) < 1e-6

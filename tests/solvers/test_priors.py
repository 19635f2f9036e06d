"""Priors and constraints: their values and proximal maps against NumPy, by convex duality, and their gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtjax import solvers
from mtjax.solvers.low_rank import Patches, shrink_singular
from mtjax.solvers.tgv import SlopeAnalysis

RANDOM = np.random.default_rng(0)
WEIGHT, RATIO, HUBER, LOW, HIGH, TOTAL = 0.3, 1.7, 0.2, 0.2, 0.7, 1.3
SHAPE = (6, 4, 2)  # of the images; those of TGV have slopes too


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def priors():
    return {
        "tv": solvers.TotalVariation(WEIGHT, boundary="reflect"),
        "anisotropic": solvers.TotalVariation(WEIGHT, isotropic=False),
        "huber": solvers.TotalVariation(WEIGHT, huber=HUBER),
        "anisotropic-huber": solvers.TotalVariation(WEIGHT, isotropic=False, huber=HUBER),
        "group": solvers.GroupL21(WEIGHT),
        "vectorial": solvers.GroupL21(WEIGHT, transform="gradient"),
        "vectorial-reflect": solvers.GroupL21(WEIGHT, transform="gradient", boundary="reflect"),
        "nuclear": solvers.NuclearNorm(WEIGHT),
        "patches": solvers.NuclearNorm(WEIGHT, patch=2),
        "overlapping": solvers.NuclearNorm(WEIGHT, patch=4, stride=2),
        "tgv": solvers.TGV(WEIGHT, RATIO),
        "tgv-reflect": solvers.TGV(WEIGHT, RATIO, boundary="reflect"),
        "box": solvers.Box(LOW, HIGH),
        "nonnegative": solvers.NonNegative(),
        "simplex": solvers.Simplex(TOTAL),
    }


CONSTRAINTS = ("box", "nonnegative", "simplex")


def image(name, batch=()):
    channels = 3 * SHAPE[2] if name.startswith("tgv") else SHAPE[2]
    return jnp.asarray(RANDOM.uniform(size=(*batch, *SHAPE[:2], channels)))


def somewhere(name, scale=1.0):
    """A point of the range of the prior's analysis, which the proximal map changes in some parts only."""
    like = jax.eval_shape(priors()[name].analysis, image(name))
    return jax.tree.map(lambda s: jnp.asarray(scale * RANDOM.standard_normal(s.shape)), like)


def root(parts):
    return np.sqrt(sum(np.abs(part) ** 2 for part in parts))


def lengths(name, z):
    """`[(weight, lengths)]` of what a norm sums over, in NumPy."""
    z = [np.asarray(part) for part in jax.tree.leaves(z)]
    if name in ("tv", "huber"):
        return [(WEIGHT, root(z))]
    if name.startswith("anisotropic"):
        return [(WEIGHT, np.abs(np.stack(z)))]
    if name in ("group", "vectorial", "vectorial-reflect"):
        return [(WEIGHT, np.sqrt(sum((part**2).sum(-1) for part in z)))]
    if name.startswith("tgv"):
        return [(WEIGHT, root(z[:2])), (WEIGHT * RATIO, root(z[2:]))]
    size = {"nuclear": None, "patches": 2, "overlapping": 4}[name]
    blocks = z[0][None, None] if size is None else z[0].reshape(*z[0].shape[:2], size, size, -1)
    singular = [np.linalg.svd(blocks[i, j, :, :, c], compute_uv=False) for i, j, c in np.ndindex(*blocks.shape[:2], 2)]
    return [(WEIGHT, np.stack(singular))]


def function(name, z):
    """`g(z)`."""
    if name in CONSTRAINTS:
        return 0.0
    if "huber" in name:
        ((weight, r),) = lengths(name, z)
        return weight * np.where(r > HUBER, r - HUBER / 2, r**2 / (2 * HUBER)).sum()
    return sum(weight * r.sum() for weight, r in lengths(name, z))


def largest(name, q):
    """How far a norm's dual norm is from 1."""
    pairs = lengths(name, q)
    if name in ("nuclear", "patches", "overlapping"):
        pairs = [(weight, r.max(-1)) for weight, r in pairs]
    return max((r / weight).max() for weight, r in pairs)


def conjugate(name, q):
    """`g*(q)`."""
    if name == "box":
        return np.maximum(LOW * q, HIGH * q).sum()
    if name == "nonnegative":
        return 0.0 if np.all(q <= 1e-12) else np.inf
    if name == "simplex":
        return TOTAL * np.max(q, -1).sum()
    if largest(name, q) > 1 + 1e-9:
        return np.inf
    if "huber" in name:
        ((weight, r),) = lengths(name, q)
        return HUBER / (2 * weight) * (r**2).sum()
    return 0.0


def inner(a, b):
    return sum(float(jnp.vdot(p, q)) for p, q in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


@pytest.mark.parametrize("name", priors())
def test_proximal_maps_by_duality(name):
    """`p = prox(v)` if and only if `t g(p) + (t g)*(v − p) = ⟨p, v − p⟩`, which is Moreau's decomposition too."""
    prox, t = jax.jit(priors()[name].prox), 0.8
    points = [somewhere(name, scale) for scale in (0.2, 2.0)]
    found = [prox(v, t) for v in points]
    for v, p in zip(points, found, strict=True):
        rest = jax.tree.map(lambda a, b: np.asarray(a - b), v, p)
        gap = t * function(name, p) + t * conjugate(name, jax.tree.map(lambda q: q / t, rest)) - inner(p, rest)
        assert abs(gap) < 1e-10
    away, apart = (jax.tree.map(jnp.subtract, *pair) for pair in (found, points))
    assert 0 < inner(away, away) <= inner(away, apart) + 1e-12  # firmly non-expansive
    if name in ("box", "simplex"):
        return
    zero = jax.tree.map(jnp.zeros_like, points[0])
    assert all(not leaf.any() for leaf in jax.tree.leaves(prox(zero, t)))


def analyzed(name, x):
    """`L x` in NumPy, pixel by pixel."""
    x = np.asarray(x)
    if name in ("group", "nuclear", *CONSTRAINTS):
        return x
    if name in ("patches", "overlapping"):
        size, stride = {"patches": (2, 2), "overlapping": (4, 2)}[name]
        wide = np.concatenate([np.concatenate([x, x], 1)] * 2, 0)
        rows = [
            [wide[i : i + size, j : j + size].ravel() for j in range(0, x.shape[1], stride)]
            for i in range(0, x.shape[0], stride)
        ]
        return np.array(rows) * stride / size
    boundary = "wrap" if name in ("anisotropic", "huber", "anisotropic-huber", "vectorial", "tgv") else "edge"

    def forward(a, axis):
        pad = [(0, 1) if k == axis else (0, 0) for k in range(3)]
        return np.diff(np.pad(a, pad, boundary), axis=axis)

    def backward(a, axis):
        pad = [(1, 0) if k == axis else (0, 0) for k in range(3)]
        return np.diff(np.pad(a, pad, boundary), axis=axis)

    if not name.startswith("tgv"):
        return forward(x, 0), forward(x, 1)
    u, down, right = np.split(x, 3, -1)
    first, second = forward(u, 0) - down, forward(u, 1) - right
    if boundary == "edge":
        first[-1], second[:, -1] = 0, 0
    twist = (backward(down, 1) + backward(right, 0)) / 2
    return first, second, backward(down, 0), backward(right, 1), np.sqrt(2) * twist


@pytest.mark.parametrize("name", [name for name in priors() if name not in CONSTRAINTS])
def test_values_are_numpys(name):
    prior, x = priors()[name], image(name, (2,))
    found, parts = jax.jit(lambda x: (prior.value(x), prior.analysis(x)))(x)
    for i in range(2):
        np.testing.assert_allclose(found[i], function(name, analyzed(name, x[i])), rtol=1e-10)
        for one, two in zip(jax.tree.leaves(parts), jax.tree.leaves(analyzed(name, x[i])), strict=True):
            np.testing.assert_allclose(one[i], two, atol=1e-12)


def test_constraints_are_zero_inside_and_infinite_outside():
    inside = {"box": 0.5, "nonnegative": 3.0, "simplex": TOTAL / 2}
    for name, level in inside.items():
        x = jnp.full((2, *SHAPE), level).at[1, 3, 2, 1].add(-10)
        np.testing.assert_array_equal(priors()[name].value(x), [0, np.inf])
        np.testing.assert_array_equal(priors()[name].value(priors()[name].prox(x, 1.0)), 0)


@pytest.mark.parametrize("name", priors())
def test_gradients_are_finite_at_zero(name):
    prior, v, x = priors()[name], jax.tree.map(jnp.zeros_like, somewhere(name)), jnp.zeros_like(image(name))

    def loss(scale, t, v, x):
        own = prior if name in CONSTRAINTS else jax.tree.map(lambda leaf: leaf * scale, prior)
        return sum(jnp.sum((part - 1) ** 2) for part in jax.tree.leaves(own.prox(v, t))) + own.value(x)

    gradient = jax.jit(jax.grad(loss, (0, 1, 2, 3)))
    for scale in (0.0, 1.0):
        found = gradient(jnp.array(scale), jnp.array(0.5), v, x)
        assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(found))


@pytest.mark.parametrize("name", ["huber", "vectorial", "overlapping", "tgv"])
def test_weights_may_differ_by_example(name):
    weights = jnp.array([0.0, 0.1, 1.0])

    @jax.jit
    def both(weight, x):
        prior = jax.tree.map(lambda leaf: leaf * weight, priors()[name])
        return prior.value(x), prior.prox(prior.analysis(x), 0.4)

    x = image(name, (3,))
    for one, many in zip(*(jax.tree.leaves(f(weights, x)) for f in (jax.vmap(both), both)), strict=True):
        np.testing.assert_allclose(one, many, atol=1e-12)


@pytest.mark.parametrize(
    ("operator", "shape"),
    [
        (Patches(2, 2), (4, 6, 2)),
        (Patches(4, 2), (6, 4, 1)),
        (Patches(3, 1), (4, 5, 1)),
        (SlopeAnalysis("circular"), (5, 4, 3)),
        (SlopeAnalysis("reflect"), (5, 4, 6)),
    ],
)
def test_analyses_have_exact_adjoints_and_certified_bounds(operator, shape):
    size = int(np.prod(shape))
    columns = jax.jit(jax.vmap(operator))(jnp.eye(size).reshape(size, *shape))
    dense = np.concatenate([np.reshape(part, (size, -1)) for part in jax.tree.leaves(columns)], 1).T
    y = jax.tree.map(lambda s: jnp.asarray(RANDOM.standard_normal(s.shape)), jax.eval_shape(operator, jnp.zeros(shape)))
    joined = np.concatenate([np.ravel(part) for part in jax.tree.leaves(y)])
    np.testing.assert_allclose(np.ravel(jax.jit(operator.adjoint)(y)), dense.T @ joined, atol=1e-12)
    assert operator.output_shape(shape) == jax.tree.map(jnp.shape, y)
    assert operator.input_shape(operator.output_shape(shape)) == shape
    assert np.linalg.norm(dense, 2) <= operator.norm_bound() * (1 + 1e-12)
    gram = operator.gram(shape, y[0].dtype)
    if isinstance(operator, Patches):
        assert gram.item() == 1
        np.testing.assert_allclose(dense.T @ dense, np.eye(size), atol=1e-12)
    else:
        assert gram is None


def test_tgv_counts_no_slopes_and_tv_does():
    down, right = np.mgrid[:6, :7]
    ramp = 0.1 * down + 0.03 * right
    with_slopes = jnp.asarray(np.stack([ramp, np.full(ramp.shape, 0.1), np.full(ramp.shape, 0.03)], -1))
    assert solvers.TGV(1.0, boundary="reflect").value(with_slopes) < 1e-12
    assert solvers.TotalVariation(1.0, boundary="reflect").value(with_slopes[..., :1]) > 1


def test_vectorial_variation_of_gray_is_total_variation():
    x = image("group")[..., :1]
    one, two = solvers.GroupL21(WEIGHT, transform="gradient"), solvers.TotalVariation(WEIGHT)
    np.testing.assert_allclose(one.value(x), two.value(x), rtol=1e-12)
    for a, b in zip(one.prox(one.analysis(x), 0.5), two.prox(two.analysis(x), 0.5), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def matrices():
    """Ordinary ones, wide and tall; with equal, and with vanishing, singular values; complex."""
    basis, random = np.linalg.qr(RANDOM.standard_normal((4, 4)))[0], RANDOM.standard_normal
    return {
        "square": random((4, 4)),
        "wide": random((3, 5)),
        "tall": random((5, 3)),
        "equal": basis * 0.9,
        "pairs": basis @ np.diag([2.0, 2.0, 0.2, 0.2]),
        "low-rank": random((4, 1)) @ random((1, 4)),
        "zero": np.zeros((4, 4)),
        "complex": random((3, 4)) + 1j * random((3, 4)),
    }


@jax.jit
def derivatives(matrix, t, change, raised, weights, step):
    """Of `shrink_singular`: forward, by differences, and backward."""
    _, forward = jax.jvp(shrink_singular, (matrix, t), (change, raised))
    ends = [shrink_singular(matrix + s * step * change, t + s * step * raised) for s in (1, -1)]
    return forward, (ends[0] - ends[1]) / (2 * step), jax.vjp(shrink_singular, matrix, t)[1](weights)


@pytest.mark.parametrize("name", matrices())
def test_singular_values_shrink_differentiably(name):
    matrix, raised = jnp.asarray(matrices()[name]), 0.3
    change, weights = (RANDOM.standard_normal(matrix.shape) * (1 + 0 * matrix) for _ in range(2))
    change = change * jnp.exp(1j * change) if name == "complex" else change
    found, expected, (slope, by_threshold) = derivatives(matrix, 0.5, change, raised, weights, 1e-6)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    backward = jnp.sum(slope * change).real + raised * by_threshold
    np.testing.assert_allclose(backward, jnp.sum(weights * found).real, atol=1e-10)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: solvers.Box(1, 0), "low=1"),
        (lambda: solvers.GroupL21(transform="fourier"), "transform"),
        (lambda: solvers.NuclearNorm(patch=0), "patch=0"),
        (lambda: solvers.NuclearNorm(patch=4, stride=3), "stride=3"),
        (lambda: solvers.NuclearNorm(stride=2), "patch=None"),
        (lambda: solvers.TGV(boundary="zero"), "boundary"),
        (lambda: solvers.TGV().value(jnp.ones((4, 4, 1))), "3 C channels"),
        (lambda: solvers.NuclearNorm(patch=4).analysis.output_shape((10, 8, 1)), "multiples of 4"),
    ],
)
def test_bad_arguments_get_one_line(build, message):
    with pytest.raises(ValueError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)

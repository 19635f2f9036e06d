"""ADMM with total variation: the optimum, its gradients, batches, and TV denoising."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.restoration

from mtjax import physics, solvers
from mtjax.solvers.priors import Gradient, TotalVariation

RANDOM = np.random.default_rng(0)
KERNEL = physics.kernels.gaussian(0.7, 5)
MASK = RANDOM.uniform(size=(12, 11)) < 0.6
IMAGE = RANDOM.uniform(size=(12, 11, 1))
WEIGHT = 0.03
IDENTITY = physics.Identity()


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def operators():
    blur = physics.Blur(np.asarray(KERNEL))
    return {
        "circular": blur,
        "mask": physics.Mask(MASK),
        "mask-of-blur": physics.Mask(MASK) @ blur,
        "valid": physics.Blur(np.asarray(KERNEL), "valid"),
        "reflect": physics.Blur(np.asarray(KERNEL), "reflect"),
        "stack": physics.Stack([blur, physics.Mask(MASK)]),
    }


def optimum(operator, y, weight, isotropic=True, boundary="circular", steps=40000):
    """The minimizer by Condat and Vũ's primal-dual method, in NumPy with dense matrices."""
    shape = IMAGE.shape
    parts = jax.tree.leaves(jax.jacobian(operator)(jnp.asarray(IMAGE)))
    a = np.concatenate([np.reshape(part, (-1, IMAGE.size)) for part in parts])
    d = [np.reshape(m, (-1, IMAGE.size)) for m in jax.jacobian(Gradient(boundary))(jnp.zeros(shape))]
    d = np.concatenate(d)
    y = np.concatenate([np.ravel(part) for part in jax.tree.leaves(y)])
    normal, right = a.T @ a, a.T @ y
    sigma = 0.1
    tau = 0.99 / (np.linalg.norm(normal, 2) / 2 + 8 * sigma)
    x, p = np.zeros(IMAGE.size), np.zeros(2 * IMAGE.size)
    for _ in range(steps):
        new = x - tau * (normal @ x - right + d.T @ p)
        p = p + sigma * (d @ (2 * new - x))
        down, across = np.split(p, 2)
        size = np.hypot(down, across) if isotropic else None
        p = p / np.tile(np.maximum(1, size / weight), 2) if isotropic else np.clip(p, -weight, weight)
        if np.abs(new - x).max() < 1e-12:
            break
        x = new
    return x.reshape(shape)


@pytest.mark.parametrize("name", operators())
def test_any_rho_reaches_the_optimum(name):
    operator = operators()[name]
    y = operator(jnp.asarray(IMAGE))
    expected = optimum(operator, y, WEIGHT)
    solve = jax.jit(
        lambda y, rho: solvers.admm(y, operator, TotalVariation(WEIGHT), rho=rho, tolerance=2e-9, max_iterations=40000)
    )
    for rho in (0.2, 0.5):
        found = solve(y, rho)
        assert solvers.status_name(found.status) == "converged"
        np.testing.assert_allclose(found.image, expected, atol=1e-6)


@pytest.mark.parametrize(("isotropic", "boundary"), [(False, "circular"), (True, "reflect")])
def test_other_total_variations(isotropic, boundary):
    operator = operators()["circular"]
    y = operator(jnp.asarray(IMAGE))
    prior = TotalVariation(WEIGHT, isotropic, boundary)
    found = solvers.admm(y, operator, prior, rho=0.2, tolerance=1e-10, max_iterations=20000)
    np.testing.assert_allclose(found.image, optimum(operator, y, WEIGHT, isotropic, boundary), atol=1e-6)


def test_several_priors_are_their_sum():
    operator = operators()["circular"]
    y = operator(jnp.asarray(IMAGE))
    halves = [TotalVariation(WEIGHT / 2), TotalVariation(WEIGHT / 2)]
    options = {"rho": 0.2, "tolerance": 1e-10, "max_iterations": 20000}
    one = solvers.admm(y, operator, TotalVariation(WEIGHT), **options)
    np.testing.assert_allclose(solvers.admm(y, operator, halves, **options).image, one.image, atol=1e-6)


def directional(loss, args, step=1e-6):
    """Pairs (derivative by jax.grad, by central differences), one for each argument."""
    gradients = jax.jit(jax.grad(loss, tuple(range(len(args)))))(*args)
    loss = jax.jit(loss)
    for i, (arg, gradient) in enumerate(zip(args, gradients, strict=True)):
        direction = jnp.asarray(RANDOM.standard_normal(arg.shape))
        ends = [loss(*args[:i], arg + sign * step * direction, *args[i + 1 :]) for sign in (1, -1)]
        yield float(jnp.vdot(gradient, direction)), float((ends[0] - ends[1]) / (2 * step))


@pytest.mark.parametrize(
    "name", ["circular", *(pytest.param(name, marks=pytest.mark.slow) for name in ("mask", "reflect"))]
)
def test_unrolled_and_implicit_gradients(name):
    operator = operators()[name]
    y, weights = operator(jnp.asarray(IMAGE)), jnp.asarray(RANDOM.uniform(size=IMAGE.shape))

    @functools.partial(jax.jit, static_argnames=("iterations", "tolerance", "max_iterations"))
    def loss(y, weight, rho, **options):
        return jnp.vdot(weights, solvers.admm(y, operator, TotalVariation(weight), rho=rho, **options).image)

    args = (y, jnp.array(WEIGHT), jnp.array(0.2))
    for found, expected in directional(lambda *a: loss(*a, iterations=8), args):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    if name == "reflect":  # implicit gradients through conjugate gradients are slow to test and no different
        return
    implicit = list(directional(lambda *a: loss(*a, tolerance=1e-11, max_iterations=20000), args))
    for found, expected in implicit[:2]:
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    assert abs(implicit[2][0]) < 1e-6  # the optimum does not depend on rho


@pytest.mark.parametrize("name", ["circular", pytest.param("mask", marks=pytest.mark.slow)])
def test_gradients_are_finite_where_nothing_varies(name):
    operator = operators()[name]
    y = operator(jnp.full(IMAGE.shape, 0.5, jnp.float32))

    def loss(y, weight, rho):
        return jnp.sum(solvers.admm(y, operator, TotalVariation(weight), rho=rho, iterations=3).image ** 2)

    for weight in (0.0, WEIGHT):
        gradients = jax.grad(loss, (0, 1, 2))(y, jnp.float32(weight), jnp.float32(0.1))
        assert all(jnp.isfinite(g).all() for g in gradients)


def test_vmap_batches_and_per_example_parameters_agree():
    y = jnp.asarray(RANDOM.uniform(size=(3, 12, 11, 2)))
    masks = jnp.asarray(RANDOM.uniform(size=(3, 12, 11, 1)) < 0.6, float)
    weights, rho = jnp.array([0.01, 0.05, 0.2]), jnp.array([0.1, 0.2, 0.3])

    def solve(y, mask, weight, rho):
        return solvers.admm(
            mask * y, physics.Mask(mask), TotalVariation(weight), rho=rho, tolerance=1e-4, max_iterations=2000
        )

    batched, mapped = jax.jit(solve)(y, masks, weights, rho), jax.vmap(solve)(y, masks, weights, rho)
    assert len(set(np.asarray(batched.iterations).tolist())) == 3
    for i in range(3):
        alone = solve(y[i], masks[i], weights[i], rho[i])
        for many in (batched, mapped):
            other = jax.tree.map(lambda leaf, i=i: leaf[i], many)
            np.testing.assert_allclose(other.image, alone.image, atol=1e-12)
            assert other.iterations == alone.iterations
            assert other.status == alone.status == solvers.Status.CONVERGED


def test_a_diverging_example_leaves_the_others_alone():
    y = jnp.asarray(RANDOM.uniform(size=(2, 12, 11, 1))).at[0, 3, 3].set(jnp.nan)
    for options in ({"tolerance": 1e-6}, {"iterations": 20}):
        found = solvers.admm(y, operators()["circular"], TotalVariation(WEIGHT), rho=0.2, **options)
        alone = solvers.admm(y[1], operators()["circular"], TotalVariation(WEIGHT), rho=0.2, **options)
        assert solvers.status_name(found.status[0]) == "diverged"
        assert found.status[1] == alone.status
        np.testing.assert_allclose(found.image[1], alone.image, atol=1e-12)


def test_plain_arrays_come_back_plain_and_nothing_recompiles():
    count = 0

    @jax.jit
    def solve(y, operator, weight, rho):
        nonlocal count
        count += 1
        return solvers.admm(y, operator, TotalVariation(weight), rho=rho, iterations=5)

    for weight in (0.1, 0.2):
        found = solve(jnp.ones((9, 8), jnp.float32), physics.Blur(weight * jnp.ones((3, 3))), weight, 2 * weight)
        assert found.image.shape == (9, 8)
        assert found.image.dtype == jnp.float32
        assert found.status.shape == ()
    assert count == 1


def test_the_start_matters_to_few_iterations_and_not_to_the_optimum():
    operator = operators()["mask"]
    y = operator(jnp.asarray(IMAGE))

    def solve(init, **options):
        return solvers.admm(y, operator, TotalVariation(WEIGHT), rho=0.2, init=init, **options).image

    far = jnp.full(IMAGE.shape, 5.0)
    assert jnp.abs(solve(far, iterations=2) - solve(None, iterations=2)).max() > 0.1
    options = {"tolerance": 1e-9, "max_iterations": 20000}
    np.testing.assert_allclose(solve(far, **options), solve(None, **options), atol=1e-6)


def test_denoise_tv_is_scikit_images():
    y = RANDOM.uniform(size=(24, 25))
    expected = skimage.restoration.denoise_tv_chambolle(y, weight=0.2, eps=1e-14, max_num_iter=20000)
    for options in ({"iterations": 1000}, {"tolerance": 1e-7, "max_iterations": 10000}):
        np.testing.assert_allclose(solvers.denoise_tv(jnp.asarray(y), 0.2, **options).image, expected, atol=2e-4)


def test_denoise_tv_is_optimal_and_differentiable():
    y = jnp.asarray(IMAGE)
    found = solvers.denoise_tv(y, 0.1, tolerance=1e-10, max_iterations=20000)
    np.testing.assert_allclose(found.image, optimum(physics.Identity(), y, 0.1, boundary="reflect"), atol=1e-6)
    weights = jnp.asarray(RANDOM.uniform(size=IMAGE.shape))

    def loss(y, weight):
        return jnp.vdot(weights, solvers.denoise_tv(y, weight, tolerance=1e-11, max_iterations=20000).image)

    for derivative, expected in directional(loss, (y, jnp.array(0.1))):
        np.testing.assert_allclose(derivative, expected, rtol=1e-4, atol=1e-6)


def test_make_gives_solvers_their_parameters():
    y = jnp.asarray(RANDOM.uniform(size=(2, 8, 8, 1)))
    particular = {"blind_deconvolution": {"kernel_size": 3, "iterations": 1}}
    for kind, entry in solvers.SOLVERS.items():
        solve, tunable = solvers.make({"kind": kind, **particular.get(kind, {})})
        assert tunable == entry.tunable
        values = {name: jnp.array(high) for name, (_, high) in tunable.items()}
        operator = physics.Radon(jnp.linspace(0, 180, 5), (8, 8)) if kind == "filtered_back_projection" else IDENTITY
        given = jax.eval_shape(lambda y, f=solve, a=operator, v=values: f(a(y), a, **v).image, y)
        assert given.shape == y.shape
    solve, tunable = solvers.make({"kind": "admm", "prior": {"kind": "tv", "isotropic": False}, "iterations": 7})
    expected = solvers.admm(y, physics.Identity(), TotalVariation(0.05, isotropic=False), iterations=7)
    np.testing.assert_allclose(solve(y, physics.Identity(), weight=0.05).image, expected.image)
    assert list(tunable) == ["weight"]
    assert solvers.make({"kind": "admm", "prior": {"kind": "tv", "weight": 0.1}})[1] == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"iterations": 3, "tolerance": 1e-3}, "exclude each other"),
        ({"iterations": 0}, "iterations=0"),
        ({"tolerance": 0.0}, "tolerance=0.0"),
        ({"init": jnp.ones((4, 4))}, "init has shape"),
        ({"prior": []}, "at least one prior"),
        ({"rho": jnp.ones(3)}, "hyper-parameter"),
    ],
)
def test_bad_arguments_get_one_line(options, message):
    arguments = {"prior": TotalVariation()} | options
    with pytest.raises(ValueError, match=message) as caught:
        solvers.admm(jnp.ones((8, 8)), physics.Identity(), **arguments)
    assert "\n" not in str(caught.value)


def test_an_observation_of_the_wrong_size_is_named():
    with pytest.raises(ValueError, match="does not match"):
        solvers.admm(jnp.ones((8, 8)), operators()["mask"], TotalVariation())

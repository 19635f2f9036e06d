"""Multi-frame solvers: data consistency, the sets of POCS, the optimum of joint TV, what frames add."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data

from mtjax import physics, solvers
from mtjax.solvers import splitting
from mtjax.solvers.aliased import aliased_inverse
from mtjax.solvers.normal import conjugate_gradient
from mtjax.solvers.priors import Gradient, Prior, TotalVariation

RANDOM = np.random.default_rng(0)
KERNEL = np.outer(*2 * [np.exp(-0.5 * np.arange(-2, 3.0) ** 2)])
KERNEL /= KERNEL.sum()
IMAGE = skimage.data.camera()[150:174, 200:224, None] / 255.0


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def burst(count=6, factor=2, batch=(), size=24, margin=0):
    offsets = RANDOM.uniform(-1, 1, (*batch, count, 2))
    return offsets, physics.burst_operator(offsets, factor, KERNEL, margin)


def dense(operator, shape):
    x = jnp.zeros(shape)
    return np.asarray(jax.jit(jax.jacfwd(operator))(x)).reshape(-1, x.size)


apply = jax.jit(lambda operator, x: operator(x))


@functools.cache
def jitted(solver, **static):
    return jax.jit(functools.partial(solver, **static))


def image():
    return jnp.asarray(IMAGE)


def psnr(x, crop=3):
    return -10 * np.log10(np.mean((np.asarray(x) - IMAGE)[crop:-crop, crop:-crop] ** 2))


@pytest.mark.parametrize("factor", [2, 3])
def test_aliased_inverse_is_the_dense_one(factor):
    operator, shape = burst(4, factor)[1], (12, 6, 2)
    gradient = Gradient()
    matrix, penalty = dense(operator, shape), dense(gradient.normal, shape)
    like, rho = jax.ShapeDtypeStruct((2, *shape), jnp.float64), np.array([0.1, 2.0])
    gram = gradient.gram(like.shape, complex)
    inverse = aliased_inverse(operator, rho[:, None, None, None] * gram, like)
    twice = inverse.scaled(2.0)
    b = RANDOM.standard_normal((2, *shape))
    found = jax.jit(lambda inverse, b: inverse(b))(inverse, b)
    for one, right, weight in zip(found, b, rho, strict=True):
        np.testing.assert_allclose(
            one.ravel(), np.linalg.solve(matrix.T @ matrix + weight * penalty, right.ravel()), atol=1e-9
        )
    anew = aliased_inverse(operator, 2 * rho[:, None, None, None] * gram, like)
    np.testing.assert_allclose(twice(jnp.asarray(b)), anew(jnp.asarray(b)), atol=1e-12)
    assert aliased_inverse(burst(margin=1)[1], gram, like) is None
    assert aliased_inverse(physics.Downsample(2), gram, like) is None
    assert aliased_inverse(operator, None, like) is None


def test_joint_total_variation_is_that_by_conjugate_gradients_for_any_rho_and_batch(monkeypatch):
    _, operator = burst()
    x = jnp.stack([image()[:12, :12], image()[-12:, -12:]])
    y = apply(operator, x) + 0.01 * RANDOM.standard_normal((2, 6, 6, 6))
    weight = jnp.array([2e-3, 2e-1])
    settings = {"tolerance": 1e-8, "max_iterations": 2000}
    solve = lambda y, w, rho: solvers.multiframe_tv(y, operator, w, rho, **settings)  # noqa: E731
    found = jax.jit(solve)(y, weight, 0.1)
    with monkeypatch.context() as patch:
        patch.setattr(splitting, "aliased_inverse", lambda *_: None)
        expected = jax.jit(lambda y: solvers.admm(y, operator, TotalVariation(weight), rho=0.2, **settings))(y)
    assert (found.status == solvers.Status.CONVERGED).all()
    np.testing.assert_allclose(found.image, expected.image, atol=2e-6)
    other = jax.jit(jax.vmap(solve, (0, 0, None)))(y, weight, 0.1)
    np.testing.assert_allclose(other.image, found.image, atol=1e-9)


@pytest.mark.slow
def test_gradients_of_joint_total_variation():
    """With respect to the offsets, too: one can register by how well the frames agree."""
    offsets, operator = burst(3)
    y, start = apply(operator, image()), image() + 0.02 * RANDOM.standard_normal(IMAGE.shape)

    @jax.jit
    @functools.partial(jax.value_and_grad, argnums=(0, 1))
    def loss(offsets, weight):
        operator = physics.burst_operator(offsets, 2, KERNEL)
        found = solvers.multiframe_tv(y, operator, weight, rho=5e-3, iterations=3, init=start).image
        return jnp.mean((found - image()) ** 2)

    direction = RANDOM.standard_normal(offsets.shape)
    gradient, slope = loss(offsets + 0.1, 1e-3)[1]
    ends = [loss(offsets + 0.1 + h * direction, 1e-3)[0] for h in (1e-6, -1e-6)]
    np.testing.assert_allclose(jnp.vdot(gradient, direction), (ends[0] - ends[1]) / 2e-6, rtol=1e-4)
    ends = [loss(offsets + 0.1, 1e-3 + h)[0] for h in (1e-7, -1e-7)]
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / 2e-7, rtol=1e-3)


@pytest.mark.slow
def test_absolute_errors_bear_with_a_wrong_frame():
    _, operator = burst(6)
    y = physics.split_frames(apply(operator, image()), 6).at[2].set(RANDOM.uniform(size=(12, 12, 1)))
    y = physics.join_frames(y)
    squared = jitted(solvers.multiframe_tv, iterations=40)(y, operator, 1e-3).image
    absolute = jitted(solvers.multiframe_tv, iterations=40, data=solvers.L1())(y, operator, 1e-2, 1.0).image
    assert psnr(absolute) > psnr(squared) + 3


def test_back_projection_explains_noiseless_observations():
    offsets, operator = burst(3)  # 3 frames of a quarter of the pixels: many images explain them
    y = jnp.stack([apply(operator, image()), 0.5 * apply(operator, image())])
    sharper = physics.burst_operator(offsets, 2, KERNEL**2 / (KERNEL**2).sum())
    found = jitted(solvers.iterative_back_projection, iterations=400)(y, operator, back_projection=sharper)
    np.testing.assert_allclose(apply(operator, found.image), y, atol=2e-3)
    step = 1 / operator.norm_bound() ** 2
    fixed = jitted(solvers.iterative_back_projection, iterations=3, trace=True)(y, operator, step)
    x, adjoint = 0 * found.image, jax.jit(operator.adjoint)
    for _ in range(3):
        x = x + step * adjoint(y - apply(operator, x))
    np.testing.assert_allclose(fixed.image, x, atol=1e-12)
    assert (jnp.diff(fixed.trace["objective"]) < 0).all()
    np.testing.assert_allclose(fixed.trace["objective"][..., -1], 0.5 * ((apply(operator, x) - y) ** 2).sum((1, 2, 3)))


def test_back_projection_converges_to_least_squares_with_implicit_gradients():
    _, operator = burst(5)
    operator = physics.Stack([operator, 0.3 * physics.Identity()])  # well conditioned, and y is a tuple
    y = operator(jnp.asarray(IMAGE[:12, :12]))
    y = (y[0] + 0.1 * RANDOM.standard_normal(y[0].shape), y[1])
    solve = jax.jit(lambda y: solvers.iterative_back_projection(y, operator, tolerance=1e-9, max_iterations=4000))
    found = solve(y)
    assert solvers.status_name(found.status) == "converged"
    rest = jax.tree.map(jnp.subtract, y, apply(operator, found.image))
    np.testing.assert_allclose(operator.adjoint(rest), 0, atol=1e-7)
    probe = RANDOM.standard_normal(found.image.shape)
    gradient = jax.jit(jax.grad(lambda y: jnp.vdot(probe, solve(y).image)))(y)
    # x = (AᵀA)⁻¹ Aᵀ y is linear in y, so its gradient is A (AᵀA)⁻¹ probe.
    expected = operator(conjugate_gradient(operator.normal, jnp.asarray(probe))[0])
    for one, other in zip(gradient, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


class Positive(Prior):
    def prox(self, v, t, /):
        return jnp.maximum(v, 0)


jax.tree_util.register_static(Positive)


def test_pocs_ends_in_all_sets():
    _, operator = burst(4)
    noise = RANDOM.uniform(-0.02, 0.02, (2, 12, 12, 4))
    y = apply(operator, jnp.stack([image(), image() - 0.2])) + noise
    y = y.at[1].add(operator(0.2 + 0 * image()))
    found = jitted(solvers.pocs, tolerance=1e-7, max_iterations=4000)(y, operator, 0.021, Positive())
    assert (found.status == solvers.Status.CONVERGED).all()
    assert float(jnp.abs(apply(operator, found.image) - y).max()) <= 0.021 + 1e-4
    assert float(found.image.min()) >= 0
    # No step leads away from an image in all the sets.
    few, x, apart = jitted(solvers.pocs, iterations=3), 0 * image(), [np.linalg.norm(IMAGE)]
    for _ in range(5):
        x = few(y[0], operator, 0.021, init=x).image
        apart.append(np.linalg.norm(x - IMAGE))
    assert (np.diff(apart) < 0).all()
    # An image that is in all of them already stays.
    np.testing.assert_allclose(few(y[0], operator, 0.021, init=image()).image, IMAGE, atol=1e-12)


def test_pocs_takes_a_radius_for_each_sample():
    _, operator = burst(4)
    y = apply(operator, image())
    radius = jnp.broadcast_to(jnp.where(jnp.arange(4) == 1, 10.0, 1e-3), y.shape)  # frame 1 says nothing
    other = y.at[..., 1].add(1.0)
    solve = jitted(solvers.pocs, iterations=30)
    expected = solve(y, operator, radius).image
    np.testing.assert_allclose(solve(other, operator, radius).image, expected, atol=1e-12)


def test_shift_and_add_puts_samples_where_they_belong():
    factor = 3
    where = [(i, j) for i in range(factor) for j in range(factor)]
    offsets = -np.array(where) / factor  # all sub-pixel places, so that nothing is left to fill in
    frames = jnp.stack([IMAGE[i::factor, j::factor] for i, j in where])
    found = jitted(solvers.shift_and_add, factor=factor)(frames, offsets)
    np.testing.assert_allclose(found.image, IMAGE, atol=1e-12)
    assert float(found.residual) == 0
    # It agrees with the operator about what an offset is.
    frames = physics.split_frames(apply(physics.burst_operator(offsets, factor), image()), 9)
    inside = (slice(3, -3),) * 2
    np.testing.assert_allclose(
        jitted(solvers.shift_and_add, factor=factor)(frames, offsets).image[inside], IMAGE[inside], atol=1e-12
    )


def test_shift_and_add_fills_what_no_frame_saw():
    x = jnp.broadcast_to(jnp.linspace(0, 1, 24)[:, None, None], (24, 24, 1))
    offsets = jnp.array([[[0.0, 0.0], [0.3, -0.4]], [[0.0, 0.0], [1.5, 0.5]]])
    frames = jnp.stack([physics.split_frames(apply(physics.burst_operator(o, 4), x), 2) for o in offsets])
    found = jitted(solvers.shift_and_add, factor=4)(frames, offsets)
    assert found.image.shape == (2, 24, 24, 1)
    assert ((found.residual > 0.3) & (found.residual < 0.95)).all()
    assert float(jnp.abs(found.image - x)[:, 6:-6].mean()) < 0.06


def test_nlm_over_one_frame_is_its_definition():
    frames, strength = jnp.asarray(RANDOM.uniform(size=(2, 6, 7, 2))), 0.4
    found = np.asarray(jitted(solvers.multiframe_nlm, patch=3, distance=1)(frames, strength).image)
    padded = np.pad(frames, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="symmetric")
    patch = lambda k, i, j: padded[k, i - 1 : i + 2, j - 1 : j + 2]  # noqa: E731
    for i, j in ((0, 0), (3, 4), (5, 6)):
        weights, values = [], []
        for k in range(2):
            for a in (-1, 0, 1):
                for b in (-1, 0, 1):
                    p, q = patch(0, i + 2, j + 2), patch(k, i + a + 2, j + b + 2)
                    weights.append(np.exp(-np.mean((p - q) ** 2) / strength**2))
                    values.append(padded[k, i + a + 2, j + b + 2])
        np.testing.assert_allclose(found[i, j], np.average(values, 0, weights), atol=1e-12)


def test_nlm_gains_from_frames_that_moved():
    frames = jnp.stack([jnp.roll(jnp.asarray(IMAGE), (k % 3 - 1, k // 3 - 1), (0, 1)) for k in (4, 0, 2, 6, 8)])
    noisy = frames + 0.1 * RANDOM.standard_normal(frames.shape)
    solve = jax.jit(lambda f: solvers.multiframe_nlm(f, 0.12, patch=5, distance=2).image)
    one, all_of_them = solve(noisy[:1]), solve(noisy)
    assert psnr(all_of_them) > psnr(one) + 1 > psnr(noisy[0]) + 1
    both = solve(jnp.stack([noisy, noisy[::-1]]))
    np.testing.assert_allclose(both[0], all_of_them, atol=1e-12)


def test_windows_of_a_video():
    video = jnp.arange(6.0)[:, None, None, None] * jnp.ones((1, 2, 2, 1))
    found = solvers.windows(video, 1)[..., 0, 0, 0]
    assert found.tolist() == [[0, 1, 2], [1, 0, 2], [2, 1, 3], [3, 2, 4], [4, 3, 5], [5, 4, 3]]


def test_the_recipe_end_to_end():
    """Register, build the operator, solve: better than any single frame, and so is a margin at the border."""
    scene = skimage.data.camera()[100:180, 180:260, None] / 255.0
    true = np.concatenate([[[0.0, 0.0]], RANDOM.uniform(-1, 1, (7, 2))])
    frames = physics.split_frames(apply(physics.burst_operator(true, 2, KERNEL), jnp.asarray(scene)), 8)[:, 4:-4, 4:-4]
    frames = frames + 0.005 * RANDOM.standard_normal(frames.shape)
    offsets = jax.jit(lambda f: solvers.register(f[:1], f).offset)(frames)
    np.testing.assert_allclose(offsets, true, atol=0.1)  # the frames are aliased
    operator = physics.burst_operator(offsets, 2, KERNEL)
    fine = jax.jit(lambda f: solvers.multiframe_tv(physics.join_frames(f), operator, 5e-3).image)(frames)
    error = lambda x: float(jnp.sqrt(jnp.mean((x - scene[8:-8, 8:-8])[6:-6, 6:-6] ** 2)))  # noqa: E731
    coarse = jax.jit(lambda f: solvers.bicubic(f, physics.Downsample(2)).image)(frames[0])
    assert error(fine) < 0.7 * error(coarse)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: physics.burst_operator(jnp.ones(2), 2), "offsets has shape"),
        (lambda: physics.burst_operator(jnp.ones((3, 2)), 2, margin=-1), "margin=-1"),
        (lambda: solvers.windows(jnp.ones((4, 2, 2, 1)), 2), "needs 5 frames"),
        (lambda: solvers.shift_and_add(jnp.ones((4, 4, 1)), jnp.ones((4, 2)), 2), "expected floating point"),
        (lambda: solvers.shift_and_add(jnp.ones((3, 4, 4, 1)), jnp.ones((4, 2)), 2), "offsets has shape"),
        (lambda: solvers.shift_and_add(jnp.ones((3, 4, 4, 1)), jnp.ones((3, 2)), 0), "factor=0"),
        (lambda: solvers.multiframe_nlm(jnp.ones((2, 8, 8, 1)), patch=4), "patch=4"),
        (lambda: solvers.multiframe_nlm(jnp.ones((2, 8, 8, 1)), distance=9), "distance=9"),
        (lambda: solvers.multiframe_nlm(jnp.ones((2, 8, 8, 1)), reference=2), "reference=2"),
        (lambda: solvers.pocs(jnp.ones((4, 4)), physics.Identity(), init=jnp.ones((5, 4))), "init has shape"),
    ],
)
def test_bad_arguments_get_one_line(wrong, message):
    with pytest.raises(ValueError, match=message) as caught:
        wrong()
    assert "\n" not in str(caught.value)

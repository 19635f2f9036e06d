"""The detail task: two layers that add up, as strongly as asked, and the energy of what is missing."""

import jax
import jax.numpy as jnp
import numpy as np
import tiny

from mtjax.models.heads.detail import Layers
from mtjax.tasks import TASKS, masked
from mtjax.tasks.detail import blend, detail_error

RANDOM = np.random.default_rng(0)
IMAGE, BASE = (jnp.asarray(RANDOM.uniform(size=(3, 12, 12, 3)), jnp.float32) for _ in range(2))
TASK = TASKS["detail"]("sharpen", tiny.INFO, observation="blurred")


def test_layers_are_blended():
    layers = Layers(BASE, IMAGE - BASE)
    np.testing.assert_array_equal(blend(layers, 0), BASE)
    np.testing.assert_allclose(blend(layers), IMAGE, atol=1e-6)
    np.testing.assert_allclose(TASK.restored(layers), IMAGE, atol=1e-6)
    each = jnp.asarray([0.0, 1.0, 2.0]).reshape(3, 1, 1, 1)
    np.testing.assert_allclose(jax.jit(blend)(layers, each)[2], BASE[2] + 2 * (IMAGE - BASE)[2], atol=1e-6)


def test_the_loss_compares_detail_with_detail():
    layers = Layers(BASE, IMAGE - BASE)
    np.testing.assert_allclose(TASK.loss(layers, IMAGE), 0, atol=1e-6)
    nothing = Layers(BASE, jnp.zeros_like(BASE))
    plain = TASKS["detail"]("sharpen", tiny.INFO, observation="blurred", loss="l1")
    np.testing.assert_allclose(plain.loss(nothing, IMAGE), np.abs(IMAGE - BASE).mean((1, 2, 3)), rtol=1e-5)


def test_scores():
    pairs = jax.jit(TASK.metrics)(Layers(BASE, IMAGE - BASE), IMAGE)
    assert set(pairs) == set(TASK.better) == {"psnr", "ssim", "detail_error"} and TASK.headline == "psnr"
    assert float(pairs["psnr"][0].min()) > 60
    np.testing.assert_allclose(pairs["detail_error"][0], 0, atol=1e-6)
    for share, expected in ((0.0, 1.0), (0.5, 0.25), (2.0, 1.0)):
        missing, there = detail_error(Layers(BASE, share * (IMAGE - BASE)), IMAGE)
        np.testing.assert_allclose(missing / there, expected, rtol=1e-4)


def test_an_image_that_lost_nothing_does_no_harm():
    base = BASE.at[0].set(IMAGE[0])
    total, count = masked(detail_error(Layers(base, jnp.zeros_like(base)), IMAGE), jnp.ones(3, bool))
    np.testing.assert_allclose(total / count, 1, rtol=1e-5)
    slopes = jax.jit(jax.grad(lambda detail: TASK.loss(Layers(base, detail), IMAGE).sum()))(jnp.zeros_like(base))
    assert bool(jnp.isfinite(slopes).all())


def test_the_picture_is_the_restored_image():
    one = jax.tree.map(lambda leaf: np.asarray(leaf[0]), Layers(BASE, IMAGE - BASE))
    picture = TASK.picture(one)
    assert picture.dtype == np.uint8
    np.testing.assert_allclose(picture, 255 * np.asarray(IMAGE[0]), atol=0.51)

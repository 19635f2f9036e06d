"""The color task: its color difference against scikit-image, and data that have no colors."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.color
import tiny

from mtjax import metrics
from mtjax.metrics.color import lab
from mtjax.tasks import TASKS

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.uniform(size=(2, 2, 12, 12, 3))
IMAGES[0, 0, 0] = [[0, 0, 0], [1, 1, 1], [0.01, 0.04, 0.05]] * 4


def test_colors_are_as_scikit_image_has_them():
    x, y = (jnp.asarray(images, jnp.float32) for images in IMAGES)
    expected = skimage.color.rgb2lab(IMAGES[0])
    np.testing.assert_allclose(jax.jit(lab)(x), expected, atol=2e-3)
    difference = skimage.color.deltaE_cie76(expected, skimage.color.rgb2lab(IMAGES[1])).mean((1, 2))
    np.testing.assert_allclose(jax.jit(metrics.delta_e)(x, y), difference, rtol=1e-4)


def test_a_perfect_prediction_has_no_difference_whatever_is_beyond_white():
    task = TASKS["color"]("balance", tiny.INFO, observation="cast")
    target = jnp.asarray(IMAGES[0], jnp.float32).at[0, 0, 1].set(1.0)
    pairs = jax.jit(task.metrics)(target.at[0, 0, 1].set(1.5), target)
    np.testing.assert_allclose(pairs["delta_e"][0], 0, atol=1e-3)
    assert list(task.better) == list(task.scores) and task.better["delta_e"] == "lower"
    assert task.restores and task.headline == "psnr"
    assert task.picture(np.asarray(target[0])).dtype == np.uint8


def test_gray_data_are_named():
    gray = dataclasses.replace(tiny.INFO, image_shape=(16, 16, 1))
    with pytest.raises(ValueError, match=r"tasks\.balance: tiny has images of 1 channels; color needs 3"):
        TASKS["color"]("balance", gray, observation="cast")

"""A trained head in a protocol: told its operator and noise, on pictures of any size and any number of channels."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from mtjax import solvers
from mtjax.compare.protocols import deblurring, measuring, methods
from mtjax.compare.protocols.learned import trained_method
from mtjax.compare.protocols.protocol import Case
from mtjax.physics import Fourier, Identity
from mtjax.record import locked
from mtjax.registry import ConfigError
from mtjax.train.step import observe_for_evaluation

RATIO = 0.02  # of the Wiener filter that the trained head is


def case_of(channels, height=40, width=36):
    smooth = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(height, width, channels)), (2, 2, 0))
    return deblurring.blurred(np.clip(smooth / smooth.std() * 50 + 128, 0, 255), Path(), 3)


def restored(method, case):
    args = jnp.asarray(case.y), case.operator, case.sigma, jnp.zeros(1)
    return np.asarray(measuring.restore(method.run, *args)[0])


def wiener(case):
    return np.asarray(solvers.wiener(jnp.asarray(case.y), case.operator, RATIO, "laplacian").image)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_head_is_told_the_operator_and_reads_gray_and_color(trained, channels):
    method, case = trained_method(trained, "deblur"), case_of(channels)
    image = restored(method, case)
    assert image.shape == case.clean.shape and method.name == "trained: deblur" and method.channels == 3
    np.testing.assert_allclose(image, wiener(case), atol=1e-5)


def test_a_gray_head_restores_the_channels_one_by_one(trained):
    info = dataclasses.replace(trained.source_info, image_shape=(24, 24, 1))
    blank = {"image": jnp.zeros((1, *info.image_shape))}
    start = observe_for_evaluation(trained.config.observations, jnp.arange(1), blank)
    params = trained.model.init(jax.random.key(0), start)
    gray, case = dataclasses.replace(trained, source_info=info, params=params), case_of(3)
    np.testing.assert_allclose(restored(trained_method(gray, "deblur"), case), wiener(case), atol=1e-5)


def test_a_denoiser_is_plugged_in_where_there_is_blur(trained):
    observations = dict(trained.config.observations.to_dict())
    observations["blurred"]["operator"] = {"kind": "identity"}
    config = locked({**trained.config.to_dict(), "observations": observations})
    method, case = trained_method(dataclasses.replace(trained, config=config), "deblur"), case_of(3)

    def denoise(image, level):
        return solvers.wiener(image, Identity(), RATIO, "laplacian").image

    expected = methods.plug_and_play(denoise, jnp.asarray(case.y), case.operator, case.sigma)
    np.testing.assert_allclose(restored(method, case), expected, atol=1e-4)
    alone = Case(case.clean, case.y, Identity(), case.sigma)
    np.testing.assert_allclose(restored(method, alone), wiener(alone), atol=1e-5)


def test_a_head_that_cannot_is_named(trained):
    with pytest.raises(ConfigError, match=r"--task=debulr is no task .* did you mean 'deblur'"):
        trained_method(trained, "debulr")
    with pytest.raises(ConfigError, match="--task=None"):
        trained_method(trained, None)
    operator = Fourier(np.ones((40, 36), np.float32), real=True)
    with pytest.raises(ValueError, match="a network of 3 channels cannot read Fourier of 1"):
        restored(trained_method(trained, "deblur"), Case(np.zeros((40, 36, 1)), np.zeros((40, 36, 2)), operator, 0.0))

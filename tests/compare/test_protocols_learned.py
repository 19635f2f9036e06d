"""A trained head in a protocol: told its operator and noise, on pictures of any size and any number of channels."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from mtjax import physics, solvers
from mtjax.compare.protocols import deblurring, measuring, methods, super_resolution
from mtjax.compare.protocols.learned import head_for, trained_method
from mtjax.compare.protocols.protocol import CannotError, Case
from mtjax.models import ENCODERS, HEADS, SHARINGS, MultiTask
from mtjax.physics import Fourier, Identity
from mtjax.record import locked
from mtjax.registry import ConfigError
from mtjax.tasks import TASKS
from mtjax.train import Trained
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
    assert image.shape == case.clean.shape and method.name == "trained unet: deblur" and method.channels == 3
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


def test_of_several_tasks_the_one_that_was_trained_for_it_is_taken(trained):
    method, case = trained_method(trained), case_of(3)
    assert method.name == "trained unet: deblur, enlarge"
    np.testing.assert_allclose(restored(method, case), wiener(case), atol=1e-5)
    names, half = ["deblur", "enlarge"], physics.Downsample(2)
    assert head_for(trained, names, case.y, case.operator) == "deblur"
    assert head_for(trained, names, half(jnp.asarray(case.clean)), half) == "enlarge"
    assert head_for(trained, names, jnp.zeros((41, 36, 3)), case.operator) == "deblur"  # and 41 cannot be halved
    third = physics.Downsample(3)
    with pytest.raises(CannotError, match="none of the tasks deblur, enlarge read such a Downsample of 12×12 pixels"):
        head_for(trained, names, jnp.zeros((12, 12, 3)), third)
    assert head_for(trained, ["deblur"], jnp.zeros((12, 12, 3)), third) == "deblur"


def test_a_head_of_another_factor_cannot(trained):
    info = trained.source_info
    small = {"operator": {"kind": "bicubic", "factor": 2}, "noise": {"kind": "none"}}
    task = TASKS["super_resolution"]("enlarge", info, observation="small")
    model = MultiTask(
        encoder=ENCODERS["edsr"](None, width=4, depth=1),
        sharing=SHARINGS["hard"](("enlarge",)),
        heads={"enlarge": HEADS["upscale"](None, 3, width=4, depth=0)},
        reads={"enlarge": "small"},
    )
    config = locked({**trained.config.to_dict(), "observations": {"small": small}})
    start = observe_for_evaluation(config.observations, jnp.arange(1), {"image": jnp.zeros((1, *info.image_shape))})
    experiment = dataclasses.replace(trained.experiment, model=model, tasks={"enlarge": task})
    params = model.init(jax.random.key(0), start)
    method = trained_method(Trained(config, experiment, params, info, 1))
    image = np.asarray(case_of(3).clean)
    two, three = (super_resolution.decimated(image, Path(), factor) for factor in (2, 3))
    color = dataclasses.replace(two, y=two.color)
    expected = solvers.bicubic(jnp.asarray(color.y), color.operator).image  # to which an untrained head adds nothing
    np.testing.assert_allclose(restored(method, color), expected, atol=1e-5)
    with pytest.raises(CannotError, match="task enlarge was trained for another Bicubic"):
        restored(method, dataclasses.replace(three, y=three.color))


def test_a_head_that_cannot_is_named(trained):
    with pytest.raises(ConfigError, match=r"--task=debulr is no task .* did you mean 'deblur'"):
        trained_method(trained, "debulr")
    operator = Fourier(np.ones((40, 36), np.float32), real=True)
    with pytest.raises(ValueError, match="a network of 3 channels cannot read Fourier of 1"):
        restored(trained_method(trained, "deblur"), Case(np.zeros((40, 36, 1)), np.zeros((40, 36, 2)), operator, 0.0))

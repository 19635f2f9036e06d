"""Generation: new images like those of the data, by learning the way from noise to them (flow matching)."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from mtjax import metrics
from mtjax.data.fields import SourceInfo
from mtjax.generate.labels import class_counts, in_turn
from mtjax.generate.sampling import sample
from mtjax.models import MultiTask
from mtjax.models.heads.velocity import Flow
from mtjax.tasks.reconstruction import image_picture
from mtjax.tasks.task import Task
from mtjax.typing import Array, Float, Params, PerExample

LEAST = 1e-2  # the time below which a velocity is no longer told from rounding errors
SHOWN = 64  # samples at each evaluation
STEPS = 20  # of their way from noise


def velocity_mse(prediction: Flow, target: Float[Array, "B H W C"], /) -> PerExample:
    """The mean squared error of the velocity, for the clean image as target (Lipman et al., ICLR 2023, eq. 14).

    Written as `(x̂ - x)² / t²`, which is the same, since `y` and `t` are known, but stays finite: t counts as at least
    0.01, below which examples weigh less and less.
    """
    time = jnp.maximum(prediction.time, LEAST)
    return jnp.mean(jnp.square((prediction.image - target) / time), axis=(1, 2, 3))


def generation(
    name: str, info: SourceInfo, /, *, observation: str, head: Mapping[str, Any] = {"kind": "velocity"}
) -> Task:
    """New images, of a class if the network is told classes; the velocity's mean squared error on fixed noise.

    The observation must be of noise `flow` and operator `identity`; its `given` are fields that hold a class, and
    `withheld` is the share of examples that teach to do without, so that samples can be guided. The picture of a
    prediction is the image that it makes of noise in one step.
    """

    def samples(model: MultiTask, params: Params, given: tuple[str, ...]) -> Float[Array, "N H W C"]:
        labels = in_turn(SHOWN, class_counts(info, given))
        return sample(model, params, name, jax.random.key(0), (SHOWN, *info.image_shape), labels, steps=STEPS)

    return Task(
        name=name,
        kind="generation",
        observation=observation,
        head=head,
        outputs=max(map(len, info.class_names.values()), default=0),
        fields=("image",),
        target=lambda batch: batch["image"],
        loss=velocity_mse,
        scores={"velocity_mse": lambda prediction, target: metrics.counted(velocity_mse(prediction, target))},
        better={"velocity_mse": "lower"},
        picture=lambda prediction: image_picture(prediction.image),
        samples=samples,
    )

"""The smallest experiment that has every kind of part: shared by the tests of models, steps and runs."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from mtjax import weighting
from mtjax.data.fields import SourceInfo
from mtjax.models import HEADS, MultiTask
from mtjax.models.encoders import unet
from mtjax.models.pyramid import unshuffle
from mtjax.models.sharing import hard
from mtjax.tasks import TASKS
from mtjax.train import optimizers, state
from mtjax.train.balancing import Balancing
from mtjax.train.step import Experiment, observe_for_evaluation

SIZE = 16
INFO = SourceInfo(
    name="tiny",
    fields={"image": (SIZE, SIZE, 3), "label": (), "segments": (SIZE, SIZE), "boundary": (SIZE, SIZE)},
    class_names={"label": ("a", "b", "c"), "segments": ("background", "a", "b", "c")},
    image_shape=(SIZE, SIZE, 3),
)
OBSERVATIONS = {
    "blurred": {"operator": {"kind": "blur", "std": 1.0}, "noise": {"kind": "gaussian", "sigma": 0.02}},
    "masked": {"operator": {"kind": "mask", "keep": 0.5}, "noise": {"kind": "gaussian", "sigma": 0.01}},
    "small": {"operator": {"kind": "downsample", "factor": 2}, "noise": {"kind": "gaussian", "sigma": 0.01}},
}
NODES = {
    "deblur": ("reconstruction", {"observation": "blurred", "head": {"kind": "unrolled", "iterations": 3, "width": 4}}),
    "inpaint": ("reconstruction", {"observation": "masked", "head": {"kind": "decoder", "width": 4}}),
    "enlarge": ("super_resolution", {"observation": "small", "head": {"kind": "upscale", "width": 4}}),
    "digit": ("classification", {"observation": "blurred"}),
    "segment": ("segmentation", {"observation": "blurred", "head": {"kind": "dense", "width": 4}}),
    "edges": ("boundary", {"observation": "masked", "head": {"kind": "dense", "width": 4}}),
}


class Plain(nn.Module):
    """An encoder of two convolutions, for tests of what stands around it: a U-Net takes far longer to compile."""

    strides = (2, 4)

    @nn.compact
    def __call__(self, x, between=lambda _, x: x):
        """Features at strides 2 and 4."""
        fine = between(0, nn.gelu(nn.Conv(8, (3, 3))(unshuffle(x, 2))))
        return fine, between(1, nn.gelu(nn.Conv(8, (3, 3), 2)(fine)))


def experiment(names=tuple(NODES), kind="equal", optimizer=None, steps=100, encoder=None, **weights) -> Experiment:
    """An experiment with the named tasks."""
    tasks = {name: TASKS[NODES[name][0]](name, INFO, **NODES[name][1]) for name in names}
    read = {task.observation for task in tasks.values()}
    node = optimizer or {"kind": "adam", "lr": 3e-3, "clip": 1.0, "schedule": {"kind": "constant"}, "per_task": {}}
    heads = {}
    for name, task in tasks.items():
        params = {key: value for key, value in task.head.items() if key != "kind"}
        heads[name] = HEADS[task.head["kind"]](None, task.outputs, **params)
    return Experiment(
        model=MultiTask(
            encoder=encoder or unet(None, width=4, depth=2),
            sharing=hard(tuple(tasks), adapt="bias"),
            heads=heads,
            reads={name: task.observation for name, task in tasks.items()},
        ),
        tasks=tasks,
        observations={name: node for name, node in OBSERVATIONS.items() if name in read},
        balancing=Balancing(weighting.make(kind, names=tuple(tasks), **weights)),
        optimizer=optimizers.make(node, steps, tuple(tasks)),
        augmentation={},
        steps_per_epoch=5,
    )


def with_balancing(parts: Experiment, balancing: Balancing) -> Experiment:
    """The same experiment, balanced otherwise."""
    return dataclasses.replace(parts, balancing=balancing)


def initial(parts: Experiment, seed: int = 0) -> state.State:
    """Its state before the first step."""

    @jax.jit
    def create():
        blank = {"image": jnp.zeros((1, SIZE, SIZE, 3))}
        observed = observe_for_evaluation(parts.observations, jnp.zeros(1, jnp.int32), blank)
        params = parts.model.init(jax.random.key(seed), observed)
        return state.create(params, parts.optimizer, parts.balancing, len(parts.tasks), seed)

    return create()


def batch(size: int = 4, seed: int = 0) -> dict:
    """Smooth pictures with a square of one of three colors on them, and what there is to know about it."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, size).astype(np.int32)
    ramp = np.linspace(0, 120, SIZE)[:, None, None] * np.ones((SIZE, SIZE, 3))
    image = np.stack([ramp] * size).astype(np.uint8)
    segments = np.zeros((size, SIZE, SIZE), np.int32)
    boundary = np.zeros((size, SIZE, SIZE), np.float32)
    for i, top in enumerate(rng.integers(1, SIZE - 9, size)):
        inside = np.s_[i, top : top + 8, 4:12]
        image[inside] = 60
        image[(*inside, label[i])] = 250
        segments[inside] = label[i] + 1
        boundary[i, top : top + 8, 4] = boundary[i, top : top + 8, 11] = 1
    number = np.arange(size, dtype=np.int32)
    valid = {field: np.ones(size, bool) for field in INFO.fields}
    truth = {"image": image, "label": label, "segments": segments, "boundary": boundary}
    return {**truth, "valid": valid, "index": number, "position": number}

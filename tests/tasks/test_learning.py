"""Every kind of task, and every head, learns a handful of examples by heart."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

from mtjax.data.fields import SourceInfo
from mtjax.models import HEADS, MultiTask
from mtjax.models.encoders import unet
from mtjax.models.sharing import hard
from mtjax.tasks import TASKS
from mtjax.train.build import fused_channels
from mtjax.train.step import example_keys, observe_all

SIZE, BATCH, STEPS = tiny.SIZE, 4, 200
PLANE, CLASSES = (SIZE, SIZE), ("a", "b", "c")
INFO = SourceInfo(
    "squares",
    {
        "image": (*PLANE, 3), "label": (), "parity": (), "present": (3,), "boxes": (2, 4), "box_labels": (2,),
        "segments": PLANE, "instances": PLANE, "boundary": PLANE, "depth": PLANE, "saliency": PLANE,
        "normals": (*PLANE, 3), "previous": (*PLANE, 3), "flow": (*PLANE, 2), "reference": (*PLANE, 3),
    },
    {"label": CLASSES, "parity": ("even", "odd"), "present": CLASSES, "box_labels": CLASSES,
     "segments": ("background", *CLASSES)},
    (*PLANE, 3),
)  # fmt: skip
QUIET = {"kind": "gaussian", "sigma": 0.02}
OBSERVATIONS = {
    "clear": {"operator": {"kind": "identity"}, "noise": QUIET},
    "blurred": {"operator": {"kind": "blur", "std": 1.0}, "noise": QUIET},
    "masked": {"operator": {"kind": "mask", "keep": 0.5}, "noise": QUIET},
    "sensed": {"operator": {"kind": "matrix_sensing", "ratio": 0.25, "block": 8}, "noise": {"kind": "none"}},
    "small": {"operator": {"kind": "downsample", "factor": 2}, "noise": QUIET},
    "burst": {"operator": {"kind": "burst", "frames": 3, "factor": 2}, "noise": QUIET},
    "cast": {"operator": {"kind": "color_cast"}, "noise": QUIET, "given": ("reference",), "withheld": 0.2},
    "gray": {"operator": {"kind": "color_matrix"}, "noise": QUIET},
    "pair": {"operator": {"kind": "identity"}, "noise": QUIET, "fused": ("previous",)},
    "ranged": {"operator": {"kind": "identity"}, "noise": QUIET, "fused": ("depth",), "withheld": 0.3},
    "noised": {"operator": {"kind": "identity"}, "noise": {"kind": "flow"}, "given": ("label",), "withheld": 0.1},
}


def node(kind, observation, head=None, **parameters):
    """A task's node, its head small."""
    return kind, {"observation": observation, **({"head": head} if head else {}), **parameters}


SMALL = {"width": 8, "depth": 1}
NODES = {
    "decoder": node("reconstruction", "masked", {"kind": "decoder", **SMALL}),
    "nafnet_decoder": node("reconstruction", "sensed", {"kind": "nafnet_decoder", **SMALL}),
    "unrolled": node("reconstruction", "blurred", {"kind": "unrolled", "iterations": 3, **SMALL}),
    "estimate": node("reconstruction", "blurred", {"kind": "estimate", **SMALL}),
    "upscale": node("super_resolution", "small", {"kind": "upscale", **SMALL}),
    "realtime": node("super_resolution", "small", {"kind": "realtime", "width": 16}),
    "implicit": node("super_resolution", "small", {"kind": "implicit", "width": 48, "depth": 2}),
    "burst": node("super_resolution", "burst", {"kind": "burst", **SMALL}),
    "detail": node("detail", "blurred", {"kind": "detail", **SMALL}),
    "lut": node("color", "cast", {"kind": "lut", "points": 5, "width": 8}),
    "bilateral_grid": node("color", "cast", {"kind": "bilateral_grid", "bins": 4, "width": 8}),
    "reference": node("color", "cast", {"kind": "reference", "width": 16, "depth": 1}),
    "chroma": node("color", "gray", {"kind": "chroma", **SMALL}),
    "bottleneck": node("compression", "clear", {"kind": "bottleneck", "latents": 4, "width": 8, "depth": 1}),
    "pooled": node("classification", "clear", {"kind": "pooled", "width": 16}),
    "multilabel": node("multilabel", "clear", {"kind": "pooled", "width": 16}),
    "boxes": node("detection", "clear", {"kind": "boxes", "width": 8}),
    "dense": node("segmentation", "ranged", {"kind": "dense", "width": 8}),
    "fcn": node("segmentation", "clear", {"kind": "fcn"}),
    "deeplab": node("segmentation", "clear", {"kind": "deeplab", "width": 8}),
    "boundary": node("boundary", "clear", {"kind": "dense", "width": 8}),
    "instances": node("instances", "clear", {"kind": "unet_decoder", "width": 8}),
    "saliency": node("saliency", "clear", {"kind": "unet_decoder", "width": 8}),
    "depth": node("depth", "clear", {"kind": "dense", "width": 8}),
    "normals": node("normals", "clear", {"kind": "dense", "width": 8}),
    "correlation": node("flow", "pair", {"kind": "correlation", **SMALL}),
    "velocity": node("generation", "noised", {"kind": "velocity", "width": 32, "depth": 1}),
}
LEARNING = {"velocity": (5e-3, STEPS), "realtime": (5e-3, STEPS), "reference": (2e-3, 5 * STEPS)}  # else 1e-2
ENCODERS = {"velocity": unet(None, width=8, depth=2)}  # else `tiny.Plain`, which compiles faster


def examples():
    """Smooth pictures with a square on them, and everything there is to know about it."""
    batch = tiny.batch(BATCH)
    inside = batch["segments"] > 0
    boxes, box_labels = np.zeros((BATCH, 2, 4), np.float32), np.full((BATCH, 2), -1, np.int32)
    for i, mask in enumerate(inside):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        boxes[i, 0] = np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]) / SIZE
        box_labels[i, 0] = batch["label"][i]
    slope = np.where(inside[..., None], [0.6, 0.0, 0.8], [0.0, 0.0, 1.0])
    batch |= {
        "parity": batch["label"] % 2,
        "present": np.eye(3, dtype=np.float32)[batch["label"]],
        "boxes": boxes,
        "box_labels": box_labels,
        "instances": inside.astype(np.int32),
        "saliency": inside.astype(np.float32),
        "depth": np.where(inside, 0.25, 1.0).astype(np.float32),
        "normals": slope.astype(np.float32),
        "previous": np.roll(batch["image"], -1, 2),
        "flow": np.broadcast_to(np.float32([0, 1]), (BATCH, *PLANE, 2)),
        "reference": batch["image"][:, ::-1],
    }
    valid = {field: np.ones(BATCH, bool) for field in INFO.fields}
    pictures = {field: batch[field].astype(np.float32) / 255 for field in ("image", "previous", "reference")}
    return jax.tree.map(jnp.asarray, {**batch, **pictures, "valid": valid})


# One of each family of tasks; the others are learned behind the slow marker.
FEW = ("decoder", "upscale", "lut", "bottleneck", "pooled", "boxes", "dense", "instances", "depth", "correlation")


@pytest.mark.parametrize(
    "name", [name if name in FEW else pytest.param(name, marks=pytest.mark.slow) for name in NODES]
)
def test_a_handful_is_learned_by_heart(name):
    kind, parameters = NODES[name]
    task = TASKS[kind](name, INFO, **parameters)
    spec = {task.observation: OBSERVATIONS[task.observation]}
    head = {key: value for key, value in task.head.items() if key != "kind"}
    config = type("Config", (), {"observations": spec})
    model = MultiTask(
        encoder=ENCODERS.get(name, tiny.Plain()),
        sharing=hard((name,)),
        heads={name: HEADS[task.head["kind"]](None, task.outputs, **head)},
        reads={name: task.observation},
        fused=fused_channels(config, INFO, {task.observation}),
    )
    rate, steps = LEARNING.get(name, (1e-2, STEPS))
    optimizer, batch = optax.adam(rate), examples()

    def losses(params, key):
        observed = observe_all(spec, example_keys(key, batch["position"]), batch, train=True)
        said = model.apply(params, observed)[name]
        return task.loss(said, task.target(batch)).mean()

    @jax.jit
    def learn(key):
        start = observe_all(spec, example_keys(key, batch["position"]), batch)
        params = model.init(key, start)

        def step(carry, key):
            params, state = carry
            loss, slope = jax.value_and_grad(losses)(params, key)
            updates, state = optimizer.update(slope, state)
            return (optax.apply_updates(params, updates), state), loss

        _, seen = jax.lax.scan(step, (params, optimizer.init(params)), jax.random.split(key, steps))
        return seen

    seen = np.asarray(learn(jax.random.key(0)))
    assert np.isfinite(seen).all()
    first, last = seen[:10].mean(), seen[-30:].mean()  # each step has its own noise, and times of its own
    assert last < 0.5 * first, (first, last)


def test_no_kind_of_task_and_no_head_is_left_out():
    assert {kind for kind, _ in NODES.values()} == set(TASKS)
    made = [TASKS[kind]("task", INFO, **parameters).head["kind"] for kind, parameters in NODES.values()]
    assert set(made) == set(HEADS)

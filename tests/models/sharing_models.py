"""A small model with any sharing, and what it sees: shared by the tests of sharings."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtjax.models import HEADS, SHARINGS, MultiTask
from mtjax.models.encoders import unet
from mtjax.physics import Blur, Downsample, Mask, Observed, kernels

TASKS = {
    "digit": ("masked", ("pooled", 3, {"width": 8})),
    "segment": ("blurred", ("dense", 4, {"width": 4})),
    "edges": ("masked", ("dense", 1, {"width": 4})),
}
SEVERAL = ("digit", "segment", "edges")
KINDS = sorted(SHARINGS)
FEW = ("cross_stitch", "hard", "mti_net")  # the others are compiled behind the slow marker
COPIES = ("cross_stitch", "nddr", "soft")
MIXING = ("message", "mti_net", "pad_net")


def observed(height=16, width=16, size=2):
    """Two observations of one shape, and one of half the resolution."""
    y = jax.random.uniform(jax.random.key(0), (size, height, width, 3))
    level, mask = jnp.full((size, 1, 1, 1), 0.02), jnp.ones((size, height, width, 1)).at[:, :, ::2].set(0)
    return {
        "blurred": Observed(y, Blur(kernels.gaussian(1.0)), level),
        "masked": Observed(y[::-1] * mask, Mask(mask), level),
        "small": Observed(y[:, ::2, ::2], Downsample(2), level),
    }


def model(kind="hard", tasks=SEVERAL, reads=None, dtype=None, **parameters) -> MultiTask:
    """The model; `reads` changes what some tasks read."""
    heads = {task: HEADS[TASKS[task][1][0]](dtype, TASKS[task][1][1], **TASKS[task][1][2]) for task in tasks}
    return MultiTask(
        encoder=unet(dtype, width=4, depth=2),
        sharing=SHARINGS[kind](tasks, **parameters),
        heads=heads,
        reads={task: (reads or {}).get(task, TASKS[task][0]) for task in tasks},
    )


def seen_by(net, seen):
    """The observations that some task reads, as the training step makes them."""
    return {name: seen[name] for name in dict.fromkeys(net.reads.values())}


def shapes(net, seen):
    """The shapes of its parameters; nothing is compiled."""
    return jax.eval_shape(net.init, jax.random.key(0), seen_by(net, seen))


def disturbed(params, seed=1, scale=0.1):
    """Parameters in general position: what begins at zero hides what is below it."""
    leaves, tree = jax.tree.flatten(params)
    rng = np.random.default_rng(seed)
    return tree.unflatten([x + jnp.asarray(scale * rng.normal(size=x.shape), x.dtype) for x in leaves])


def filled(shapes, seed=1):
    """The same from shapes alone, without compiling the initialization."""
    return disturbed(jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes), seed, 0.3)


@functools.cache
def pair(kind):
    """Model of two tasks that read different observations, what they see, parameters, compiled gradient.

    The gradient is `(params) -> ((loss, predictions), gradients)`.
    """
    net = model(kind, ("segment", "edges"))
    seen = seen_by(net, observed())

    def loss(params):
        features = net.encode(params, seen)
        said = net.decode(params, features, seen, auxiliary=True)
        # These heads read the finest features only; what sharings make of the others has to be seen too.
        read = net.sharing.apply({"params": params["sharing"]}, features, net.feature_names, tuple(net.heads))
        return sum(jnp.mean((x - 0.3) ** 2) for x in jax.tree.leaves((said, read))) + net.penalty(params), said

    params = filled(shapes(net, seen))
    quick = {"xla_backend_optimization_level": 0}  # most of the time of these tests is the compiler's
    gradient = jax.jit(jax.value_and_grad(loss, has_aux=True)).lower(params).compile(quick)
    return net, seen, params, gradient


def some(kinds):
    """The same kinds; those that are not among the few run behind the slow marker."""
    return [kind if kind in FEW else pytest.param(kind, marks=pytest.mark.slow) for kind in kinds]

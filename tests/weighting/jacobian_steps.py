"""One compiled update of the weightings that look at inner products of task gradients, on a Jacobian."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from mtjax import weighting
from mtjax.weighting import Signals

NAMES = ("a", "b", "c", "d")
# Three tasks in conflict, of different lengths.
CONFLICT = np.asarray([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0], [1.0, -2.0, 0.5]])


@functools.cache
def compiled(kind, names=NAMES, **params):
    """`(jacobian, present, state, key, losses, second) -> (weights, state)`, and the method."""
    method = weighting.make(kind, names=names, **params)

    def step(jacobian, present, state, key, losses, second):
        jacobian = jnp.where(present[:, None], jacobian, 0)
        second = jnp.where(present[:, None], second, 0)
        signals = Signals(losses, present, gram=jacobian @ jacobian.T, cross=jacobian @ second.T, key=key)
        return method.update(signals, state)

    return method, jax.jit(step)


def apply(kind, jacobian, *, present=None, state=None, seed=0, losses=None, second=None, names=None, **params):
    """Weights and state of one update; the state is the first one if none is given, the tasks are named a, b, ..."""
    jacobian = jnp.asarray(jacobian)
    number = len(jacobian)
    method, step = compiled(kind, names or NAMES[:number], **params)
    present = jnp.ones(number, bool) if present is None else jnp.asarray(present)
    losses = jnp.ones(number, jacobian.dtype) if losses is None else jnp.asarray(losses, jacobian.dtype)
    second = jacobian if second is None else jnp.asarray(second)
    state = method.init() if state is None else state
    return step(jacobian, present, state, jax.random.key(seed), losses, second)


def direction(kind, jacobian, **arguments):
    """What the method makes of the gradients, as a NumPy vector."""
    weights, _ = apply(kind, jacobian, **arguments)
    return np.asarray(weights) @ np.asarray(jacobian)


def random_jacobian(seed, tasks=4, parameters=6, spread=0.0):
    """Rows of normal numbers, their lengths different by factors `exp(spread N(0, 1))`."""
    random = np.random.default_rng(seed)
    return random.normal(size=(tasks, parameters)) * np.exp(spread * random.normal(size=(tasks, 1)))

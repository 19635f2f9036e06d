"""One compiled step of a weighting on data that tests make up."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from mtjax import weighting
from mtjax.weighting import Signals, weighted_sum

NAMES = ("a", "b", "c", "d")


def step_of(method):
    """Compiled `(state, losses, present, gradients, key, later_losses) -> (weights, direction, state)`."""

    def step(state, losses, present, gradients, key, later_losses):
        needed = gradients if method.needs == "gradients" else None
        weights, state = method.update(Signals(losses, present, gradients=needed, key=key), state)
        if method.direction is not None:
            direction = method.direction(gradients, weights, state)
        else:
            direction = weighted_sum(gradients, weights)
        if method.later is not None:
            state = method.later(later_losses, state)
        return weights, direction, state

    return jax.jit(step)


@functools.cache
def compiled(kind, names=NAMES, **params):
    """A method by its name and parameters, and its compiled step: one compilation for all tests of a file."""
    method = weighting.make(kind, names=names, **params)
    return method, step_of(method)


def data(seed, num_tasks=4, dtype=float):
    """Losses, gradients with two leaves, and losses after the step, of one step."""
    random = np.random.default_rng(seed)
    gradients = {"w": random.normal(size=(num_tasks, 3, 2)), "b": random.normal(size=(num_tasks, 5))}
    losses, later = random.uniform(0.2, 3, size=(2, num_tasks))
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), (losses, gradients, later))


def flat(gradients):
    """The gradients as one matrix."""
    leaves = jax.tree.leaves(gradients)
    return np.concatenate([np.asarray(leaf).reshape(len(leaf), -1) for leaf in leaves], 1)


def flat_direction(direction):
    return np.concatenate([np.asarray(leaf).ravel() for leaf in jax.tree.leaves(direction)])


class Adam:
    """Adam for numbers that each have their own count of steps, in NumPy."""

    def __init__(self, start, lr, decay=0.0):
        self.value, self.lr, self.decay = np.array(start, float), lr, decay
        self.first, self.second, self.count = (np.zeros_like(self.value) for _ in range(3))

    def step(self, gradient, present):
        for i in np.flatnonzero(present):
            g = gradient[i] + self.decay * self.value[i]
            self.count[i] += 1
            self.first[i] = 0.9 * self.first[i] + 0.1 * g
            self.second[i] = 0.999 * self.second[i] + 0.001 * g**2
            mean = self.first[i] / (1 - 0.9 ** self.count[i])
            square = self.second[i] / (1 - 0.999 ** self.count[i])
            self.value[i] -= self.lr * mean / (np.sqrt(square) + 1e-8)

"""Loss spikes: a task's loss that stands far above what it has lately been, by the logarithm's mean and deviation."""

import jax.numpy as jnp

from mtjax.typing import Array, Bool, Float

DECAY = 0.98  # of the running mean and variance: about the last 50 steps
WARMUP = 50  # losses that a task must have had before one of them can be a spike
SMALLEST = 1e-12  # a loss of which the logarithm is taken

History = dict[str, Float[Array, "T"]]


def no_history(num_tasks: int) -> History:
    """Mean and variance of each task's log loss, and how many losses they are of, before the first step."""
    return {name: jnp.zeros(num_tasks) for name in ("mean", "variance", "count")}


def spiked(history: History, losses: Float[Array, "T"], present: Bool[Array, "T"], sigmas: float) -> Bool[Array, "T"]:
    """Which tasks' losses are more than so many standard deviations above the mean, on a logarithmic scale.

    A task without a valid example, `present` False, has no loss; in its first steps a task has no spikes.
    """
    above = jnp.log(jnp.maximum(losses, SMALLEST)) - history["mean"]
    return present & (history["count"] >= WARMUP) & (above > sigmas * jnp.sqrt(history["variance"]))


def remembered(history: History, losses: Float[Array, "T"], present: Bool[Array, "T"]) -> History:
    """The history with one more loss of each task that has one: exponential averages, plain ones in the beginning.

    Source: West, "Updating mean and variance estimates", CACM 1979, with a constant rate once the averages are full.
    """
    count = history["count"] + present
    rate = jnp.where(present, jnp.maximum(1 - DECAY, 1 / jnp.maximum(count, 1)), 0)
    above = jnp.log(jnp.maximum(losses, SMALLEST)) - history["mean"]
    return {
        "mean": history["mean"] + rate * above,
        "variance": (1 - rate) * (history["variance"] + rate * above**2),
        "count": count,
    }

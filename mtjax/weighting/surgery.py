"""Each task's gradient is cut where it conflicts with another's, and what is left is added up."""

import zlib

import jax
import jax.numpy as jnp

from mtjax.typing import Array, Bool, Float, Int, Key
from mtjax.weighting.base import Signals, Weighting
from mtjax.weighting.gram import cosines


def pcgrad(names: tuple[str, ...], /) -> Weighting:
    """Projecting conflicting gradients.

    Every gradient meets the others in random order; where it has a negative inner product with one of them, its part
    along that one is taken out. `d` is the sum of what is left. Without conflict that is the sum of the gradients, and
    with two tasks the order does not matter. The weights of the gradients are at least 1 for present tasks.

    Args:
        names: the tasks, in order.

    Source: Yu, Kumar, Gupta, Levine, Hausman and Finn, "Gradient surgery for multi-task learning", NeurIPS 2020,
    algorithm 1.
    """

    def update(signals: Signals, state: tuple[()]):
        assert signals.gram is not None and signals.key is not None
        cosine, norms, usable = cosines(signals.gram, signals.present)
        order = random_order(signals.key, names)

        def meet(rows, others):
            inner = inner_with(rows, cosine, others)
            other = jnp.arange(len(others)) != others
            return add_to(rows, others, jnp.where(other, jnp.maximum(-inner, 0), 0)), None

        rows, _ = jax.lax.scan(meet, jnp.diag(norms), order.T)
        return jnp.where(signals.present, total_weights(rows, norms, usable), 0), state

    return Weighting(init=lambda _=None: (), update=update, needs="gram")


def gradvac(names: tuple[str, ...], /, *, beta: float = 0.5) -> Weighting:
    """Gradient vaccine: as PCGrad, but each pair is brought to the cosine it has had on average, not only to 0.

    Where gradient i, as changed so far, has a cosine `φ` with gradient j below the pair's average `φ̂`, so much of
    gradient j is added that the cosine becomes `φ̂`. Then `φ̂ ← (1 - β) φ̂ + β φ`. The averages start at 0, so that the
    first step is PCGrad's in the same order. An average with an absent task stands still.

    Args:
        names: the tasks, in order.
        beta: how much of the average each step replaces, in [0, 1]; the paper uses 0.01 and its followers 0.5.

    Raises:
        ValueError: `beta` is not in [0, 1].

    Source: Wang, Tsvetkov, Firat and Cao, "Gradient vaccine", ICLR 2021, equations 3 and 4, algorithm 1.
    """
    if not 0 <= beta <= 1:
        raise ValueError(f"beta must be between 0 and 1, got {beta}")

    def update(signals: Signals, state):
        assert signals.gram is not None and signals.key is not None
        cosine, norms, usable = cosines(signals.gram, signals.present)
        order = random_order(signals.key, names)
        # A target of exactly 1 would need infinitely much of the other gradient.
        highest = 1 - jnp.sqrt(jnp.finfo(cosine.dtype).eps)
        targets = jnp.minimum(state["similarity"].astype(cosine.dtype), highest)

        def meet(carry, others):
            rows, met = carry
            length = jnp.sqrt(jnp.maximum(jnp.sum((rows @ cosine) * rows, -1), 0))
            inner = inner_with(rows, cosine, others)
            angle = jnp.clip(inner / jnp.where(length > 0, length, 1), -1, 1)
            target = jnp.take_along_axis(targets, others[:, None], 1)[:, 0]
            pair = usable & usable[others] & (length > 0) & (jnp.arange(len(others)) != others)
            needed = length * (target * jnp.sqrt((1 - angle) * (1 + angle) / ((1 - target) * (1 + target))) - angle)
            rows = add_to(rows, others, jnp.where(pair & (angle < target), needed, 0))
            old = jnp.take_along_axis(met, others[:, None], 1)[:, 0]
            seen = jnp.where(pair, (1 - beta) * old + beta * angle, old)
            return (rows, met.at[jnp.arange(len(others)), others].set(seen)), None

        start = jnp.diag(norms), state["similarity"].astype(cosine.dtype)
        (rows, similarity), _ = jax.lax.scan(meet, start, order.T)
        weights = jnp.where(signals.present, total_weights(rows, norms, usable), 0)
        return weights, {"similarity": similarity.astype(state["similarity"].dtype)}

    return Weighting(init=lambda _=None: {"similarity": jnp.zeros((len(names),) * 2)}, update=update, needs="gram")


def random_order(key: Key[Array, ""], names: tuple[str, ...]) -> Int[Array, "T T"]:
    """For each task (a row), all tasks in a random order of its own.

    The draws belong to the tasks' names, not to their positions: neither their order in the config nor which other
    tasks are present changes in which order two tasks meet a third.
    """
    ids = jnp.asarray([zlib.crc32(name.encode()) for name in names], jnp.uint32)
    of_task = jax.vmap(jax.random.fold_in, (None, 0))(key, ids)
    of_pair = jax.vmap(jax.vmap(jax.random.fold_in, (None, 0)), (0, None))(of_task, ids)
    return jnp.argsort(jax.vmap(jax.vmap(lambda k: jax.random.uniform(k, dtype=jnp.float32)))(of_pair), -1)


def inner_with(rows: Float[Array, "T T"], cosine: Float[Array, "T T"], others: Int[Array, "T"]) -> Float[Array, "T"]:
    """The inner product of each row, a combination of unit gradients, with one unit gradient."""
    return jnp.sum(rows * cosine[others], -1)


def add_to(rows: Float[Array, "T T"], others: Int[Array, "T"], amount: Float[Array, "T"]) -> Float[Array, "T T"]:
    """So much of one unit gradient added to each row."""
    return rows.at[jnp.arange(len(others)), others].add(amount)


def total_weights(rows: Float[Array, "T T"], norms: Float[Array, "T"], usable: Bool[Array, "T"]) -> Float[Array, "T"]:
    """Weights on the gradients of the sum of all rows; a gradient of zero keeps the weight 1 of a sum."""
    return jnp.where(usable, jnp.where(usable[:, None], rows, 0).sum(0) / norms, 1)

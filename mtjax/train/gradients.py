"""From T task losses to one update: the task gradients, what the weighting makes of them, one encoder backward.

1. One forward of the encoder gives the features, once for all tasks.
2. Each task's head (with what it uses of the sharing) goes backward by itself: T losses, their gradients at the
   features, at the sharing's parameters and at the head's.
3. The weighting sees what it needs: the losses; the Gram matrix of the gradients, at the features or at the shared
   parameters (those of the encoder and of the sharing); or these gradients themselves.
4. One backward of the encoder, of the weighted sum of the features' gradients.

At the features this costs about as much as any weighted sum of losses, so the Gram matrix there is taken for every
method, for the diagnostics. At the parameters, the encoder goes backward for each task instead, for one after the
other, so that one backward pass is in memory at a time, or for `chunk` tasks together. With `low_memory` not even two
tasks' gradients are kept: with the features' gradient `zᵢ` and the encoder's derivative `F`, `gᵢ·gⱼ = ⟨zᵢ, F gⱼ⟩`, so
one backward and one forward pass a task give the Gram matrix, and step 4 the update.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from mtjax.models import MultiTask
from mtjax.tasks import Task
from mtjax.train.backward import Backward, Forward, Found, Total, combination, later
from mtjax.train.balancing import Balancing, normalized
from mtjax.train.parts import in_parts
from mtjax.typing import Array, Batch, Float, Params, PRNGKeyArray


class Update(NamedTuple):
    """What one step makes of its task losses.

    gradients: of all parameters, what the optimizer receives.
    losses: by task; 0 where it has no valid example. weights: as used, see `mtjax.weighting`.
    state: of the weighting. gram: inner products of the task gradients, float32.
    """

    gradients: Params
    losses: Float[Array, "T"]
    weights: Float[Array, "T"]
    state: dict[str, Any]
    gram: Float[Array, "T T"]


def task_loss(
    model: MultiTask,
    task: Task,
    params: Params,
    features: Any,
    observed: Any,
    batch: Batch,
    shares: Array,
    parts: int = 1,
) -> Array:
    """Sums of a task's loss, `shares [..., B] @ loss [B]`, auxiliary predictions counting like the final one."""

    def losses(params: Params, observed: Any, features: Any, batch: Batch) -> Array:
        (said,) = model.decode(params, features, observed, (task.name,), auxiliary=True).values()
        target, valid = task.target(batch), task.valid(batch)
        return jnp.asarray(sum(jnp.where(valid, task.loss(prediction, target), 0) for prediction in said))

    return shares @ in_parts(losses, parts, len(batch["position"]))(params, observed, features, batch)


def task_losses(
    model: MultiTask,
    tasks: Mapping[str, Task],
    params: Params,
    observed: dict[str, Any],
    batch: Batch,
    counts: Float[Array, "T"],
    parts: int = 1,
) -> Float[Array, "T"]:
    """The losses of all tasks, this device's share of them."""
    features = in_parts(model.encode, parts, len(batch["position"]))(params, observed)
    ones = jnp.ones_like(batch["position"], jnp.float32)
    return jnp.stack(
        [
            task_loss(model, task, params, features, observed, batch, ones / jnp.maximum(count, 1), parts)
            for task, count in zip(tasks.values(), counts, strict=True)
        ]
    )


def weighted_gradients(
    balancing: Balancing,
    model: MultiTask,
    tasks: Mapping[str, Task],
    params: Params,
    observed: dict[str, Any],
    batch: Batch,
    counts: Float[Array, "T"],
    state: dict[str, Any],
    key: PRNGKeyArray,
    total: Total,
    refresh: bool = True,
    parts: int = 1,
) -> Update:
    """The update that the weighting makes of the task losses, from one forward pass of the encoder.

    Args:
        balancing: the weighting and how it is served; state: its state.
        model: the network; params: its parameters.
        tasks: by name, in order.
        observed: by name. batch: with targets.
        counts: valid examples of each task in the global batch.
        key: of this step.
        total: sums over devices.
        refresh: whether the weights are updated; else those in the state are used.
        parts: that the batch goes through the network in; `observed` is then of each of them, see `mtjax.train.parts`.
    """

    def encode(encoder: Params) -> dict[str, Any]:
        whole = in_parts(model.encode, parts, len(batch["position"]))
        return whole({**params, "encoder": encoder}, observed)

    def anew(cotangent: Any) -> tuple[Params]:
        return jax.vjp(encode, later(params["encoder"], cotangent))[1](cotangent)

    # What a forward pass stores stays in memory until the last backward pass that reads it.
    features, pull = (encode(params["encoder"]), anew) if balancing.low_memory else jax.vjp(encode, params["encoder"])
    halves = balancing.weighting.needs == "halves"
    forwards = [
        _forward(model, task, params, features, observed, batch, count, halves, total, parts)
        for task, count in zip(tasks.values(), counts, strict=True)
    ]
    losses = lax.stop_gradient(total(jnp.stack([forward.loss for forward in forwards])))
    present = counts > 0
    backward = Backward(
        forwards=forwards,
        features=features,
        pull=lambda cotangent: pull(cotangent)[0],
        encode=encode,
        encoder=params["encoder"],
        total=total,
    )
    if refresh:
        seen, found, rows = backward.signals(balancing, losses, present, key)
        assert seen.gram is not None
        published, method = balancing.weighting.update(seen, state["method"])
        weights, gram = normalized(published) if balancing.of_gradients else published, seen.gram
        if balancing.low_memory:  # the last backward pass begins when the others have ended, whatever the weights read
            weights = later(weights, gram.sum())
        state = {"method": method, **({"weights": weights, "gram": gram} if balancing.every > 1 else {})}
    else:
        found, rows = backward.all_heads(), None
        weights, gram = jnp.where(present, state["weights"], 0), state["gram"]
    if refresh and balancing.weighting.direction is not None:
        direction = balancing.weighting.direction(seen.gradients, published, method)
        size = jnp.maximum(jnp.abs(published).sum(), jnp.finfo(published.dtype).tiny)
        direction = jax.tree.map(lambda leaf: leaf / size.astype(leaf.dtype), direction)
        shared = backward.through_encoder(direction, found, weights) if balancing.level == "features" else direction
    elif rows is not None:
        shared = combination(rows, weights)
    else:
        shared = backward.weighted(found, weights)
    own_weights = present.astype(jnp.float32) if balancing.of_gradients else weights
    heads = {
        name: jax.tree.map(lambda leaf, w=w: w.astype(leaf.dtype) * leaf, own.head)
        for name, own, w in zip(tasks, found, own_weights, strict=True)
    }
    gradients = jax.tree.map(jnp.add, {**shared, "heads": total(heads)}, jax.grad(model.penalty)(params))
    return Update(gradients, losses, weights, state, gram)


def _forward(
    model: MultiTask,
    task: Task,
    params: Params,
    features: dict[str, Any],
    observed: dict[str, Any],
    batch: Batch,
    count: Float[Array, ""],
    halves: bool,
    total: Total,
    parts: int,
) -> Forward:
    """One task's head, forward: its mean loss over the global batch, and, if wanted, over each half of it."""
    read = {name: features[name] for name in model.read_by(task.name)}
    shares = jnp.ones_like(batch["position"], jnp.float32)[None] / jnp.maximum(count, 1)
    if halves:
        half = (batch["position"] % 2)[None] == jnp.arange(2)[:, None]
        sizes = total(jnp.sum(half & task.valid(batch), 1, keepdims=True))
        shares = jnp.concatenate([shares, half / jnp.maximum(sizes, 1)])

    def loss(read: Any, sharing: Params, head: Params) -> Array:
        own = {**params, "sharing": sharing, "heads": {task.name: head}}
        return task_loss(model, task, own, read, observed, batch, shares, parts)

    values, vjp = jax.vjp(loss, read, params["sharing"], params["heads"][task.name])

    def back(i: int = 0, scale: Any = 1.0) -> Found:
        return Found(*vjp(jnp.zeros_like(values).at[i].set(scale)))

    return Forward(values[0], back)

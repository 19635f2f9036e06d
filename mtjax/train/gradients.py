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

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from mtjax.models import MultiTask
from mtjax.tasks import Task
from mtjax.train.balancing import Balancing, normalized
from mtjax.typing import Array, Batch, Float, Params, PRNGKeyArray
from mtjax.weighting import Signals

Total = Callable[[Any], Any]  # the sum over devices, where each sees its part of the batch alone


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


class Found(NamedTuple):
    """The gradients of one loss: at the features that its task reads, by name, and at the parameters."""

    features: dict[str, Any]
    sharing: Params
    head: Params


class Forward(NamedTuple):
    """One task's loss, and the way back through its head: `back(i)` for the loss, or for one of its two halves."""

    loss: Float[Array, ""]
    back: Callable[..., Found]


def task_loss(
    model: MultiTask, task: Task, params: Params, features: Any, observed: Any, batch: Batch, shares: Array
) -> Array:
    """Sums of a task's loss, `shares [..., B] @ loss [B]`, auxiliary predictions counting like the final one."""
    (said,) = model.decode(params, features, observed, (task.name,), auxiliary=True).values()
    target, valid = task.target(batch), task.valid(batch)
    losses = sum(jnp.where(valid, task.loss(prediction, target), 0) for prediction in said)
    return shares @ losses


def task_losses(
    model: MultiTask,
    tasks: Mapping[str, Task],
    params: Params,
    observed: dict[str, Any],
    batch: Batch,
    counts: Float[Array, "T"],
) -> Float[Array, "T"]:
    """The losses of all tasks, this device's share of them."""
    features = model.encode(params, observed)
    ones = jnp.ones_like(batch["position"], jnp.float32)
    return jnp.stack(
        [
            task_loss(model, task, params, features, observed, batch, ones / jnp.maximum(count, 1))
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
    """

    def encode(encoder: Params) -> dict[str, Any]:
        return model.encode({**params, "encoder": encoder}, observed)

    def anew(cotangent: Any) -> tuple[Params]:
        return jax.vjp(encode, _later(params["encoder"], cotangent))[1](cotangent)

    # What a forward pass stores stays in memory until the last backward pass that reads it.
    features, pull = (encode(params["encoder"]), anew) if balancing.low_memory else jax.vjp(encode, params["encoder"])
    halves = balancing.weighting.needs == "halves"
    forwards = [
        _forward(model, task, params, features, observed, batch, count, halves, total)
        for task, count in zip(tasks.values(), counts, strict=True)
    ]
    losses = lax.stop_gradient(total(jnp.stack([forward.loss for forward in forwards])))
    present = counts > 0
    backward = _Backward(
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
            weights = _later(weights, gram.sum())
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
        shared = _combination(rows, weights)
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
        return task_loss(model, task, own, read, observed, batch, shares)

    values, vjp = jax.vjp(loss, read, params["sharing"], params["heads"][task.name])

    def back(i: int = 0, scale: Any = 1.0) -> Found:
        return Found(*vjp(jnp.zeros_like(values).at[i].set(scale)))

    return Forward(values[0], back)


@dataclasses.dataclass(frozen=True)
class _Backward:
    """The way back, through the heads and through the encoder."""

    forwards: list[Forward]
    features: dict[str, Any]
    pull: Callable[[Any], Params]  # from the features' gradient to that of the encoder's parameters
    encode: Callable[[Params], Any]
    encoder: Params
    total: Total

    def signals(
        self, balancing: Balancing, losses: Float[Array, "T"], present: Array, key: PRNGKeyArray
    ) -> tuple[Signals, list[Found], list[Params] | None]:
        """What the weighting looks at, the gradients of the heads and features, and those of the shared parameters."""
        needs = balancing.weighting.needs
        rows = cross = gradients = None
        if balancing.level == "features" or not balancing.of_gradients:
            found = self.all_heads()
            gram = self.total(self._gram_of_features(found))
            if needs == "gradients":
                gradients = _stack([self._complete(own.features) for own in found])
        elif balancing.low_memory:
            found, gram = self._gram_by_forward()
        else:
            found, rows = self._rows(balancing.chunk)
            gram = pairwise(rows, rows)
            if needs == "halves":
                cross = pairwise(*(self._rows(balancing.chunk, half)[1] for half in (1, 2)))
            if needs == "gradients":
                gradients = _stack(rows)
        return Signals(losses, present, gram, cross, gradients, key), found, rows

    def all_heads(self) -> list[Found]:
        """Every head, backward."""
        return [forward.back() for forward in self.forwards]

    def weighted(self, found: list[Found], weights: Array) -> Params:
        """The gradient of the shared parameters for these weights, by one backward of the encoder."""
        cotangent = jax.tree.map(jnp.zeros_like, self.features)
        for own, weight in zip(found, weights, strict=True):
            for name, part in own.features.items():
                cotangent[name] = jax.tree.map(
                    lambda sum_, leaf, w=weight: sum_ + w.astype(leaf.dtype) * leaf, cotangent[name], part
                )
        return self.through_encoder(cotangent, found, weights)

    def through_encoder(self, cotangent: Any, found: list[Found], weights: Array) -> Params:
        """The gradient of the shared parameters from one of the features."""
        sharing = _combination([own.sharing for own in found], weights)
        return self.total({"encoder": self.pull(cotangent), "sharing": sharing})

    def _complete(self, part: dict[str, Any]) -> dict[str, Any]:
        """The gradient of all features: 0 for those that a task does not read."""
        return {name: part.get(name, jax.tree.map(jnp.zeros_like, leaf)) for name, leaf in self.features.items()}

    def _gram_of_features(self, found: list[Found]) -> Float[Array, "T T"]:
        """Of this device's examples. Tasks that read nothing in common have 0."""
        gram = jnp.zeros((len(found), len(found)), jnp.float32)
        for name in self.features:
            readers = [i for i, own in enumerate(found) if name in own.features]
            parts = [found[i].features[name] for i in readers]
            place = jnp.eye(len(found), dtype=jnp.float32)[:, jnp.array(readers)]
            gram += place @ pairwise(parts, parts) @ place.T
        return gram

    def _rows(self, chunk: int, half: int = 0) -> tuple[list[Found], list[Params]]:
        """The gradients of the shared parameters by each task's loss, or by one half of it.

        In Python, not in a `lax.map`: in a loop, XLA's convolutions are some forty times slower on a CPU, as
        `benchmarks/loops.py` shows.
        """
        found: list[Found] = []
        rows: list[Params] = []
        for start in range(0, len(self.forwards), chunk):
            group = [forward.back(half, _after(rows[-1:])) for forward in self.forwards[start : start + chunk]]
            cotangents = [self._complete(own.features) for own in group]
            if len(group) == 1:
                encoders = [self.pull(cotangents[0])]
            else:
                together = jax.vmap(self.pull)(_stack(cotangents))
                encoders = [jax.tree.map(lambda leaf, i=i: leaf[i], together) for i in range(len(group))]
            found += group
            rows += [
                self.total({"encoder": encoder, "sharing": own.sharing})
                for encoder, own in zip(encoders, group, strict=True)
            ]
        return found, rows

    def _gram_by_forward(self) -> tuple[list[Found], Float[Array, "T T"]]:
        """The Gram matrix at the parameters, a task at a time, its gradient forgotten before the next one's."""
        found = self.all_heads()
        sharing = self.total([own.sharing for own in found])
        columns: list[Array] = []
        for own in found:
            gradient = self.total(self.pull(_later(self._complete(own.features), columns[-1:])))
            change = jax.jvp(self.encode, (_later(self.encoder, gradient),), (gradient,))[1]
            products = [_inner(other.features, {name: change[name] for name in other.features}) for other in found]
            columns.append(self.total(jnp.stack(products)))
        return found, jnp.stack(columns, 1) + pairwise(sharing, sharing)


def _after(previous: Any) -> Any:
    """1, but not known before `previous` is there: what is multiplied by it is done later, and needs no memory before.

    A barrier would say the same; on a CPU, XLA takes barriers out before it orders its work. What is not finite in
    `previous` becomes NaN in what follows, but then the step changes nothing anyway.
    """
    leaves = jax.tree.leaves(previous)
    return 1 + 0 * sum(leaf.ravel()[0].astype(jnp.float32) for leaf in leaves) if leaves else 1.0


def _later(tree: Any, previous: Any) -> Any:
    """The same arrays, not before `previous` is there."""
    return jax.tree.map(lambda leaf: leaf * jnp.asarray(_after(previous), leaf.dtype), tree)


def _stack(rows: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)


def _combination(rows: list[Any], weights: Float[Array, "T"]) -> Any:
    """`Σᵢ wᵢ rowᵢ`."""
    return jax.tree.map(lambda *leaves: sum(w.astype(x.dtype) * x for w, x in zip(weights, leaves, strict=True)), *rows)


def _inner(a: Any, b: Any) -> Float[Array, ""]:
    """The inner product of two pytrees, in float32 at least."""
    wide = functools.partial(jnp.promote_types, jnp.float32)
    products = [
        jnp.vdot(x, y, preferred_element_type=wide(x.dtype))
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    ]
    return sum(products, jnp.zeros((), jnp.float32))


def pairwise(a: list[Any], b: list[Any]) -> Float[Array, "T S"]:
    """`⟨aᵢ, bⱼ⟩`, each pair once where the two lists are one."""
    known: dict[tuple[int, int], Array] = {}
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            known[i, j] = known[j, i] if a is b and j < i else _inner(x, y)
    return jnp.stack([jnp.stack([known[i, j] for j in range(len(b))]) for i in range(len(a))])

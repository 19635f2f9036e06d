"""The way back from task losses: through the heads, and through the encoder as often as a weighting needs it."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mtjax.train.balancing import Balancing
from mtjax.typing import Array, Float, Params, PRNGKeyArray
from mtjax.weighting import Signals

Total = Callable[[Any], Any]  # the sum over devices, where each sees its part of the batch alone


class Found(NamedTuple):
    """The gradients of one loss: at the features that its task reads, by name, and at the parameters."""

    features: dict[str, Any]
    sharing: Params
    head: Params


class Forward(NamedTuple):
    """One task's loss, and the way back through its head: `back(i)` for the loss, or for one of its two halves."""

    loss: Float[Array, ""]
    back: Callable[..., Found]


@dataclasses.dataclass(frozen=True)
class Backward:
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
        sharing = combination([own.sharing for own in found], weights)
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
            gradient = self.total(self.pull(later(self._complete(own.features), columns[-1:])))
            change = jax.jvp(self.encode, (later(self.encoder, gradient),), (gradient,))[1]
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


def later(tree: Any, previous: Any) -> Any:
    """The same arrays, not before `previous` is there."""
    return jax.tree.map(lambda leaf: leaf * jnp.asarray(_after(previous), leaf.dtype), tree)


def _stack(rows: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)


def combination(rows: list[Any], weights: Float[Array, "T"]) -> Any:
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

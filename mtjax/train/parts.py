"""Gradient accumulation: a batch that goes through the network in parts, one after the other, to save memory.

What a part's forward pass keeps is forgotten, and computed again on the way back, where the parts' gradients add up in
the parameters' float32. Only the network's ends know of it: features and losses are those of the whole batch, and so
is what a weighting makes of them, to the last rounding. It costs one more forward pass.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from mtjax.registry import ConfigError


def split(tree: Any, parts: int, size: int) -> Any:
    """Arrays of a batch of `size` examples, `[size · n, ...]`, as `[parts, size · n / parts, ...]`.

    Each part takes every parts-th example, so that examples stay on their device where devices share the batch.

    Raises:
        ConfigError: the parts would not be equally large.
    """
    if size % parts:
        raise ConfigError(f"train.accumulate={parts}: expected a divisor of the {size} examples that are seen together")

    def one(x: Any) -> Any:
        by_example = x.reshape(size // parts, parts, len(x) // size, *x.shape[1:])
        return jnp.swapaxes(by_example, 0, 1).reshape(parts, len(x) // parts, *x.shape[1:])

    return jax.tree.map(one, tree)


def join(tree: Any, size: int) -> Any:
    """The inverse of `split`."""

    def one(x: Any) -> Any:
        by_example = x.reshape(len(x), size // len(x), len(x) * x.shape[1] // size, *x.shape[2:])
        return jnp.swapaxes(by_example, 0, 1).reshape(len(x) * x.shape[1], *x.shape[2:])

    return jax.tree.map(one, tree)


def observed_in_parts(observe: Callable[..., Any], parts: int, size: int) -> Callable[..., Any]:
    """`observe(keys, batch)`, of each part along a new leading axis if there are several.

    An operator may hold arrays that are no batch's, such as a kernel, which cannot be told from those that are.
    """
    if parts == 1:
        return observe
    return lambda *examples: jax.vmap(observe)(*split(examples, parts, size))


def in_parts(function: Callable[..., Any], parts: int, size: int) -> Callable[..., Any]:
    """`function(params, observed, *examples)`, whose result is by example, for `observed` of each part."""
    if parts == 1:
        return function

    def run(params: Any, observed: Any, *examples: Any) -> Any:
        def part(_: None, own: Any) -> tuple[None, Any]:
            return None, jax.checkpoint(function)(params, *own)

        # XLA's convolutions in a loop are some forty times slower on a CPU, see `benchmarks/loops.py`.
        unroll = parts if jax.default_backend() == "cpu" else 1
        return join(jax.lax.scan(part, None, (observed, *split(examples, parts, size)), unroll=unroll)[1], size)

    return run

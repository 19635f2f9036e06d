"""Floating-point operations of a function, counted by module on its traced program; nothing is compiled or run.

Unlike XLA's own count, which sees the body of a loop once, a `scan` counts as often as it runs.
"""

import collections
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax

# These move or make data and count as nothing; every other primitive counts one operation per output element.
FREE = frozenset({
    "broadcast", "broadcast_in_dim", "concatenate", "convert_element_type", "copy", "copy_p", "device_put",
    "dynamic_slice", "dynamic_update_slice", "expand_dims", "gather", "iota", "pad", "reshape", "rev", "scatter",
    "slice", "split", "squeeze", "stop_gradient", "transpose",
})  # fmt: skip


def by_module(function: Callable[..., Any], *args: Any) -> dict[str, int | float]:
    """Operations of `function(*args)` by the Flax module that does them.

    A multiplication and an addition are two operations; a real FFT of n points counts 2.5 n log₂ n, a complex one twice
    that; a `while` loop, whose length is not known, counts one pass, and a `cond` its dearest branch.

    Args:
        function: traceable by JAX.
        *args: arrays, or anything with their shapes and dtypes.

    Returns:
        By path of the module, such as "UNet/down0/conv", the operations that it does itself, not its parts.
    """
    counts: collections.defaultdict[str, Any] = collections.defaultdict(float)
    add_jaxpr(counts, jax.make_jaxpr(function)(*args).jaxpr, "", 1)
    return dict(counts)


def total(function: Callable[..., Any], *args: Any) -> int | float:
    """All operations of `function(*args)`, see `by_module`."""
    return sum(by_module(function, *args).values())


def add_jaxpr(counts: collections.defaultdict[str, Any], jaxpr: Any, scope: str, times: int) -> None:
    """Adds the operations of a program that runs `times` times inside the module `scope`."""
    for equation in jaxpr.eqns:
        here = "/".join(part for part in (scope, str(equation.source_info.name_stack)) if part)
        name = equation.primitive.name
        inner = list(programs(equation.params))
        if name == "cond":
            branches = [collections.defaultdict(float) for _ in inner]
            for branch, program in zip(branches, inner, strict=True):
                add_jaxpr(branch, program, here, times)
            for module, count in max(branches, key=lambda branch: sum(branch.values())).items():
                counts[module] += count
        elif inner:
            repeats = equation.params["length"] if name == "scan" else 1
            for program in inner:
                add_jaxpr(counts, program, here, times * repeats)
        elif count := operations(name, equation):
            counts[here] += count * times


def programs(params: dict[str, Any]) -> Iterator[Any]:
    """The programs inside an operation, such as the body of a loop."""
    for value in params.values():
        for item in value if isinstance(value, list | tuple) else (value,):
            item = getattr(item, "jaxpr", item)
            if hasattr(item, "eqns"):
                yield item


def operations(name: str, equation: Any) -> int | float:
    """The operations of one primitive."""
    if name in FREE or not equation.outvars:
        return 0
    operands = [variable.aval for variable in equation.invars]
    size, params = max(getattr(variable.aval, "size", 0) for variable in equation.outvars), equation.params
    if name == "dot_general":
        contracted, _ = params["dimension_numbers"][0]
        return 2 * size * math.prod(operands[0].shape[axis] for axis in contracted)
    if name == "conv_general_dilated":
        kernel, spec = operands[1].shape, params["dimension_numbers"].rhs_spec
        return 2 * size * math.prod(kernel) / kernel[spec[0]]
    if name == "fft":
        sides = [operands[0], equation.outvars[0].aval]
        real = [side.size for side in sides if side.dtype.kind == "f"]
        return (2.5 * real[0] if real else 5 * size) * sum(math.log2(length) for length in params["fft_lengths"])
    return operands[0].size if name.startswith(("reduce", "arg")) else size

"""One copy of the encoder per task, run side by side so that they can exchange features after each stage."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.core import eval_jaxpr
from jax.extend import core

from mtjax.models.inputs import encoder_input, picture_size
from mtjax.models.pyramid import Pyramid, pad_to_multiple
from mtjax.models.sharing.base import Sharing
from mtjax.physics import Observed
from mtjax.typing import Array, Float, Params, PRNGKeyArray

Features = tuple[Float[Array, "B h w c"], ...]  # of every task, after one stage
Exchange = Callable[[int, Features], Features]

# Marks in a traced encoder where a stage ends, and the copies meet.
_stage_end = core.Primitive("stage_end")
_stage_end.def_abstract_eval(lambda x, *, stage: x)


def init(sharing: Sharing, key: PRNGKeyArray, encoder: nn.Module, params: Params, channels: int) -> tuple[Params, Any]:
    """Parameters of the copies, and of the units between them.

    All copies begin as the same encoder, the one that a task alone would begin with: cross-stitch and NDDR mix copies
    of one pretrained network, whose channels mean the same, and soft sharing begins without a penalty.

    Args:
        sharing: has `copies`.
        key: for the units.
        encoder: the network of which there are copies.
        params: of one encoder.
        channels: of its input.

    Returns:
        The encoder's parameters with a leading axis of tasks, and by stage (`stage0`, ...) those of its unit.
    """
    tasks = len(sharing.tasks)
    units: dict[str, Any] = {}
    unit = sharing.unit()

    def between(stage: int, x: Array) -> Array:
        assert unit is not None
        everyone = (jnp.zeros(x.shape, x.dtype),) * tasks
        units[f"stage{stage}"] = unit.init(jax.random.fold_in(key, stage), everyone).get("params", {})
        return x

    if unit is not None:
        side = encoder.strides[-1]  # type: ignore[attr-defined]
        encoder.apply({"params": params}, jnp.zeros((1, side, side, channels)), between)
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (tasks, *leaf.shape)), params), units


def encode(
    sharing: Sharing,
    encoder: nn.Module,
    run: Callable[[Params, Array], Any],
    params: Params,
    reads: Mapping[str, str],
    observed: dict[str, Observed],
    fused: Mapping[str, int],
) -> dict[str, Pyramid]:
    """The pyramid of every task, by its name.

    Raises:
        ValueError: tasks whose encoders exchange features read observations of different shapes.
    """
    tasks = [task for task in sharing.tasks if task in reads]
    seen = {task: observed[reads[task]] for task in tasks}
    pictures = {name: encoder_input(observed[name], fused) for name in dict.fromkeys(reads.values())}
    strides = encoder.strides  # type: ignore[attr-defined]
    inputs = [pad_to_multiple(pictures[reads[task]], strides[-1]) for task in tasks]
    places = [sharing.tasks.index(task) for task in tasks]
    each = [jax.tree.map(lambda leaf, i=i: leaf[i], params["encoder"]) for i in places]
    unit = sharing.unit()
    if unit is None:
        outputs: Any = [run(p, x) for p, x in zip(each, inputs, strict=True)]
    else:
        check_shapes(type(sharing).__name__, reads, seen)

        def exchange(stage: int, everyone: Features) -> Features:
            mixed: Any = unit.apply({"params": params["sharing"][f"stage{stage}"]}, everyone)
            return mixed

        outputs = side_by_side(encoder, each, inputs, exchange)
    return {
        task: Pyramid(tuple(levels), strides, picture_size(seen[task]))
        for task, levels in zip(tasks, outputs, strict=True)
    }


def check_shapes(sharing: str, reads: Mapping[str, str], seen: Mapping[str, Observed]) -> None:
    """Raises a ValueError that names two tasks whose observations differ in shape."""
    first, *others = seen
    for task in others:
        if seen[task].y.shape != seen[first].y.shape:
            shapes = [f"{name} reads {reads[name]!r} of shape {seen[name].y.shape[1:]}" for name in (first, task)]
            raise ValueError(f"the encoders of {sharing} exchange features of one shape, but {' and '.join(shapes)}")


def side_by_side(
    encoder: nn.Module, params: Sequence[Params], inputs: Sequence[Array], exchange: Exchange
) -> list[tuple[Array, ...]]:
    """The pyramid levels of each copy; after each stage `exchange` gives all copies what to go on with.

    The encoder is traced once, and its program then run for each copy, from one end of a stage to the next. It is not
    `vmap`ped over the copies: convolutions would become grouped ones, which are slow on a CPU
    (`benchmarks/loops.py`).
    """

    def alone(params: Params, x: Array) -> Any:
        return encoder.apply({"params": params}, x, lambda stage, x: _stage_end.bind(x, stage=stage))

    closed = jax.make_jaxpr(alone)(params[0], inputs[0])
    program = closed.jaxpr
    known = dict(zip(program.constvars, closed.consts, strict=True))
    copies: list[dict[Any, Any]] = [
        {**known, **dict(zip(program.invars, jax.tree.leaves(arguments), strict=True))}
        for arguments in zip(params, inputs, strict=True)
    ]
    start = 0
    for end, equation in enumerate(program.eqns):
        if equation.primitive is not _stage_end:
            continue
        proceed(copies, program, start, end)
        everyone = exchange(equation.params["stage"], tuple(copy[equation.invars[0]] for copy in copies))
        for copy, x in zip(copies, everyone, strict=True):
            copy[equation.outvars[0]] = x
        start = end + 1
    proceed(copies, program, start, len(program.eqns))
    return [tuple(copy[name] for name in program.outvars) for copy in copies]


def proceed(copies: Sequence[dict[Any, Any]], program: core.Jaxpr, start: int, end: int) -> None:
    """Runs some equations of the program for every copy, adding what they compute to its values."""
    equations = program.eqns[start:end]
    made = list(dict.fromkeys(name for equation in equations for name in equation.outvars))
    read = dict.fromkeys(x for equation in equations for x in equation.invars if not isinstance(x, core.Literal))
    taken = [name for name in read if name not in made]
    part = program.replace(constvars=(), invars=taken, outvars=made, eqns=equations)
    for copy in copies:
        copy.update(zip(made, eval_jaxpr(part, (), *(copy[name] for name in taken)), strict=True))

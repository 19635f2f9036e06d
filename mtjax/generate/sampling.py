"""From noise to images: the differential equation of a flow, solved backward in time."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jax import lax

from mtjax.models import MultiTask
from mtjax.physics import FlowNoise, Identity, Observed
from mtjax.registry import lookup
from mtjax.typing import Array, Float, Int, Params, PRNGKeyArray, Scalar, ScalarLike

Pictures = Float[Array, "B H W C"]
Field = Callable[[Array, Scalar], Array]  # (y, t) to dy/dt
# (field, y, t, step, the slope at the step before) to (the slope to go along, that at t)
Method = Callable[[Field, Array, Scalar, float, Array], tuple[Array, Array]]


def euler(field: Field, y: Array, time: Scalar, step: float, before: Array) -> tuple[Array, Array]:
    """First order, one evaluation of the field a step.

    Of a rectified flow it is DDIM (Song et al., ICLR 2021), which keeps the image that it expects for one step.
    """
    del step, before
    slope = field(y, time)
    return slope, slope


def heun(field: Field, y: Array, time: Scalar, step: float, before: Array) -> tuple[Array, Array]:
    """Second order, two evaluations a step, at its ends (Karras et al., NeurIPS 2022, alg. 1)."""
    del before
    slope = field(y, time)
    return (slope + field(y + step * slope, time + step)) / 2, slope


def adams_bashforth(field: Field, y: Array, time: Scalar, step: float, before: Array) -> tuple[Array, Array]:
    """Second order, one evaluation a step: the slope is extrapolated from this one and that of the step before."""
    del step
    slope = field(y, time)
    return 1.5 * slope - 0.5 * jnp.where(time < 1, before, slope), slope


METHODS: dict[str, Method] = {"euler": euler, "heun": heun, "adams_bashforth": adams_bashforth}


def integrate(field: Field, start: Array, *, steps: int, method: str = "heun") -> Array:
    """`y` at time 0 of the solution of `dy/dt = field(y, t)` that is `start` at time 1, in `steps` equal steps.

    Raises:
        ValueError: an unknown method, or no step.
    """
    if steps < 1:
        raise ValueError(f"steps={steps} leads nowhere; expected at least 1")
    advance = lookup(METHODS, method, "method")

    def body(carry: tuple[Array, Array], time: Scalar) -> tuple[tuple[Array, Array], None]:
        y, before = carry
        slope, before = advance(field, y, time, -1 / steps, before)
        return (y - slope / steps, before), None

    times = 1 - jnp.arange(steps, dtype=start.dtype) / steps
    return lax.scan(body, (start, jnp.zeros_like(start)), times)[0][0]


def sample(
    model: MultiTask,
    params: Params,
    task: str,
    key: PRNGKeyArray,
    shape: tuple[int, int, int, int],
    labels: Mapping[str, Int[Array, "B"]] | None = None,
    *,
    steps: int = 50,
    method: str = "heun",
    guidance: ScalarLike | None = None,
) -> Pictures:
    """New images, by the head of a task of kind `generation`; not clipped. Jittable, all but arrays being static.

    Args:
        model: the network; params: its parameters.
        task: the name of the task.
        key: image i is a function of it, i, and its own labels.
        shape: `[B, H, W, C]`; height and width may be others than those of training.
        labels: by field that the task's observation is given, the class wanted of each image; below 0 is any.
        steps: of the solver of the differential equation.
        method: see `METHODS`.
        guidance: how far to go from the velocity without labels to the one with them, 1 being there, and more making
            images more typical of their class, and more alike (Ho and Salimans 2022, their w is `guidance - 1`). None
            is 1, at half the cost.

    Raises:
        ValueError: guidance without labels, or a model whose head reads more than the noised picture.
    """
    if guidance is not None and not labels:
        raise ValueError(f"guidance={guidance} needs labels to guide to; got none")
    predict = predictor(model, params, task)
    given = {field: (values, jnp.ones(len(values), bool)) for field, values in (labels or {}).items()}

    def field(y: Pictures, time: Scalar) -> Pictures:
        if guidance is None:
            return predict(y, time, given)
        both = {name: (jnp.tile(values, 2), jnp.arange(2 * len(y)) < len(y)) for name, (values, _) in given.items()}
        told, free = jnp.split(predict(jnp.tile(y, (2, 1, 1, 1)), time, both), 2)
        return free + guidance * (told - free)

    keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(jnp.arange(shape[0]))
    start = jax.vmap(lambda key: FlowNoise(1.0)(key, jnp.zeros(shape[1:])))(keys)
    return integrate(field, start, steps=steps, method=method)


def predictor(model: MultiTask, params: Params, task: str) -> Callable[[Pictures, Scalar, Mapping], Pictures]:
    """`(y, t, given) -> velocity`, of the head of a task and what it needs of the model.

    Raises:
        ValueError: there is no such task, or its features depend on what other observations show, which there is none
            of when pictures are made from nothing.
    """
    own = lookup(model.reads, task, "task")
    model = model.reading(own)

    def predict(y: Pictures, time: Scalar, given: Mapping) -> Pictures:
        seen = Observed(y, Identity(), jnp.broadcast_to(time, (len(y), 1, 1, 1)), given=dict(given))
        observed = {own: seen}
        return model.decode(params, model.encode(params, observed), observed, (task,))[task].velocity

    return predict

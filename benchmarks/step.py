"""Times a training step by part: observing, encoding, each head, the weighting, the optimizer.

    python benchmarks/step.py --config=configs/quickstart.py [--config.train.precision=bfloat16] [--turns=5]

Each part is compiled by itself, and times are the best of several turns of all parts, so that they compare on a busy
machine too; compilation is not included. The parts need not add up to the step: XLA fuses across them, and the step
also augments, guards and counts. FLOPs are counted on the traced program (`mtjax.flops`). The achieved rate is beside
that of a large matrix product in the same precision, measured here. Memory is what XLA plans for temporaries. The last
lines are the step with rematerialization (`train.remat`) and, where the config has float32, in bfloat16. On a CPU
neither helps: XLA drops the barriers that keep activations from being computed early there, and emulates bfloat16.
"""

import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from mtjax import config as configs
from mtjax import flops
from mtjax.allocator import keep_freed_memory
from mtjax.config import ConfigError
from mtjax.data import build as build_source
from mtjax.data import to_device_batch
from mtjax.data.pipeline import batch_at
from mtjax.show import quantity
from mtjax.train.build import PRECISIONS, build
from mtjax.train.evaluation import initial_state
from mtjax.train.gradients import weighted_gradients
from mtjax.train.step import example_keys, make_train_step, observe_all

SIDE = 2048  # of the matrices whose product says what the machine can do


class Part(NamedTuple):
    """A part of the step: a compiled program, what it is called with, its operations and temporary bytes."""

    run: Callable[..., Any]
    arguments: tuple[Any, ...]
    flops: float
    memory: float


def part(function: Callable[..., Any], *arguments: Any) -> Part:
    """Compiles a part."""
    program = jax.jit(function).lower(*arguments).compile()
    planned = program.memory_analysis()
    memory = float(planned.temp_size_in_bytes) if planned else float("nan")
    return Part(program, arguments, float(flops.total(function, *arguments)), memory)


def parts(config: Any, source: Any) -> dict[str, Part]:
    """The parts of a step, and the whole."""
    experiment = build(config, source.info, len(source))
    state = initial_state(experiment, config, source)
    host = batch_at(source, config.data.batch_size, config.train.seed, 0)
    model, params, batch = experiment.model, state.params, to_device_batch(host)

    def observe(batch: Any) -> Any:
        return observe_all(experiment.observations, example_keys(state.key, batch["position"]), batch, train=True)

    def encode(encoder: Any, observed: Any) -> Any:
        return model.encode({**params, "encoder": encoder}, observed)

    def pull(function: Callable[..., Any]) -> Callable[..., Any]:
        """The gradient with respect to the first arguments, of a sum that all outputs are in."""

        def total(*arguments: Any) -> Any:
            return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(function(*arguments)))

        return lambda *arguments: jax.grad(total, (0, 1) if len(arguments) > 2 else 0)(*arguments)

    def head(name: str) -> Callable[..., Any]:
        def losses(own: Any, features: Any, observed: Any, batch: Any) -> Any:
            heads = {**params["heads"], name: own}
            said = model.decode({**params, "heads": heads}, features, observed, (name,))[name]
            task = experiment.tasks[name]
            return jnp.where(task.valid(batch), task.loss(said, task.target(batch)), 0)

        return losses

    def weigh(state: Any, batch: Any, observed: Any) -> Any:
        counts = jnp.stack([task.valid(batch).sum().astype(jnp.float32) for task in experiment.tasks.values()])
        return weighted_gradients(
            experiment.balancing, model, experiment.tasks, state.params, observed, batch, counts, state.weighting,
            state.key, lambda x: x,
        )[0]  # fmt: skip

    def optimize(gradients: Any, state: Any) -> Any:
        updates, kept = experiment.optimizer.update(gradients, state.optimizer, state.params)
        return optax.apply_updates(state.params, updates), kept

    found = {"observe": part(observe, batch)}
    observed = found["observe"].run(batch)
    found["encode"] = part(encode, params["encoder"], observed)
    found["encode, with back"] = part(pull(encode), params["encoder"], observed)
    features = found["encode"].run(params["encoder"], observed)
    for name in experiment.tasks:
        own = params["heads"][name]
        found[f"head {name}"] = part(head(name), own, features, observed, batch)
        found[f"head {name}, with back"] = part(pull(head(name)), own, features, observed, batch)
    found["all gradients, weighted"] = part(weigh, state, batch, observed)
    gradients = found["all gradients, weighted"].run(state, batch, observed)
    found["optimizer"] = part(optimize, gradients, state)
    found["step"] = part(make_train_step(experiment), state, host)
    return found


def matrix_product(precision: str) -> Part:
    """The product that says what the machine can do."""
    matrix = jnp.ones((SIDE, SIDE), PRECISIONS[precision] or jnp.float32)
    return part(lambda a: a @ a, matrix)


def variants(config: Any, source: Any) -> dict[str, Part]:
    """The whole step, otherwise configured."""
    changes = {"step, remat": {"remat": True}}
    if config.train.precision == "float32":
        changes["step, bfloat16"] = {"precision": "bfloat16"}
    found = {}
    for name, change in changes.items():
        other = config.copy_and_resolve_references()
        other.train.update(change)
        experiment = build(other, source.info, len(source))
        host = batch_at(source, other.data.batch_size, other.train.seed, 0)
        found[name] = part(make_train_step(experiment), initial_state(experiment, other, source), host)
    return found


def best_times(found: dict[str, Part], turns: int) -> dict[str, float]:
    """Seconds of each part: the best of some turns, one of each per turn, after one to warm up."""
    times = dict.fromkeys(found, float("inf"))
    for turn in range(turns + 1):
        for name, each in found.items():
            start = time.perf_counter()
            jax.block_until_ready(each.run(*each.arguments))
            if turn:
                times[name] = min(times[name], time.perf_counter() - start)
    return times


def main() -> None:
    """Measures, and prints the table."""
    keep_freed_memory()  # as commands do
    words = [word for word in sys.argv[1:] if not word.startswith("--turns=")]
    turns = next((int(word.partition("=")[2]) for word in sys.argv[1:] if word.startswith("--turns=")), 5)
    recipe = next((word.partition("=")[2] for word in words if word.startswith("--config=")), "configs/quickstart.py")
    try:
        config, _ = configs.resolve(configs.read(recipe), [word for word in words if word.startswith("--config.")])
    except ConfigError as error:
        sys.exit(f"benchmarks/step.py: {error}")
    source = build_source(config.data, "train")
    product = matrix_product(config.train.precision)
    found = {**parts(config, source), **variants(config, source), "matrix product": product}
    times = best_times(found, turns)
    rate = product.flops / times["matrix product"]
    count, precision = config.data.batch_size, config.train.precision
    print(f"{jax.devices()[0].device_kind}, {recipe}, batch of {count}, {precision}, best of {turns}")
    print(f"a {SIDE}x{SIDE} matrix product: {quantity(rate)}FLOP/s\n")
    print(f"{'part':32}{'ms':>9}{'of step':>9}{'FLOPs':>10}{'FLOP/s':>10}{'of product':>12}{'MiB':>9}")
    for name, each in found.items():
        if name == "matrix product":
            continue
        seconds = times[name]
        share, reached = seconds / times["step"], each.flops / seconds
        print(
            f"{name:32}{1e3 * seconds:9.2f}{share:9.1%}{quantity(each.flops):>10}{quantity(reached):>10}"
            f"{reached / rate:12.1%}{each.memory / 2**20:9.1f}"
        )


if __name__ == "__main__":
    main()

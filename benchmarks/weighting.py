"""Times a training step with every weighting over one with plain equal weights, and the memory that they take.

    python benchmarks/weighting.py [--only=NAME,NAME] [--turns=5]

Four tasks on 64x64 color pictures, batches of 16, an encoder of six 3x3 convolutions (32, 32, 64, 64, 128, 128
channels, stride 2 at the third and the fifth), heads of two convolutions, SGD. *Plain* is `jax.grad` of the mean of the
four losses, written here without any of mtjax's engine. All steps run in this one process, in turns, so that ratios
hold on a busy machine too; the best of several turns counts. Compilation is not included. Memory is what XLA plans for
temporaries.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from mtjax import weighting
from mtjax.metrics import counted
from mtjax.models import MultiTask
from mtjax.models.sharing import hard
from mtjax.physics import Observed, observe
from mtjax.pytree import replace
from mtjax.tasks import Task
from mtjax.train import state as states
from mtjax.train.balancing import Balancing
from mtjax.train.step import Experiment, make_train_step
from mtjax.weighting import WEIGHTINGS

SIZE, BATCH = 64, 16
OBSERVATIONS = {"clean": {"operator": {"kind": "identity"}, "noise": {"kind": "gaussian", "sigma": 0.0}}}
OUTPUTS = {"image": 3, "classes": 10, "depth": 1, "normals": 3}


class Convolutions(nn.Module):
    """The encoder: six 3x3 convolutions."""

    strides = (4,)

    @nn.compact
    def __call__(self, x: Any, between: Any = None) -> tuple[Any, ...]:
        """Features at stride 4."""
        for i, channels in enumerate((32, 32, 64, 64, 128, 128)):
            x = nn.relu(nn.Conv(channels, (3, 3), 2 if i in (2, 4) else 1)(x))
        return (x,)


class Head(nn.Module):
    """A head of two convolutions."""

    outputs: int

    @nn.compact
    def __call__(self, pyramid: Any, observed: Observed) -> Any:
        """A map at stride 4."""
        del observed
        return nn.Conv(self.outputs, (3, 3))(nn.relu(nn.Conv(64, (3, 3))(pyramid.finest)))


def task(name: str, outputs: int) -> Task:
    """A task that regresses a smooth function of the picture."""

    def target(batch: Any) -> Any:
        small = batch["image"][:, 2::4, 2::4]
        return jnp.tanh(jnp.stack([(i + 1) * small.mean(-1) for i in range(outputs)], -1))

    def error(prediction: Any, target: Any) -> Any:
        return ((prediction - target) ** 2).mean((1, 2, 3))

    return Task(
        name, name, "clean", {"kind": "two"}, outputs, ("image",), target, error,
        {"error": lambda p, t: counted(error(p, t))}, {"error": "lower"}, lambda p: p,
    )  # fmt: skip


def experiment(balancing: Balancing) -> Experiment:
    """The one that is timed."""
    heads = {name: Head(outputs) for name, outputs in OUTPUTS.items()}
    model = MultiTask(Convolutions(), hard(tuple(heads)), heads, dict.fromkeys(heads, "clean"))
    tasks = {name: task(name, outputs) for name, outputs in OUTPUTS.items()}
    return Experiment(model, tasks, OBSERVATIONS, balancing, optax.sgd(1e-3), {}, 100)


def plain_step(parts: Experiment) -> Callable[[Any, Any], Any]:
    """A step with equal weights, as one writes it without a library."""

    def step(state: Any, batch: Any) -> Any:
        keys = jax.vmap(lambda i: jax.random.fold_in(state.key, i))(batch["position"])
        observed = {"clean": observe(OBSERVATIONS["clean"], keys, batch["image"])}

        def loss(params: Any) -> Any:
            said = parts.model.apply(params, observed)
            return sum(t.loss(said[name], t.target(batch)).mean() for name, t in parts.tasks.items()) / len(said)

        value, gradients = jax.value_and_grad(loss)(state.params)
        updates, optimizer = parts.optimizer.update(gradients, state.optimizer, state.params)
        return replace(state, params=optax.apply_updates(state.params, updates), optimizer=optimizer), value

    return step


def balancings(only: set[str]) -> dict[str, Balancing]:
    """Every method at each level that it takes, by name."""
    found = {}
    for kind in WEIGHTINGS:
        method = weighting.make(kind, names=tuple(OUTPUTS))
        levels = ("features",) if method.needs == "losses" else method.levels
        for level in levels:
            found[f"{kind}, {level}"] = Balancing(method, level)
        if method.needs == "gram":
            found[f"{kind}, parameters, all together"] = Balancing(method, "parameters", chunk=len(OUTPUTS))
            found[f"{kind}, low memory"] = Balancing(method, "parameters", low_memory=True)
    return {name: b for name, b in found.items() if not only or name.partition(",")[0] in only}


def main() -> None:
    """Measures, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--only", default="", help="names of methods, separated by commas")
    options = parser.parse_args()
    only = set(filter(None, options.only.split(",")))
    number = jnp.arange(BATCH)
    image = jax.random.uniform(jax.random.key(0), (BATCH, SIZE, SIZE, 3))
    batch = {"image": image, "valid": {"image": jnp.ones(BATCH, bool)}, "index": number, "position": number}
    steps: dict[str, tuple[Any, Any]] = {}
    memory: dict[str, float] = {}
    for name, balancing in {"plain": Balancing(weighting.make("equal", 4)), **balancings(only)}.items():
        parts = experiment(balancing)
        keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(0), i))(number)
        params = parts.model.init(jax.random.key(0), {"clean": observe(OBSERVATIONS["clean"], keys, image)})
        state = states.create(params, parts.optimizer, balancing, len(parts.tasks), 0)
        step = jax.jit(plain_step(parts) if name == "plain" else make_train_step(parts)).lower(state, batch).compile()
        memory[name] = step.memory_analysis().temp_size_in_bytes / 2**20  # type: ignore[union-attr]
        steps[name] = (step, state)
    times = dict.fromkeys(steps, float("inf"))
    for _ in range(options.turns + 1):
        for name, (step, state) in steps.items():
            start = time.perf_counter()
            jax.block_until_ready(step(state, batch))
            times[name] = min(times[name], 1e3 * (time.perf_counter() - start))
    print(f"{jax.devices()[0].device_kind}, 4 tasks, {BATCH} pictures of {SIZE}x{SIZE}, best of {options.turns}\n")
    print(f"{'':34}{'ms/step':>9}{'x plain':>9}{'MiB':>8}{'x plain':>9}")
    for name in steps:
        cost, room = times[name] / times["plain"], memory[name] / memory["plain"]
        print(f"{name:34}{times[name]:9.1f}{cost:9.2f}{memory[name]:8.1f}{room:9.2f}")


if __name__ == "__main__":
    main()

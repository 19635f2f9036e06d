"""The one training step and its counterpart for evaluation: pure functions of (state, batch)."""

import dataclasses
import functools
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from mtjax.data import to_device_batch
from mtjax.data.augment import augment
from mtjax.models import MultiTask
from mtjax.physics import Observed, observe
from mtjax.pytree import replace
from mtjax.registry import ConfigError
from mtjax.solvers import registered
from mtjax.tasks import Task, masked
from mtjax.train.balancing import Balancing, diagnostics
from mtjax.train.gradients import task_losses, weighted_gradients
from mtjax.train.parts import observed_in_parts
from mtjax.train.spikes import remembered, spiked
from mtjax.train.state import State, averaged
from mtjax.typing import Array, Batch, Float, Keys, Params, PRNGKeyArray

EVALUATION_SEED = 20_240_229  # the noise of a test example never depends on the run that is evaluated


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What a config describes, built: all that the step needs to know.

    observations: by name, the node with its operator and noise; tasks: by name; balancing: the weighting, and where it
    takes gradients; steps_per_epoch: when totals restart.
    """

    model: MultiTask
    tasks: Mapping[str, Task]
    observations: Mapping[str, Any]
    balancing: Balancing
    optimizer: optax.GradientTransformation
    augmentation: Mapping[str, Any]
    steps_per_epoch: int


def fold_name(keys: Keys, name: str) -> Keys:
    """Keys for one purpose, which do not depend on what other purposes there are."""
    return jax.vmap(lambda key: jax.random.fold_in(key, zlib.crc32(name.encode())))(keys)


def example_keys(key: PRNGKeyArray, numbers: Array) -> Keys:
    """One key per example from a number of its own, so that no example's draw depends on its batch mates."""
    return jax.vmap(lambda number: jax.random.fold_in(key, number))(numbers)


def observe_all(observations: Mapping[str, Any], keys: Keys, batch: Batch, train: bool = False) -> dict[str, Observed]:
    """Each observation once, named as in the config, of the batch's "image", with what else the network is told.

    Where the data has what was really observed, in the field that the key `observed` names, that is `y`; operator and
    noise then say no more than what solvers and heads may take for granted. In training the share `withheld` of the
    examples goes without what else there is, each field on its own.
    """
    observed = {}
    for name, spec in observations.items():
        own = fold_name(keys, name)
        shown = {
            field: _shown(batch, field, fold_name(own, field), spec.get("withheld", 0.0) if train else 0.0)
            for field in (*spec.get("fused", ()), *spec.get("given", ()))
        }
        drawn = observe_clip(spec, own, batch) if spec.get("clip") else observe(spec, own, batch["image"])
        observed[name] = replace(
            drawn,
            y=_from_data(batch, spec["observed"], drawn.y) if spec.get("observed") else drawn.y,
            fused={field: as_maps(*shown[field]) for field in spec.get("fused", ())},
            given={field: shown[field] for field in spec.get("given", ())},
        )
    return observed


def observe_clip(spec: Mapping[str, Any], keys: Keys, batch: Batch) -> Observed:
    """A burst of the frames of a clip, whose motion is what registering them finds, as with any camera.

    An example without a clip is a scene that does not move.
    """
    clip, present = _shown(batch, spec["clip"])
    clip = jnp.where(present[:, None, None, None, None], clip, batch["image"][:, None])
    seen = observe(spec, keys, clip)
    return replace(seen, operator=registered(seen.y, seen.operator))


def _from_data(batch: Batch, field: str, drawn: Array) -> Array:
    """What was observed of each example, as the data has it; what was drawn for one that lacks it."""
    values, present = _shown(batch, field)
    return jnp.where(present[:, None, None, None], values.astype(drawn.dtype), drawn)


def _shown(batch: Batch, field: str, keys: Keys | None = None, withheld: float = 0.0) -> tuple[Array, Array]:
    """A field's values, and which examples have it and are shown it; `keys` decide from whom it is withheld."""
    present = batch["valid"][field] if "valid" in batch else jnp.ones(len(batch[field]), bool)
    if keys is not None and withheld:
        present &= jax.vmap(jax.random.uniform)(keys) >= withheld
    return batch[field], present


def as_maps(values: Array, present: Array) -> Float[Array, "B H W _c"]:
    """Values `[B, H, W]` or `[B, H, W, c]` with a channel that says whether there are any; 0 where there are none."""
    maps = (values if values.ndim == 4 else values[..., None]).astype(jnp.float32)
    maps = jnp.concatenate([maps, jnp.ones((*maps.shape[:3], 1))], -1)
    return jnp.where(present[:, None, None, None], maps, 0)


def observe_for_evaluation(observations: Mapping[str, Any], index: Array, batch: Batch) -> dict[str, Observed]:
    """The observations of evaluation examples: a function of the example's index in its split alone."""
    return observe_all(observations, example_keys(jax.random.key(EVALUATION_SEED), index), batch)


def prepare_for_evaluation(
    observations: Mapping[str, Any], augmentation: Mapping[str, Any], batch: Batch
) -> tuple[Batch, dict[str, Observed]]:
    """An evaluation batch as heads and solvers meet it: normalized if the config says so, never moved, and observed."""
    keys = example_keys(jax.random.key(EVALUATION_SEED), batch["index"])
    batch = augment(keys, to_device_batch(batch), augmentation, train=False)
    return batch, observe_for_evaluation(observations, batch["index"], batch)


def make_train_step(
    experiment: Experiment, refresh: bool = True, ema: float = 0.0, spike: float = 0.0, parts: int = 1
) -> Callable[..., tuple[State, dict[str, Any]]]:
    """`train_step(state, batch, axis_name=None) -> (state, metrics)`; `axis_name` is the device axis under pmap.

    Without `refresh` it keeps the weights of the step before, as the steps between two updates of them do. `ema` is the
    decay of the average that the state has, 0 if it has none. `spike` is how many standard deviations above its mean a
    task's log loss is no longer believed, 0 if all are. `parts` is how many the batch goes through the network in, see
    `mtjax.train.parts`.

    A step in which a loss, a gradient or an update is not finite, or a loss a spike, changes nothing but the step
    number and the count of skipped steps. The flags "stopping" [B], where the batch has them, come back as one.
    """
    model, tasks, balancing = experiment.model, experiment.tasks, experiment.balancing
    if not 0 <= ema < 1:
        raise ConfigError(f"train.ema={ema} is no decay of an average; expected at least 0 and less than 1")

    def train_step(state: State, batch: Batch, axis_name: str | None = None) -> tuple[State, dict[str, Any]]:
        def total(x: Any) -> Any:
            return jax.lax.psum(x, axis_name) if axis_name else x

        stopping = total(jnp.sum(batch.get("stopping", False), dtype=jnp.int32))
        keys = example_keys(jax.random.fold_in(state.key, state.step), batch["position"])
        batch = augment(fold_name(keys, "augment"), to_device_batch(batch), experiment.augmentation)
        observe_part = functools.partial(observe_all, experiment.observations, train=True)
        observed = observed_in_parts(observe_part, parts, len(keys))(keys, batch)
        counts = total(jnp.stack([task.valid(batch).sum().astype(jnp.float32) for task in tasks.values()]))

        chance = jax.random.fold_in(jax.random.fold_in(state.key, state.step), zlib.crc32(b"weighting"))
        gradients, losses, weights, after, gram = weighted_gradients(
            balancing,
            model,
            tasks,
            state.params,
            observed,
            batch,
            counts,
            state.weighting,
            chance,
            total,
            refresh,
            parts,
        )
        updates, optimizer = experiment.optimizer.update(gradients, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        if balancing.weighting.later is not None and refresh:
            again = total(task_losses(model, tasks, params, observed, batch, counts, parts))
            after = {**after, "method": balancing.weighting.later(again, after["method"])}
        totals = epoch_so_far(state, experiment.steps_per_epoch)
        changed = replace(
            state,
            params=params,
            optimizer=optimizer,
            weighting=after,
            totals={"loss": totals["loss"] + losses * counts, "count": totals["count"] + counts},
            average=averaged(state.average, params, ema, state.step - state.skipped + 1) if ema else state.average,
            spikes=remembered(state.spikes, losses, counts > 0) if spike else state.spikes,
        )
        norms = {"gradient_norm": optax.tree.norm(gradients), "update_norm": optax.tree.norm(updates)}
        checked = [x for x in jax.tree.leaves((losses, after, norms)) if jnp.issubdtype(x.dtype, jnp.inexact)]
        spikes = spiked(state.spikes, losses, counts > 0, spike) if spike else jnp.zeros(len(tasks), bool)
        good = jnp.stack([jnp.isfinite(x).all() for x in checked]).all() & ~spikes.any()
        # Not a `where` per array: compiling the update took about three times as long with that.
        state = jax.lax.cond(good, lambda: changed, lambda: replace(state, totals=totals))
        state = replace(
            state,
            step=state.step + 1,
            skipped=state.skipped + jnp.where(good, 0, 1),
            skipped_in_row=jnp.where(good, 0, state.skipped_in_row + 1),
        )
        metrics = {
            "losses": losses,
            "counts": counts,
            "weights": weights,
            "epoch_losses": state.totals["loss"] / state.totals["count"],  # NaN where nothing was counted
            **norms,
            **diagnostics(gram, counts > 0),
            **balancing.reported(state.weighting),
            "skipped": state.skipped,
            "skipped_in_row": state.skipped_in_row,
            "spiked": spikes,
            "stopping": stopping > 0,
        }
        return state, metrics

    return train_step


def epoch_so_far(state: State, steps_per_epoch: int) -> dict[str, Array]:
    """The epoch's totals before this step: they start anew with the epoch."""
    kept = jnp.where(state.step % steps_per_epoch == 0, 0.0, 1.0)
    return {name: kept * total for name, total in state.totals.items()}


def make_eval_step(experiment: Experiment) -> Callable[[Params, Batch], tuple[dict[str, Any], dict[str, Any]]]:
    """`eval_step(params, batch) -> ({"task/metric": (sum, count)}, {"task": kept})`.

    Sums are over the valid examples of the batch; what tasks with metrics of a whole split keep has its examples along
    the first axis, and as `(kept, valid)` says which count.
    """

    def eval_step(params: Params, batch: Batch) -> tuple[dict[str, Any], dict[str, Any]]:
        batch, observed = prepare_for_evaluation(experiment.observations, experiment.augmentation, batch)
        predictions = experiment.model.apply(params, observed)
        result, kept = {}, {}
        for name, task in experiment.tasks.items():
            target, valid = task.target(batch), task.valid(batch)
            losses = task.loss(predictions[name], target)
            pairs = {"loss": (losses, jnp.ones_like(losses)), **task.metrics(predictions[name], target)}
            result |= {f"{name}/{metric}": masked(pair, valid) for metric, pair in pairs.items()}
            if task.whole is not None:
                kept[name] = task.whole.keep(predictions[name], target), valid
        return result, kept

    return eval_step

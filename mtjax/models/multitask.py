"""One encoder, what is shared of it, and a head per task, as pure functions over one parameter tree."""

import dataclasses
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from mtjax.models import copies
from mtjax.models.inputs import encoder_input
from mtjax.models.pyramid import Pyramid, pad_to_multiple
from mtjax.models.sharing.base import Sharing
from mtjax.physics import Observed
from mtjax.typing import Array, Params, PRNGKeyArray, Scalar


@dataclasses.dataclass(frozen=True)
class MultiTask:
    """A shared encoder with many heads.

    encoder: image `[B, H, W, C + 2]` to feature maps, with `strides`.
    sharing: from the features to what the head of each task reads.
    heads: by task, `(pyramid, observed) -> prediction`.
    reads: by task, the name of the observation that it reads.
    fused: by field of the data that some observation is told and the encoder reads, the channels of its maps.
    remat: whether the way back computes activations again instead of keeping them: of the encoder, all but what comes
        out of its stages; of the heads, all.

    Parameters are `{"encoder": ..., "sharing": ..., "heads": {task: ...}}`. Where the sharing has initial heads, those
    of a task are like its head, and their parameters are `heads[task]["initial"]`: `initial0`, ...
    """

    encoder: nn.Module
    sharing: Sharing
    heads: Mapping[str, nn.Module]
    reads: Mapping[str, str]
    fused: Mapping[str, int] = dataclasses.field(default_factory=dict)
    remat: bool = False

    def __post_init__(self):
        if self.remat and self.sharing.copies and self.sharing.unit() is not None:
            raise ValueError(f"remat=True: the encoders of {type(self.sharing).__name__} exchange what they would drop")

    @property
    def shared_features(self) -> bool:
        """False where each task has an encoder of its own."""
        return not self.sharing.copies

    @property
    def feature_names(self) -> dict[str, str]:
        """By task, the name of the features that it reads: its observation's, or its own with an encoder per task."""
        return {task: task if self.sharing.copies else observation for task, observation in self.reads.items()}

    def read_by(self, task: str) -> tuple[str, ...]:
        """The names of the features on which a task's prediction depends, once there are features."""
        names = self.feature_names
        return tuple(dict.fromkeys(names.values())) if self.sharing.mixes else (names[task],)

    def reading(self, observation: str) -> "MultiTask":
        """The part that reads one observation: its tasks, with the same parameters.

        Raises:
            ValueError: what these tasks say depends on what other observations show.
        """
        names = [name for name, read in self.reads.items() if read == observation]
        others = sorted(set(self.reads.values()) - {observation})
        if others and (self.sharing.mixes or self.sharing.unit() is not None):
            raise ValueError(
                f"what tasks read of {observation!r} depends on {', '.join(others)} too: {type(self.sharing).__name__} "
                "makes features of all tasks together"
            )
        heads = {name: self.heads[name] for name in names}
        return dataclasses.replace(self, heads=heads, reads=dict.fromkeys(names, observation))

    def init(self, key: PRNGKeyArray, observed: dict[str, Observed]) -> Params:
        """Initial parameters; a task's depend on the key and its own name, not on what other tasks there are."""
        keys = jax.random.split(key, 3)
        channels = encoder_input(next(iter(observed.values())), self.fused).shape[-1]
        size = (1, *(self.encoder.strides[-1],) * 2, channels)  # type: ignore[attr-defined]
        params: Params = {"encoder": self.encoder.init(keys[0], jnp.zeros(size)).get("params", {})}
        params["sharing"] = {}
        if self.sharing.copies:
            params["encoder"], params["sharing"] = copies.init(
                self.sharing, keys[1], self.encoder, params["encoder"], channels
            )
        features = self.encode(params, observed)
        shared: Any
        shared, variables = self.sharing.init_with_output(keys[1], features, self.feature_names, tuple(self.heads))
        params["sharing"] |= variables.get("params", {})
        params["heads"] = {}
        for task, head in self.heads.items():
            task_key = jax.random.fold_in(keys[2], name_hash(task))
            seen = observed[self.reads[task]]
            own: list[Any] = []
            for i, pyramid in enumerate(shared[task]):
                own.append(
                    head.init(jax.random.fold_in(task_key, i) if i else task_key, pyramid, seen).get("params", {})
                )
            initial = {f"initial{i}": x for i, x in enumerate(own[1:])}
            params["heads"][task] = {**own[0], "initial": initial} if initial else own[0]
        return params

    def encode(self, params: Params, observed: dict[str, Observed]) -> dict[str, Pyramid]:
        """The features of every observation, by its name; with an encoder per task those of every task, by its name.

        Observations of one shape pass a shared encoder together, in one batch; the frames of a burst are examples of
        that batch, so the features of an observation with T frames are `[B · T, ...]`.
        """
        if self.sharing.copies:
            return copies.encode(self.sharing, self.encoder, self.run_encoder, params, self.reads, observed, self.fused)
        inputs = {name: encoder_input(seen, self.fused) for name, seen in observed.items()}
        groups: dict[tuple[int, ...], list[str]] = {}
        for name, x in inputs.items():
            groups.setdefault(x.shape[1:], []).append(name)
        strides = self.encoder.strides  # type: ignore[attr-defined]
        pyramids = {}
        for shape, names in groups.items():
            x = jnp.concatenate([inputs[name] for name in names])
            levels: Any = self.run_encoder(params["encoder"], pad_to_multiple(x, strides[-1]))
            together = Pyramid(tuple(levels), strides, (shape[0], shape[1]))
            start = 0
            for name in names:
                pyramids[name] = together[start : start + len(inputs[name])]
                start += len(inputs[name])
        return {name: pyramids[name] for name in observed}

    def run_encoder(self, params: Params, x: Array) -> Any:
        """The encoder's levels of pictures `[N, H, W, C]`."""
        if not self.remat:
            return self.encoder.apply({"params": params}, x)

        def run(params: Params, x: Array) -> Any:
            return self.encoder.apply({"params": params}, x, lambda _, features: checkpoint_name(features, "stage"))

        return jax.checkpoint(run, policy=jax.checkpoint_policies.save_only_these_names("stage"))(params, x)

    def run_head(self, task: str, params: Params, pyramid: Pyramid, observed: Observed) -> Any:
        """What the head of a task, with these parameters, makes of a pyramid."""

        def run(params: Params, pyramid: Pyramid) -> Any:
            return self.heads[task].apply({"params": params}, pyramid, observed)

        return (jax.checkpoint(run) if self.remat else run)(params, pyramid)

    def decode(
        self,
        params: Params,
        features: dict[str, Pyramid],
        observed: dict[str, Observed],
        tasks: Iterable[str] | None = None,
        auxiliary: bool = False,
    ) -> dict[str, Any]:
        """The predictions of the named tasks, of all if None; nothing of the other heads is computed.

        Args:
            params: of the model.
            features: what `encode` gave, at least those that `read_by` names for these tasks.
            observed: by name; at least the observations that these tasks read.
            tasks: their names.
            auxiliary: whether each prediction is a tuple: the final one, then those of the task's initial heads.
        """
        wanted = tuple(self.heads if tasks is None else tasks)
        rows = {name: len(pyramid.finest) for name, pyramid in features.items()}
        if self.sharing.mixes and len(set(rows.values())) > 1:
            raise ValueError(
                f"{type(self.sharing).__name__} mixes the features of tasks, so all of them must read bursts of as "
                f"many frames, or none a burst; pictures by features: {rows}"
            )
        shared: Any = self.sharing.apply({"params": params["sharing"]}, features, self.feature_names, wanted)
        predictions = {}
        for task in wanted:
            seen, own = observed[self.reads[task]], dict(params["heads"][task])
            initial = own.pop("initial", {})
            final, *others = shared[task]
            predictions[task] = self.run_head(task, own, final, seen)
            sizes = {len(leaf) for leaf in jax.tree.leaves(predictions[task])}
            if sizes != {len(seen.noise_level)}:
                raise ValueError(
                    f"the head of task {task!r} gave {sizes} predictions for {len(seen.noise_level)} examples; one "
                    "that reads a burst must join its frames, as head 'burst' does"
                )
            if auxiliary:
                said = [self.run_head(task, initial[f"initial{i}"], x, seen) for i, x in enumerate(others)]
                predictions[task] = (predictions[task], *said)
        return predictions

    def apply(self, params: Params, observed: dict[str, Observed]) -> dict[str, Any]:
        """The prediction of every task, from the observations alone."""
        return self.decode(params, self.encode(params, observed), observed)

    def penalty(self, params: Params) -> Scalar:
        """What the sharing adds to the training loss."""
        return self.sharing.penalty(params)


def name_hash(name: str) -> int:
    """A number that depends on a name alone, the same in every process."""
    return zlib.crc32(name.encode()) & 0x7FFFFFFF

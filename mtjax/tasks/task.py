"""What a task is: a target, a loss, metrics, and the picture of a prediction."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from mtjax.data.fields import SourceInfo
from mtjax.metrics import Pair
from mtjax.typing import Array, Batch, Bool, Float, Params, PerExample


@dataclasses.dataclass(frozen=True)
class Whole:
    """Metrics of a whole split that are no sums over its examples, such as average precision.

    keep: `(prediction, target)` to what is needed of each example, arrays `[B, ...]`; compiled.
    score: from that, of all valid examples together as NumPy arrays `[N, ...]`, to the metrics by name.
    better: by metric, "higher" or "lower".
    """

    keep: Callable[[Any, Any], Any]
    score: Callable[[Any], Mapping[str, float]]
    better: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Task:
    """One thing to be told about a picture.

    name: the task's name in the config.
    kind: its entry in `TASKS`.
    observation: the observation that its head reads.
    head: the config node of its head.
    outputs: channels or classes that the head gives.
    fields: the fields of the batch that hold its truth.
    target: from the batch to what the prediction is compared with.
    loss: `(prediction, target)` to one number per example.
    scores: by metric, `(prediction, target)` to a pair `(sum, count)` per example, see `mtjax.metrics`; the first
        metric is the task's headline.
    better: by metric, "higher" or "lower".
    picture: from one prediction, as NumPy arrays, to a picture `[H, W, 3]` of type uint8.
    restored: from a prediction to the clean image that it stands for, in tasks that classical solvers can do as well.
    whole: metrics of a whole split.
    samples: `(model, params, given)` to images `[N, H, W, C]` made from noise, in tasks that make some; `given` are the
        fields that its observation tells its head.
    """

    name: str
    kind: str
    observation: str
    head: Mapping[str, Any]
    outputs: int
    fields: tuple[str, ...]
    target: Callable[[Batch], Any]
    loss: Callable[[Any, Any], PerExample]
    scores: Mapping[str, Callable[[Any, Any], Pair]]
    better: Mapping[str, str]
    picture: Callable[[Any], np.ndarray]
    restored: Callable[[Any], Any] | None = None
    whole: Whole | None = None
    samples: Callable[[Any, Params, tuple[str, ...]], Any] | None = None

    @property
    def headline(self) -> str:
        """The metric by which the task is judged first."""
        return next(iter(self.scores))

    @property
    def restores(self) -> bool:
        """Whether a prediction stands for the clean image, so that classical solvers can be compared with it."""
        return self.restored is not None

    @property
    def directions(self) -> dict[str, str]:
        """By metric, "higher" or "lower", whichever is better."""
        return {**self.better, **(self.whole.better if self.whole else {})}

    def metrics(self, prediction: Any, target: Any) -> dict[str, Pair]:
        """Every metric of a batch, as pairs per example."""
        return {name: score(prediction, target) for name, score in self.scores.items()}

    def valid(self, batch: Batch) -> Bool[Array, "B"]:
        """Which examples of the batch have everything that the task compares with."""
        first, *others = (batch["valid"][field] for field in self.fields)
        for other in others:
            first = first & other
        return first


def masked(pair: Pair, valid: Bool[Array, "B"]) -> tuple[Float[Array, "*k"], Float[Array, "*k"]]:
    """Sums a metric's pairs over the valid examples; what the others hold, even NaN, is not looked at."""

    def total(values: Array) -> Array:
        mask = valid.reshape(-1, *(1,) * (values.ndim - 1))
        return jnp.where(mask, values, 0).sum(0).astype(jnp.float32)

    return total(pair[0]), total(pair[1])


def class_names(task: str, info: SourceInfo, label: str) -> tuple[str, ...]:
    """The names of the classes in a label field.

    Raises:
        ValueError: the data has no such field, or it holds no classes.
    """
    if label not in info.class_names:
        known = ", ".join(info.class_names) or "none"
        raise ValueError(f"tasks.{task}: {info.name} has no classes in a field {label!r}; fields with classes: {known}")
    return info.class_names[label]

"""A trained network in front of a photograph: which tasks give maps, how large their tiles are, what they say."""

import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from mtjax.facts import facts
from mtjax.models.pyramid import Pyramid
from mtjax.photograph import View
from mtjax.physics import Observed
from mtjax.tasks import Task
from mtjax.tasks.reconstruction import image_picture
from mtjax.train import Trained


@dataclasses.dataclass(frozen=True)
class Said:
    """What one task says of a photograph.

    picture: `[H, W, 3]` of type uint8. facts: numbers and classes, as JSON has them. how: what was done to the
    photograph before, in a few words.
    """

    picture: np.ndarray
    facts: dict[str, Any]
    how: str


class Enlarged(nn.Module):
    """A head whose image can have any size, giving one `scale` times as large as the picture; the same parameters."""

    head: nn.Module
    scale: Fraction

    def setup(self):
        """Puts the parameters of the head where those of this module would be."""
        nn.share_scope(self, self.head)

    def __call__(self, pyramid: Pyramid, observed: Observed) -> Any:
        """What the head gives of that size."""
        shape = tuple(math.ceil(self.scale * side) for side in pyramid.size)
        return self.head(pyramid, observed, shape)  # type: ignore[operator]


class Network:
    """The part of a trained network that can read a photograph, seen in one way for each observation.

    With a `scale`, the tasks `scaled`, whose images can have any size, give them so many times as large.
    """

    def __init__(
        self, trained: Trained, views: Mapping[str, View], names: tuple[str, ...], scale: Fraction | None = None
    ):
        self.trained, self.views, self.scale, whole = trained, views, scale, trained.model
        sharing = whole.sharing
        kept = tuple(whole.heads) if sharing.copies or sharing.mixes else names
        self.names = names
        heads = {name: whole.heads[name] for name in kept}
        large = {} if scale is None else {n: Enlarged(heads[n], scale) for n in names if has_any_size(heads[n])}
        self.scaled = tuple(large)
        self.model = dataclasses.replace(whole, heads=heads | large, reads={name: whole.reads[name] for name in kept})

    def apply(self, params: Any, photo: Any, names: tuple[str, ...]) -> dict[str, Any]:
        """The named tasks' predictions of a photograph `[H, W, K C]`, without a batch axis; one pass of the encoder."""
        read = {self.model.reads[name] for name in self.model.heads}
        observed = {name: seen.observed(photo) for name, seen in self.views.items() if name in read}
        predictions = self.model.decode(params, self.model.encode(params, observed), observed, names)
        return jax.tree.map(lambda leaf: leaf[0], predictions)

    def program(self, names: tuple[str, ...], images: bool = False) -> Callable[[Any], dict[str, Any]]:
        """The compiled `apply` of some tasks; with `images`, of those that restore an image, that alone."""

        @jax.jit
        def run(params: Any, photo: Any) -> dict[str, Any]:
            predictions = self.apply(params, photo, names)
            return {n: shown(self.trained.tasks[n], p) if images else p for n, p in predictions.items()}

        return lambda photo: run(self.trained.params, photo)

    def kinds(self, photo: np.ndarray) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names of the tasks whose predictions are maps as large as a photograph, or larger; and of all others."""

        def images(params: Any) -> dict[str, Any]:
            predictions = self.apply(params, jnp.asarray(photo), self.names)
            return {name: shown(self.trained.tasks[name], said) for name, said in predictions.items()}

        shapes = jax.eval_shape(images, self.trained.params)
        maps = tuple(name for name in self.names if name in self.scaled or is_map(shapes[name], photo.shape))
        return maps, tuple(name for name in self.names if name not in maps)

    def grouped(self, names: tuple[str, ...], tile: int) -> dict[tuple[int, int], tuple[str, ...]]:
        """The named tasks by the side of their tiles and what these are aligned to.

        As many pixels pass at once as in a tile of one frame whose image is twice as large.
        """
        groups: dict[tuple[int, int], tuple[str, ...]] = {}
        for name in names:
            align, side = self.trained.model.encoder.strides[-1], float(tile)  # type: ignore[attr-defined]
            side /= self.views[self.model.reads[name]].frames ** 0.5
            if self.scale is not None and name in self.scaled:
                align, side = math.lcm(align, self.scale.denominator), side / max(1.0, float(self.scale) / 2)
            key = (max(int(side // align), 2) * align, align)
            groups[key] = (*groups.get(key, ()), name)
        return groups

    def whole(self, names: tuple[str, ...], photo: np.ndarray, how: str) -> dict[str, Said]:
        """What the named tasks say of a photograph, or of one that was reduced, seen at once."""
        predictions = jax.device_get(self.program(names)(photo)) if names else {}
        return {name: self.say(name, predictions[name], how) for name in names}

    def say(self, name: str, prediction: Any, how: str, images: bool = False) -> Said:
        """A task's prediction as a picture and as numbers."""
        task, frames = self.trained.tasks[name], self.views[self.model.reads[name]].frames
        how += f", {frames} frames" if frames > 1 else ""
        how += f", {float(self.scale):g} times as large" if self.scale is not None and name in self.scaled else ""
        if images and task.restores:
            return Said(image_picture(prediction), {}, how)
        told = facts(task.kind, self.trained.config.tasks[name], self.trained.source_info, prediction)
        return Said(np.ascontiguousarray(task.picture(prediction)), told, how)


def has_any_size(head: nn.Module) -> bool:
    """Whether a head gives images of any size: its module then takes `shape=(height, width)`."""
    return "shape" in inspect.signature(type(head).__call__).parameters


def shown(task: Task, prediction: Any) -> Any:
    """The image that a prediction stands for, if it does for any, and else itself."""
    return prediction if task.restored is None else task.restored(prediction)


def is_map(prediction: Any, shape: tuple[int, ...]) -> bool:
    """Whether each array of a prediction has a value for each pixel, or several, that can be blended."""

    def fits(leaf: Any) -> bool:
        if leaf.ndim < 2 or not jnp.issubdtype(leaf.dtype, jnp.floating):
            return False
        (rows, more_rows), (columns, more_columns) = (divmod(leaf.shape[axis], shape[axis]) for axis in range(2))
        return rows == columns >= 1 and not more_rows and not more_columns

    return all(map(fits, jax.tree.leaves(prediction)))

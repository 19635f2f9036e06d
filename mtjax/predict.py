"""`mtjax predict`: everything that a trained network has to say about one photograph."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from mtjax.facts import facts, finite
from mtjax.photograph import Mode, Unfit, View, view, with_channels
from mtjax.solve import read_observation
from mtjax.tasks import Task
from mtjax.tasks.reconstruction import image_picture
from mtjax.tiles import TILE, tiled
from mtjax.train import Trained, restore


@dataclasses.dataclass(frozen=True)
class Said:
    """What one task says of a photograph.

    picture: `[H, W, 3]` of type uint8. facts: numbers and classes, as JSON has them. how: what was done to the
    photograph before, in a few words.
    """

    picture: np.ndarray
    facts: dict[str, Any]
    how: str


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What all tasks say, by name; the noise's standard deviation by observation; and why a task says nothing."""

    said: dict[str, Said]
    levels: dict[str, float]
    skipped: dict[str, str]


def predict_command(workdir: str, photo: str, out: str | None, observation: Mode) -> int:
    """Writes a picture per task and predictions.json into a folder, and says so, one line per task."""
    pixels = np.asarray(read_observation(Path(photo), "the photograph"))
    folder = Path(out or f"{Path(photo).stem}-predicted")
    result = predict(restore(workdir), pixels, observation)
    folder.mkdir(parents=True, exist_ok=True)
    for name, said in result.said.items():
        Image.fromarray(said.picture).save(folder / f"{name}.png")
        print(f"{name}: {folder / f'{name}.png'} ({said.how})")
    for name, reason in result.skipped.items():
        print(f"{name}: skipped, {reason}")
    summary = {
        "photograph": photo,
        "height": pixels.shape[0],
        "width": pixels.shape[1],
        "observation": observation,
        "noise_level": {name: finite(level) for name, level in result.levels.items()},
        "tasks": {name: {"picture": f"{name}.png", "how": s.how, **s.facts} for name, s in result.said.items()},
        "skipped": result.skipped,
    }
    (folder / "predictions.json").write_text(json.dumps(summary, indent=1) + "\n")
    print(f"numbers and classes: {folder / 'predictions.json'}")
    return 0


def predict(trained: Trained, photo: np.ndarray, mode: Mode = "as-trained", *, tile: int = TILE) -> Predictions:
    """What every task says of a photograph `[H, W, C]`, which is the observation itself, see `photograph.view`.

    Tasks that give maps see it in tiles, if it is larger than one. The network normalizes what it sees, tile by tile,
    so a map is not quite that of the whole photograph. Other tasks see it whole, and no larger than the pictures that
    they were trained with.

    Args:
        trained: a trained network.
        photo: gray or color; it gets as many channels as the network reads.
        mode: what happened to it: as in training, or nothing.
        tile: in pixels.

    Raises:
        ValueError: no task can be done.
    """
    photo = with_channels(np.asarray(photo, np.float32), trained.source_info.image_shape[-1])
    large = max(photo.shape[:2]) > tile
    views, skipped = views_of(trained, photo, mode, whole=not large)
    network = Network(trained, views, tuple(name for name in trained.tasks if name not in skipped))
    maps, others = network.kinds(photo[:tile, :tile])
    small = reduced(photo, min(trained.source_info.image_shape[:2]))
    said: dict[str, Said] = {}
    if large and maps:
        align = trained.model.encoder.strides[-1]  # type: ignore[attr-defined]
        tile -= tile % align
        images = tiled(network.program(maps, images=True), photo, tile=tile, overlap=tile // 5, align=align)
        said |= {n: network.say(n, images[n], f"in tiles of {tile}x{tile}", images=True) for n in maps}
        maps = ()
    if small is photo:  # then all is one call
        maps, others = (*maps, *others), ()
    reduced_to = f"whole, reduced to {small.shape[1]}x{small.shape[0]}"
    for names, seen, how in ((maps, photo, "whole"), (others, small, reduced_to)):
        if names:
            predictions = jax.device_get(network.program(names)(seen))
            said |= {name: network.say(name, predictions[name], how) for name in names}
    ordered = {name: said[name] for name in trained.tasks if name in said}
    return Predictions(ordered, {name: seen.level for name, seen in views.items()}, skipped)


def views_of(trained: Trained, photo: np.ndarray, mode: Mode, whole: bool) -> tuple[dict[str, View], dict[str, str]]:
    """How the photograph is read, by observation; and why a task cannot be done, by task.

    Args:
        trained: a trained network.
        photo: `[H, W, C]`.
        mode: as in `predict`.
        whole: whether the photograph is small enough to be read at once.

    Raises:
        ValueError: no task can be done.
    """
    views, unfit = {}, {}
    for name, spec in trained.experiment.observations.items():
        try:
            seen = view(spec, trained.source_info, photo, mode)
            if not (whole or seen.local):
                raise Unfit("its operator is another at each place, and the photograph is too large for one")
            views[name] = seen
        except Unfit as error:
            unfit[name] = str(error)
    sharing = trained.model.sharing
    if unfit and (sharing.mixes or sharing.copies):  # then every task needs the observations of all
        first = next(iter(unfit))
        unfit = {
            name: unfit.get(name, f"{first} is read together with it, but {unfit[first]}")
            for name in trained.experiment.observations
        }
    skipped = {name: unfit[task.observation] for name, task in trained.tasks.items() if task.observation in unfit}
    skipped |= {name: "it makes images from noise" for name, task in trained.tasks.items() if task.samples is not None}
    if len(skipped) == len(trained.tasks):
        raise ValueError(f"no task can read this photograph: {next(iter(skipped.values()))}")
    return views, skipped


class Network:
    """The part of a trained network that can read a photograph, seen in one way for each observation."""

    def __init__(self, trained: Trained, views: Mapping[str, View], names: tuple[str, ...]):
        self.trained, self.views, whole = trained, views, trained.model
        sharing = whole.sharing
        kept = tuple(whole.heads) if sharing.copies or sharing.mixes else names
        self.names = names
        self.model = dataclasses.replace(
            whole,
            heads={name: whole.heads[name] for name in kept},
            reads={name: whole.reads[name] for name in kept},
        )

    def apply(self, params: Any, photo: Any, names: tuple[str, ...]) -> dict[str, Any]:
        """The named tasks' predictions of a photograph `[H, W, C]`, without a batch axis; one pass of the encoder."""
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
        maps = tuple(name for name in self.names if is_map(shapes[name], photo.shape))
        return maps, tuple(name for name in self.names if name not in maps)

    def say(self, name: str, prediction: Any, how: str, images: bool = False) -> Said:
        """A task's prediction as a picture and as numbers."""
        task = self.trained.tasks[name]
        if images and task.restores:
            return Said(image_picture(prediction), {}, how)
        told = facts(task.kind, self.trained.config.tasks[name], self.trained.source_info, prediction)
        return Said(np.ascontiguousarray(task.picture(prediction)), told, how)


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


def reduced(photo: np.ndarray, shortest: int) -> np.ndarray:
    """The photograph with a shorter side of `shortest` pixels, antialiased; itself if that is not longer."""
    height, width = photo.shape[:2]
    factor = shortest / min(height, width)
    if factor >= 1:
        return photo
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    return np.clip(np.asarray(jax.image.resize(photo, (*size, photo.shape[2]), "lanczos3")), 0, 1)

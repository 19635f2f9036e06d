"""`mtjax predict`: all that a trained network has to say about one photograph, or about the frames of a burst."""

import dataclasses
import json
from fractions import Fraction
from pathlib import Path

import jax
import numpy as np
from PIL import Image

from mtjax.facts import finite
from mtjax.frames import aligned, read_frames
from mtjax.photograph import STILL, Mode, Unfit, View, is_burst, view, with_channels
from mtjax.reading import Network, Said
from mtjax.registry import ConfigError
from mtjax.tiles import TILE, tiled
from mtjax.train import Trained, restore

LARGEST_SCALE = 8


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What all tasks say, by name; the noise's standard deviation by observation; why a task says nothing; and how the
    frames `[K, 2]` are moved against the first (down, right), in pixels.
    """

    said: dict[str, Said]
    levels: dict[str, float]
    skipped: dict[str, str]
    motion: np.ndarray


def predict_command(workdir: str, photo: str, out: str | None, observation: Mode, scale: str | None) -> int:
    """Writes a picture per task and predictions.json into a folder, and says so, one line per task."""
    times = None if scale is None else read_scale(scale)
    frames = read_frames(Path(photo))
    folder = Path(out or f"{Path(photo).stem}-predicted")
    result = predict(restore(workdir), frames, observation, scale=times)
    folder.mkdir(parents=True, exist_ok=True)
    for name, said in result.said.items():
        Image.fromarray(said.picture).save(folder / f"{name}.png")
        print(f"{name}: {folder / f'{name}.png'} ({said.how})")
    for name, reason in result.skipped.items():
        print(f"{name}: skipped, {reason}")
    summary = {
        "photograph": photo,
        "height": frames.shape[1],
        "width": frames.shape[2],
        "motion": finite(result.motion),
        "observation": observation,
        "noise_level": {name: finite(level) for name, level in result.levels.items()},
        "tasks": {name: {"picture": f"{name}.png", "how": s.how, **s.facts} for name, s in result.said.items()},
        "skipped": result.skipped,
    }
    (folder / "predictions.json").write_text(json.dumps(summary, indent=1) + "\n")
    print(f"numbers and classes: {folder / 'predictions.json'}")
    return 0


def read_scale(text: str) -> Fraction:
    """The scale that a text stands for.

    Hundredths at most, so that tiles of few pixels have sides that are whole numbers of pixels at either scale.

    Raises:
        ConfigError: no such number, or one that is out of range.
    """
    try:
        scale = Fraction(text)
    except (ValueError, ZeroDivisionError):
        scale = Fraction(0)
    if not 1 <= scale <= LARGEST_SCALE or 100 % scale.denominator:
        raise ConfigError(f"--scale={text}; expected a number from 1 to {LARGEST_SCALE} with two decimals at most")
    return scale


def predict(
    trained: Trained, photo: np.ndarray, mode: Mode = "as-trained", *, scale: Fraction | None = None, tile: int = TILE
) -> Predictions:
    """What every task says of a photograph, which is the observation itself, see `photograph.view`.

    Tasks that give maps see it in tiles, if it is larger than one. The network normalizes what it sees, tile by tile,
    so a map is not quite that of the whole photograph. Other tasks see it whole, and no larger than the pictures that
    they were trained with. Tasks that read bursts see all frames, registered here, and others the first one.

    Args:
        trained: a trained network.
        photo: `[H, W, C]`, or the frames `[K, H, W, C]` of a burst, of which the first is to be told about; gray or
            color; it gets as many channels as the network reads.
        mode: what happened to it: as in training, or nothing.
        scale: how many times as large the images are to be that can have any size.
        tile: in pixels, of a photograph; tiles of a burst, or of images much larger than they, have smaller sides.

    Raises:
        ConfigError: a scale, and no task whose images can have any size.
        ValueError: no task can be done.
    """
    frames = with_channels(np.asarray(photo, np.float32), trained.source_info.image_shape[-1])
    frames, motion = frames if photo.ndim == 4 else frames[None], STILL
    if len(frames) > 1 and any(map(is_burst, trained.experiment.observations.values())):
        frames, motion = aligned(frames)
    photo, offsets = np.concatenate(list(frames), axis=-1), motion - np.round(motion)
    views, skipped = views_of(trained, photo, offsets, mode, whole=max(photo.shape[:2]) <= tile)
    network = Network(trained, views, tuple(name for name in trained.tasks if name not in skipped), scale)
    if scale is not None and not network.scaled:
        raise ConfigError(f"scale={float(scale):g}: no task can do it; expected one with a head such as 'implicit'")
    maps, others = network.kinds(photo[:tile, :tile])
    said: dict[str, Said] = {}
    for (side, align), names in network.grouped(maps, tile).items():
        if max(photo.shape[:2]) > side:
            images = tiled(network.program(names, images=True), photo, tile=side, overlap=side // 5, align=align)
            said |= {n: network.say(n, images[n], f"in tiles of {side}x{side}", images=True) for n in names}
    small = reduced(photo, min(trained.source_info.image_shape[:2]))
    whole = tuple(name for name in maps if name not in said)
    if small is photo:  # then all is one call
        whole, others = (*whole, *others), ()
    said |= network.whole(whole, photo, "whole")
    if others:
        offsets = offsets * (small.shape[0] / photo.shape[0])
        of_small, _ = views_of(trained, small, offsets, mode, whole=True)
        said |= Network(trained, of_small, others).whole(
            others, small, f"whole, reduced to {small.shape[1]}x{small.shape[0]}"
        )
    ordered = {name: said[name] for name in trained.tasks if name in said}
    return Predictions(ordered, {name: seen.level for name, seen in views.items()}, skipped, motion)


def views_of(
    trained: Trained, photo: np.ndarray, offsets: np.ndarray, mode: Mode, whole: bool
) -> tuple[dict[str, View], dict[str, str]]:
    """How the photograph is read, by observation; and why a task cannot be done, by task.

    Args:
        trained: a trained network.
        photo: `[H, W, K C]`, the frames joined as channels.
        offsets: `[K, 2]`, as in `photograph.view`.
        mode: as in `predict`.
        whole: whether the photograph is small enough to be read at once.

    Raises:
        ValueError: no task can be done.
    """
    views, unfit = {}, {}
    for name, spec in trained.experiment.observations.items():
        try:
            seen = view(spec, trained.source_info, photo, mode, offsets)
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


def reduced(photo: np.ndarray, shortest: int) -> np.ndarray:
    """The photograph with a shorter side of `shortest` pixels, antialiased; itself if that is not longer."""
    height, width = photo.shape[:2]
    factor = shortest / min(height, width)
    if factor >= 1:
        return photo
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    return np.clip(np.asarray(jax.image.resize(photo, (*size, photo.shape[2]), "lanczos3")), 0, 1)

"""`mtjax predict` of a folder of frames, of gray pictures that are to be colored, and at any scale."""

import dataclasses
import functools
import json
import types
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from PIL import Image
from scipy import ndimage

from mtjax import cli, physics
from mtjax import predict as predicting
from mtjax.frames import aligned, read_frames
from mtjax.models import HEADS, MultiTask
from mtjax.models.sharing import hard
from mtjax.photograph import view
from mtjax.physics import Observed, kernels
from mtjax.predict import predict, read_scale
from mtjax.registry import ConfigError
from mtjax.tasks import TASKS
from mtjax.train import Trained

RNG = np.random.default_rng(0)
NOISE = {"kind": "gaussian", "sigma": 0.01}
OBSERVATIONS = {
    "moving": {"operator": {"kind": "burst", "frames": 2, "factor": 2}, "noise": NOISE},
    "gray": {"operator": {"kind": "color_matrix"}, "noise": NOISE},
    "small": {"operator": {"kind": "downsample", "factor": 2}, "noise": NOISE},
}
NODES = {
    "join": ("super_resolution", {"observation": "moving", "head": {"kind": "burst", "width": 4, "depth": 1}}),
    "colorize": ("color", {"observation": "gray", "head": {"kind": "chroma", "width": 4, "depth": 1}}),
    "enlarge": ("super_resolution", {"observation": "small", "head": {"kind": "implicit", "width": 4, "depth": 1}}),
    "digit": ("classification", {"observation": "small"}),
}
LEVEL = jnp.full((1, 1, 1, 1), 0.01)


@functools.cache
def trained() -> Trained:
    """A network with random weights, but that images of any size are at first what interpolation gives."""
    tasks = {name: TASKS[kind](name, tiny.INFO, **node) for name, (kind, node) in NODES.items()}
    heads = {}
    for name, task in tasks.items():
        parameters = {key: value for key, value in task.head.items() if key != "kind"}
        heads[name] = HEADS[task.head["kind"]](None, task.outputs, **parameters)
    reads = {name: task.observation for name, task in tasks.items()}
    model = MultiTask(encoder=tiny.Plain(), sharing=hard(tuple(tasks), adapt="bias"), heads=heads, reads=reads)
    shapes = jax.eval_shape(
        model.init, jax.random.key(0), seen_of(np.zeros((2, 16, 16, 3), np.float32), np.zeros((2, 2)))
    )
    params = jax.tree.map(lambda leaf: jnp.asarray(0.2 * RNG.normal(size=leaf.shape), jnp.float32), shapes)
    params["heads"]["enlarge"]["out"] = jax.tree.map(jnp.zeros_like, params["heads"]["enlarge"]["out"])
    parts = dataclasses.replace(tiny.experiment(("digit",)), model=model, tasks=tasks, observations=OBSERVATIONS)
    nodes = {name: node for name, (_, node) in NODES.items()} | {"digit": {"label": "label"}}
    return Trained(types.SimpleNamespace(tasks=nodes), parts, params, tiny.INFO, 0)


def only(*names: str) -> Trained:
    """The same network, asked for these tasks alone."""
    parts = trained().experiment
    tasks = {name: parts.tasks[name] for name in names}
    read = {name: OBSERVATIONS[name] for name in {task.observation for task in tasks.values()}}
    return dataclasses.replace(trained(), experiment=dataclasses.replace(parts, tasks=tasks, observations=read))


def joined(frames: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """What the network makes of frames that lie like this, all at once, as a picture."""
    seen = {"moving": seen_of(frames, offsets)["moving"]}
    image = jax.jit(trained().model.reading("moving").apply)(trained().params, seen)["join"][0]
    return np.round(255 * np.clip(np.asarray(image), 0, 1))


def seen_of(frames: np.ndarray, offsets: np.ndarray) -> dict[str, Observed]:
    """Frames that lie like this as the three observations, made by hand."""
    first = jnp.asarray(frames[:1])
    gray = (first @ jnp.asarray([0.299, 0.587, 0.114]))[..., None]
    burst = physics.burst_operator(jnp.asarray(offsets, jnp.float32)[None], 2, kernels.gaussian(0.8))
    return {
        "moving": Observed(physics.join_frames(jnp.asarray(frames))[None], burst, LEVEL),
        "gray": Observed(gray, physics.ColorMatrix(jnp.asarray([[0.299, 0.587, 0.114]])), LEVEL),
        "small": Observed(first, physics.Downsample(2), LEVEL),
    }


def texture(size: int) -> np.ndarray:
    smooth = ndimage.gaussian_filter(RNG.normal(size=(size, size, 3)), (1.5, 1.5, 0), mode="wrap")
    return (0.5 + 0.12 * smooth / smooth.std()).astype(np.float32)


def moved(image: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Frames of an image that goes on like a wallpaper."""
    return np.asarray(jax.jit(jax.vmap(lambda by: physics.Shift(by)(jnp.asarray(image))))(jnp.asarray(offsets)))


FAR = np.asarray([[0, 0], [12.4, -9.7], [-0.3, 6.5], [2.0, 3.0]], np.float32)


@pytest.fixture(scope="module")
def far():
    """Frames that moved far, how they come to lie on the first, and what was found of their motion."""
    frames = moved(texture(96), FAR)
    return frames, *aligned(frames)


def test_frames_come_to_lie_on_the_first_to_within_half_a_pixel(far):
    frames, lying, offsets = far
    np.testing.assert_allclose(offsets, FAR, atol=0.02)
    left = offsets - np.round(offsets)
    assert np.abs(left).max() <= 0.5
    inside = np.s_[:, 16:-16, 16:-16]
    np.testing.assert_allclose(lying[inside], moved(frames[0], left)[inside], atol=0.01)
    np.testing.assert_array_equal(lying[1, -12:], frames[0, -12:])  # what the frame does not show
    np.testing.assert_array_equal(lying[1, :, :9], frames[0, :, :9])
    np.testing.assert_array_equal(lying[0], frames[0])


def test_a_burst_is_read_by_the_tasks_that_join_frames_and_its_first_frame_by_others():
    motion = np.asarray([[0, 0], [0.4, -0.3], [-0.2, 0.25]], np.float32)  # one frame more than in training
    frames = moved(texture(32), motion)
    result = predict(only("join", "colorize"), frames)
    assert not result.skipped
    assert {name: said.how for name, said in result.said.items()} == {"join": "whole, 3 frames", "colorize": "whole"}
    np.testing.assert_allclose(result.motion, motion, atol=0.03)
    assert np.abs(result.said["join"].picture - joined(frames, result.motion)).max() <= 1
    alone = predict(only("join", "colorize"), frames[0])
    assert alone.skipped == {"join": "it reads a burst: give a folder of frames"}
    assert not alone.motion.any()
    np.testing.assert_array_equal(alone.said["colorize"].picture, result.said["colorize"].picture)


@pytest.mark.slow
def test_a_large_burst_is_joined_in_smaller_tiles_however_far_it_moved(far):
    frames, lying, offsets = far
    result = predict(only("join", "colorize"), frames, tile=64)
    assert result.said["join"].how == "in tiles of 32x32, 4 frames"
    assert result.said["colorize"].how == "in tiles of 64x64"
    whole = joined(lying, offsets - np.round(offsets))
    assert result.said["join"].picture.shape == whole.shape == (192, 192, 3)
    # Not quite the same: the network normalizes each tile.
    assert np.abs(result.said["join"].picture - whole)[24:-24, 24:-24].mean() < 0.2 * whole.std()


def test_a_color_photograph_is_colored_as_its_gray_version():
    color = texture(16)
    gray = (color @ np.asarray([0.299, 0.587, 0.114], np.float32))[..., None]
    pictures = [predict(only("colorize"), photo).said["colorize"].picture for photo in (color, gray)]
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() <= 1
    assert np.ptp(pictures[0].astype(int), axis=-1).max() > 3  # in colors
    for mode in ("as-trained", "clean"):  # gray is what such a task reads, whatever happened to the photograph
        operator = view(OBSERVATIONS["gray"], tiny.INFO, color, mode).operator((16, 16, 1))
        assert isinstance(operator, physics.ColorMatrix)
    rows = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    with pytest.raises(ValueError, match="a color_matrix operator does not give pictures of"):
        view({"operator": {"kind": "color_matrix", "matrix": rows}, "noise": NOISE}, tiny.INFO, color)


@pytest.mark.parametrize("scale", ["2.5", "1.37"])
def test_images_of_any_size_are_the_same_whole_and_in_tiles(scale):
    times = read_scale(scale)
    image = ndimage.gaussian_filter(RNG.random((200, 300, 3)), (4, 4, 0)).astype(np.float32)
    whole, tiles = (predict(only("enlarge"), image, scale=times, tile=tile).said["enlarge"] for tile in (512, 256))
    assert whole.how == f"whole, {scale} times as large"
    assert tiles.how.startswith("in tiles of ") and tiles.how.endswith(f", {scale} times as large")
    assert whole.picture.shape == tiles.picture.shape == (200 * times, 300 * times, 3)
    assert np.abs(whole.picture.astype(int) - tiles.picture).max() <= 2
    truth = np.asarray(ndimage.zoom(image, (float(times), float(times), 1), order=3, mode="nearest", grid_mode=True))
    middle = np.s_[20:-20, 20:-20]
    assert np.corrcoef(whole.picture[middle].reshape(-1), truth[middle].reshape(-1))[0, 1] > 0.95


@pytest.mark.parametrize("text", ["0.5", "9", "2.345", "large", "1/0", "-2"])
def test_scales_out_of_range_are_refused(text):
    with pytest.raises(ConfigError, match=f"--scale={text}; expected a number from 1 to 8 with two decimals at most"):
        read_scale(text)


def test_a_scale_needs_a_task_that_can_do_it():
    with pytest.raises(ConfigError, match=r"scale=2.5: no task can do it; expected one with a head such as 'implicit'"):
        predict(only("colorize"), texture(16), scale=Fraction(5, 2))


def save(path, pixels: np.ndarray) -> None:
    Image.fromarray(np.round(255 * pixels).astype(np.uint8).squeeze()).save(path)


def test_a_folder_of_frames_by_the_order_of_their_names(tmp_path):
    frames = [texture(16) for _ in range(3)]
    for name, frame in zip(("b.png", "a.tiff", "c.jpg"), frames, strict=True):
        save(tmp_path / name, frame)
    (tmp_path / "notes.txt").write_text("by hand")
    read = read_frames(tmp_path)
    assert read.shape == (3, 16, 16, 3)
    np.testing.assert_allclose(read[:2], [frames[1], frames[0]], atol=0.003)
    save(tmp_path / "b.png", frames[0][..., :1])
    gray = read_frames(tmp_path)[1]
    np.testing.assert_array_equal(gray[..., 0], gray[..., 2])
    save(tmp_path / "d.png", frames[0][:, :12])
    with pytest.raises(ConfigError, match=r"the frame '.*d\.png' is 12x16 pixels; expected 16x16, as a\.tiff"):
        read_frames(tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(ConfigError, match=r"the folder '.*none' has no pictures; expected files \.png, \.jpg"):
        read_frames(tmp_path / "none")
    (tmp_path / "none" / "broken.png").write_bytes((tmp_path / "d.png").read_bytes()[:60])
    with pytest.raises(ConfigError, match=r"the frame '.*broken\.png' cannot be read"):
        read_frames(tmp_path / "none")


def test_the_command_reads_a_folder_and_a_scale(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cli, "prepare", lambda debug: None)
    monkeypatch.setattr(predicting, "restore", lambda workdir: trained())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip").mkdir()
    for i, frame in enumerate(moved(texture(33), FAR[[0, 3, 3]] / 8)):
        save(tmp_path / "clip" / f"{i}.png", frame)
    assert cli.main(["predict", "clip", "--workdir=anywhere", "--scale=2.5"]) == 0
    out, err = capsys.readouterr()
    assert not err
    assert "join: clip-predicted/join.png (whole, 3 frames)" in out
    assert "enlarge: clip-predicted/enlarge.png (whole, 2.5 times as large)" in out
    with Image.open("clip-predicted/enlarge.png") as picture:
        assert picture.size == (83, 83)  # ⌈2.5 · 33⌉
    written = json.loads((tmp_path / "clip-predicted" / "predictions.json").read_text())
    np.testing.assert_allclose(written["motion"], FAR[[0, 3, 3]] / 8, atol=0.05)
    assert cli.main(["predict", "clip", "--workdir=anywhere", "--scale=20"]) == 2
    assert "--scale=20; expected a number from 1 to 8" in capsys.readouterr().err

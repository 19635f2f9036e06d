"""Varies a batch on the device: every field of an example is moved by one random map, so that labels keep fitting."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from mtjax.data.fields import DIRECTIONS, DISPLACEMENTS, OBSERVED, PICTURES
from mtjax.physics.frames import join_frames, split_frames
from mtjax.registry import ConfigError, nearest
from mtjax.typing import Array, Batch, Bool, Float, Int, Keys

OFF: dict[str, Any] = {
    "flip": False,  # left and right, half of the time
    "crop": 0,  # largest shift, in pixels; what comes in is a reflection
    "rotation": 0.0,  # largest angle, in degrees
    "scale": (1.0, 1.0),  # range of magnification, drawn log-uniformly
    "normalize": False,  # stretch each image linearly to darkest 0, brightest 1; no chance, so for evaluation too;
    # the other pictures of an example are stretched as its image is, so that what is alike in both stays alike
}
VISIBLE = 0.1  # of a box's area that must stay in the picture, or the box is dropped


def augment(keys: Keys, batch: Batch, spec: Any, train: bool = True) -> Batch:
    """Moves image, label maps and boxes of each example alike; what `spec` leaves out is off, and costs nothing.

    Args:
        keys: [B] typed keys; example i is changed by a function of `keys[i]` alone.
        batch: as `to_device_batch` gives it. Pictures and displacements are sampled bilinearly (exactly, if only
            flipped and shifted), any other field [B, H, W, ...] by nearest neighbor. Vectors turn and mirror with the
            picture, displacements grow with it; other values, as those of depth, are not changed. `observed` of
            another size is mirrored only.
        spec: a mapping (a dict, a ConfigDict) with some of the keys of `OFF`.
        train: False for evaluation, which is normalized but not moved.

    Raises ConfigError for an unknown key or a value out of range.
    """
    clips = {name: batch[name].shape[1] for name in PICTURES if name in batch and batch[name].ndim == 5}
    if not clips:
        return _augmented(keys, batch, checked(spec), train)
    joined = {name: join_frames(jnp.asarray(batch[name])) for name in clips}  # a clip moves as one picture
    moved = _augmented(keys, {**batch, **joined}, checked(spec), train)
    return {**moved, **{name: split_frames(moved[name], count) for name, count in clips.items()}}


def _augmented(keys: Keys, batch: Batch, spec: dict[str, Any], train: bool) -> Batch:
    """What `augment` does, for pictures `[B, H, W, C]`, with a whole spec."""
    if spec["normalize"]:
        batch = {**batch, **_stretch({name: batch[name] for name in PICTURES if name in batch})}
    moves = {name: value for name, value in spec.items() if name != "normalize"}
    if not train or all(value == OFF[name] for name, value in moves.items()):
        return batch
    batch = jax.tree.map(jnp.asarray, dict(batch))
    height, width = batch["image"].shape[1:3]
    matrix, shift = jax.vmap(lambda key: _draw(key, spec))(keys)
    at, facing = _mirror(_coordinates(matrix, shift, height, width), height, width)
    exact = spec["rotation"] == 0 and tuple(spec["scale"]) == (1.0, 1.0)
    nearest_pixel = jnp.round(at).astype(jnp.int32)
    moved = dict(batch)
    for name, value in batch.items():
        if name == OBSERVED and value.shape[1:3] != (height, width):
            mirrored = (matrix[:, 1, 1] < 0)[:, None, None, None]
            moved[name] = jnp.where(mirrored, value[:, :, ::-1], value)
        if name in ("boxes", "valid") or value.shape[1:3] != (height, width):
            continue
        if exact:
            moved[name] = _permute(value, nearest_pixel)
        else:
            smooth = name in (*PICTURES, *DISPLACEMENTS)
            moved[name] = _bilinear(value, at) if smooth else _gather(value, nearest_pixel)
        if name in DISPLACEMENTS:
            moved[name] = _displaced(moved[name], matrix, facing)
        if name in DIRECTIONS:
            moved[name] = _turned(moved[name], matrix, facing)
    if "boxes" in batch:
        boxes, visible = _move_boxes(batch["boxes"], matrix, shift, height, width)
        if "instances" in batch:  # the tightest boxes, which turned boxes are not
            boxes, visible = _boxes_around(moved["instances"], boxes.shape[1])
        moved["boxes"] = jnp.where(visible[..., None], boxes, 0.0)
        if "box_labels" in batch:
            moved["box_labels"] = jnp.where(visible, batch["box_labels"], -1)
    return moved


def checked(spec: Any) -> dict[str, Any]:
    """The whole spec, with what is left out turned off; ConfigError for what is unknown or out of range."""
    for name in spec:
        if name not in OFF:
            raise ConfigError(f"unknown key data.augment.{name}; {nearest(name, OFF)}")
    full = {**OFF, **spec}
    full["scale"] = tuple(float(s) for s in full["scale"])
    if len(full["scale"]) != 2 or not 0 < full["scale"][0] <= full["scale"][1]:
        raise ConfigError(f"data.augment.scale={full['scale']}: expected (low, high) with 0 < low <= high")
    for name in ("crop", "rotation"):
        if full[name] < 0:
            raise ConfigError(f"data.augment.{name}={full[name]}: expected 0 or more")
    return full


def _stretch(pictures: Mapping[str, Float[Array, "B H W C"]]) -> Batch:
    """Each picture minus its image's minimum, over the image's range; an image of one value becomes 0."""
    image = pictures["image"]
    low = image.min((1, 2, 3), keepdims=True)
    span = image.max((1, 2, 3), keepdims=True) - low
    return {name: (picture - low) / jnp.where(span > 0, span, 1) for name, picture in pictures.items()}


def _draw(key: Array, spec: Mapping[str, Any]) -> tuple[Float[Array, "2 2"], Float[Array, "2"]]:
    """A random map from (y, x) in the new picture to (y, x) in the old one, about its center: matrix and shift."""
    flip_key, crop_key, angle_key, scale_key = jax.random.split(key, 4)
    angle = jnp.deg2rad(jax.random.uniform(angle_key, minval=-1.0, maxval=1.0) * spec["rotation"])
    low, high = jnp.log(jnp.array(spec["scale"], jnp.float32))
    zoom = jnp.exp(jax.random.uniform(scale_key, minval=0.0, maxval=1.0) * (high - low) + low)
    mirror = jnp.where(spec["flip"] & jax.random.bernoulli(flip_key), -1.0, 1.0)
    turn = jnp.array([[jnp.cos(angle), -jnp.sin(angle)], [jnp.sin(angle), jnp.cos(angle)]])
    shift = jax.random.randint(crop_key, (2,), -spec["crop"], spec["crop"] + 1)
    return turn * jnp.stack([jnp.ones(()), mirror]) / zoom, shift.astype(jnp.float32)


def _center(height: int, width: int) -> Float[Array, "2"]:
    return jnp.array([(height - 1) / 2, (width - 1) / 2], jnp.float32)


def _coordinates(
    matrix: Float[Array, "B 2 2"], shift: Float[Array, "B 2"], height: int, width: int
) -> Float[Array, "B H W 2"]:
    """Where in the old picture each pixel of the new one lies, in pixels."""
    grid = jnp.stack(jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij"), -1) - _center(height, width)
    return jnp.einsum("bij,hwj->bhwi", matrix, grid) + (_center(height, width) + shift)[:, None, None, :]


def _mirror(
    at: Float[Array, "B H W 2"], height: int, width: int
) -> tuple[Float[Array, "B H W 2"], Float[Array, "B H W 2"]]:
    """Folds coordinates outside the picture back into it, as if it were reflected at its border pixels.

    Also gives, down and right, 1 where the picture is seen as it is and -1 where it is seen reflected.
    """
    last = jnp.array([height - 1, width - 1], jnp.float32)
    period = jnp.maximum(2 * last, 1)
    folded = jnp.mod(at, period)
    return jnp.clip(jnp.minimum(folded, period - folded), 0, last), jnp.where(folded <= last, 1.0, -1.0)


def _gather(value: Array, at: Int[Array, "B H W 2"]) -> Array:
    """value[b, y, x] for each (y, x) of `at`."""
    batch, height, width = value.shape[:3]
    flat = value.reshape(batch, height * width, -1)
    index = (at[..., 0] * width + at[..., 1]).reshape(batch, -1, 1)
    return jnp.take_along_axis(flat, index, axis=1).reshape(value.shape)


def _permute(value: Array, at: Int[Array, "B H W 2"]) -> Array:
    """What `_gather` gives, for maps that take rows to rows and columns to columns; several times faster on a CPU."""
    return jax.vmap(lambda v, rows, columns: v[rows][:, columns])(value, at[:, :, 0, 0], at[:, 0, :, 1])


def _bilinear(image: Float[Array, "B H W C"], at: Float[Array, "B H W 2"]) -> Float[Array, "B H W C"]:
    """The image at fractional coordinates inside it."""
    last = jnp.array(image.shape[1:3]) - 1
    near = jnp.minimum(jnp.floor(at).astype(jnp.int32), last)
    weight = (at - near.astype(at.dtype))[..., None]
    wy, wx = weight[..., 0, :], weight[..., 1, :]

    def corner(dy: int, dx: int) -> Array:
        return _gather(image, jnp.minimum(near + jnp.array([dy, dx]), last))

    top = (1 - wx) * corner(0, 0) + wx * corner(0, 1)
    bottom = (1 - wx) * corner(1, 0) + wx * corner(1, 1)
    return (1 - wy) * top + wy * bottom


def _displaced(
    vectors: Float[Array, "B H W 2"], matrix: Float[Array, "B 2 2"], facing: Float[Array, "B H W 2"]
) -> Float[Array, "B H W 2"]:
    """Displacements (down, right) of the old picture in pixels of the new one."""
    return jnp.einsum("bij,bhwj->bhwi", jnp.linalg.inv(matrix), facing * vectors)


def _turned(
    vectors: Float[Array, "B H W 3"], matrix: Float[Array, "B 2 2"], facing: Float[Array, "B H W 2"]
) -> Float[Array, "B H W 3"]:
    """Directions (right, down, toward the viewer); their length is kept, as a surface that comes nearer looks alike."""
    turn = matrix / jnp.linalg.norm(matrix, axis=-2, keepdims=True)
    downright = jnp.einsum("bji,bhwj->bhwi", turn, facing * vectors[..., 1::-1])
    return jnp.concatenate([downright[..., ::-1], vectors[..., 2:]], -1)


def _move_boxes(
    boxes: Float[Array, "B N 4"], matrix: Float[Array, "B 2 2"], shift: Float[Array, "B 2"], height: int, width: int
) -> tuple[Float[Array, "B N 4"], Bool[Array, "B N"]]:
    """The upright boxes around the moved boxes, cut at the picture's edge, and which are still to be seen."""
    size = jnp.array([height, width], jnp.float32)
    corners = jnp.stack([boxes[..., [0, 1]], boxes[..., [0, 3]], boxes[..., [2, 1]], boxes[..., [2, 3]]], -2)
    offset = corners * size - 0.5 - _center(height, width) - shift[:, None, None]  # pixel centers are at integers
    moved = jnp.einsum("bij,bnkj->bnki", jnp.linalg.inv(matrix), offset) + _center(height, width) + 0.5
    low, high = moved.min(-2) / size, moved.max(-2) / size
    inside_low, inside_high = jnp.clip(low, 0, 1), jnp.clip(high, 0, 1)
    area, whole = (inside_high - inside_low).prod(-1), (high - low).prod(-1)
    return jnp.concatenate([inside_low, inside_high], -1), (whole > 0) & (area >= VISIBLE * whole)


def _boxes_around(instances: Int[Array, "B H W"], count: int) -> tuple[Float[Array, "B N 4"], Bool[Array, "B N"]]:
    """The tightest boxes around instances 1 ... count, and which instances have any pixel."""
    mask = instances[:, None] == jnp.arange(1, count + 1)[:, None, None]

    def extent(seen: Bool[Array, "B N L"]) -> tuple[Array, Array]:
        length = seen.shape[-1]
        return jnp.argmax(seen, -1) / length, 1 - jnp.argmax(seen[..., ::-1], -1) / length

    (top, bottom), (left, right) = extent(mask.any(-1)), extent(mask.any(-2))
    return jnp.stack([top, left, bottom, right], -1).astype(jnp.float32), mask.any((-1, -2))

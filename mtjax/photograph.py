"""A photograph in the place of an observation: what a trained network needs to be told to read it."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from mtjax import physics
from mtjax.data.fields import SourceInfo
from mtjax.data.sources.pictures import LUMA
from mtjax.physics import Observed
from mtjax.physics.frames import moved_burst
from mtjax.physics.operator import Operator
from mtjax.registry import lookup
from mtjax.solvers.denoise import estimate_noise
from mtjax.typing import Array, Float

Mode = Literal["as-trained", "clean"]
Shape = tuple[int, ...]
STILL = np.zeros((1, 2), np.float32)  # the motion of a single photograph


class Unfit(ValueError):
    """A photograph cannot pass for such an observation; the message says why, and is the end of a sentence."""


@dataclasses.dataclass(frozen=True)
class View:
    """How a photograph is read: as `y` of an operator and with a noise level.

    seen: from the photograph, whose frames are joined as channels, to `y`: the first frame, in gray where gray is what
    the operator gives, or, of a burst, all of them. frames: how many those are. operator: from the shape of `y`, of the
    whole photograph or of a part of it, to the operator behind it. level: the noise's standard deviation. local:
    whether a part of the photograph may be read on its own. fused, given: fields that the network could be told, but of
    which a photograph knows nothing: the channels of the first; from the size of the photograph to the shape of the
    others, and their types.
    """

    seen: Callable[[Any], Any]
    frames: int
    operator: Callable[[Shape], Operator]
    level: float
    local: bool
    fused: Mapping[str, int]
    given: Mapping[str, tuple[Callable[[Shape], Shape], Any]]

    def observed(self, photo: Float[Array, "H W KC"]) -> Observed:
        """The photograph as a batch of one observation; may be traced."""
        y, size = self.seen(photo), photo.shape[:2]
        return Observed(
            y[None],
            self.operator(y.shape),
            jnp.full((1, 1, 1, 1), self.level, y.dtype),
            {field: jnp.zeros((1, *size, channels)) for field, channels in self.fused.items()},
            {
                field: (jnp.zeros((1, *shape(size)), dtype), jnp.zeros(1, bool))
                for field, (shape, dtype) in self.given.items()
            },
        )


def view(
    spec: Mapping[str, Any],
    info: SourceInfo,
    photo: Float[np.ndarray, "H W KC"],
    mode: Mode = "as-trained",
    offsets: Float[np.ndarray, "K 2"] = STILL,
) -> View:
    """How a photograph is read by the tasks of an observation.

    Args:
        spec: the observation's config node.
        info: of the data that the network was trained with.
        photo: it is the observation, and not degraded again; K frames of a burst joined as channels.
        mode: "as-trained", with the config's operator and noise level, but nothing masked; the level is estimated where
            the config draws it. "clean", with no operator but one that changes the size, the channels or the number of
            pictures, and an estimated level.
        offsets: how the frames are moved against the first (down, right), in pixels.

    Raises:
        Unfit: no photograph is such an observation.
    """
    fields = (*spec.get("fused", ()), *spec.get("given", ()))
    if fields and not spec.get("withheld", 0.0):
        raise Unfit(f"it needs {', '.join(fields)} beside the photograph")
    node, burst = spec["operator"], is_burst(spec)
    seen = _all_frames if burst else _first_frame(node, photo.shape[-1] // len(offsets))
    picture = seen(photo)
    build = burst_of(node, offsets) if burst else operator_of(node, picture.shape)
    if mode == "clean" and image_shape(build(picture.shape), picture.shape) == picture.shape:
        build = _identity
    level = None if mode == "clean" else known_level(spec.get("noise", {"kind": "none"}), picture)
    shapes = {field: info.fields[field] for field in fields}
    return View(
        seen=seen,
        frames=len(offsets) if burst else 1,
        operator=build,
        level=float(estimate_noise(jnp.asarray(picture))) if level is None else level,
        local=not isinstance(build(picture.shape), physics.SpaceVaryingBlur),
        fused={field: (*shapes[field], 1)[2] + 1 for field in spec.get("fused", ())},
        given={field: (sized(shapes[field], info), info.dtype(field)) for field in spec.get("given", ())},
    )


def sized(shape: Shape, info: SourceInfo) -> Callable[[Shape], Shape]:
    """From the size of a photograph to the shape that a field has there: maps are as large as the image."""
    is_map = shape[:2] == tuple(info.image_shape[:2])
    return lambda size: (*size, *shape[2:]) if is_map else shape


def is_burst(spec: Mapping[str, Any]) -> bool:
    """Whether the tasks of an observation, by its config node, read several frames."""
    return spec["operator"]["kind"] == "burst"


def burst_of(node: Mapping[str, Any], offsets: Float[np.ndarray, "K 2"]) -> Callable[[Shape], Operator]:
    """The operator of K frames that are moved like this, whatever their shape.

    Raises:
        Unfit: a single photograph.
    """
    if len(offsets) == 1:
        raise Unfit("it reads a burst: give a folder of frames")
    drawn = _build({**node, "frames": len(offsets)}, (1, 1, 1))
    assert isinstance(drawn, physics.Frames)
    operator = moved_burst(drawn, offsets[None])
    return lambda _: operator


def operator_of(node: Mapping[str, Any], shape: Shape) -> Callable[[Shape], Operator]:
    """From a photograph's shape to the operator that a config node describes, if it gives photographs.

    Raises:
        Unfit: it gives something else, or each example has one of its own, which of this photograph is not known.
    """
    kind = node["kind"]

    def build(shape: Shape, seed: int = 0) -> Operator:
        guess = _build(node, shape, seed)
        return guess if image_shape(guess, shape) == shape else _build(node, image_shape(guess, shape), seed)

    try:
        one, other = build(shape), build(shape, seed=1)
        gives = jax.eval_shape(one, jax.ShapeDtypeStruct((1, *image_shape(one, shape)), jnp.float32))
    except (ValueError, TypeError) as error:
        raise Unfit(f"a {kind} operator does not give pictures of {shape}") from error
    if getattr(gives, "shape", None) != (1, *shape) or jnp.iscomplexobj(gives):
        raise Unfit(f"a {kind} operator does not give pictures of {shape}")
    if isinstance(one, physics.Mask):
        return lambda shape: physics.Mask(jnp.ones((1, *shape[:2], 1)))
    # Networks are not told what a nonlinear operator did, see `encoder_input`, so it need not be known.
    if not _alike(one, other) and not isinstance(one, physics.NonlinearOperator):
        raise Unfit(f"the {kind} operator is another for each picture, and that of a photograph is not known")
    return build


def _build(node: Mapping[str, Any], shape: Shape, seed: int = 0) -> Operator:
    """The operator of a config node for one image `[H, W, C]`, with what it draws at random drawn from `seed`."""
    parameters = {key: value for key, value in node.items() if key != "kind"}
    builder = lookup(physics.OPERATORS, node["kind"], "operator")
    return builder(jax.random.split(jax.random.key(seed), 1), shape, **parameters)


def _first_frame(node: Mapping[str, Any], channels: int) -> Callable[[Any], Any]:
    """From the photograph to its first frame of so many channels, in gray where that is what the operator gives."""
    mixes = _build(node, (1, 1, channels)) if node["kind"] == "color_matrix" else None
    gray = isinstance(mixes, physics.ColorMatrix) and len(mixes.matrix) == 1
    return lambda photo: with_channels(photo[..., :channels], 1 if gray else channels)


def _all_frames(photo: Any) -> Any:
    return photo


def image_shape(operator: Operator, shape: Shape) -> Shape:
    """The shape `[H, W, C]` of the image of which a photograph of this shape is the observation."""
    return tuple(operator.input_shape((1, *shape))[1:])


def known_level(node: Mapping[str, Any], photo: np.ndarray) -> float | None:
    """The standard deviation of a config node's noise on this photograph; None where each example has its own."""
    parameters = {key: value for key, value in dict(node).items() if key != "kind"}
    builder = lookup(physics.NOISES, node["kind"], "noise")
    models = builder(jax.random.split(jax.random.key(0), 2), **parameters)
    first, second = (jax.tree.map(lambda leaf, i=i: leaf[i], models) for i in range(2))
    return float(jnp.mean(first.level(jnp.asarray(photo)))) if _alike(first, second) else None


def with_channels(photo: Any, channels: int) -> Any:
    """Pictures `[..., H, W, 1 or 3]` with so many channels: gray is repeated, color weighted by brightness.

    Raises:
        ValueError: the network reads pictures that are neither gray nor of three colors.
    """
    if photo.shape[-1] == channels:
        return photo
    if photo.shape[-1] == 1:
        return photo[..., np.zeros(channels, int)]
    if photo.shape[-1] == 3 and channels == 1:
        return (photo @ LUMA)[..., None]
    raise ValueError(f"the photograph has {photo.shape[-1]} channels, the network reads {channels}")


def _identity(shape: Shape) -> Operator:
    return physics.Identity()


def _alike(one: Any, other: Any) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)

"""Bursts: several observations of one image by one kind of operator."""

from typing import Any

import jax
import jax.numpy as jnp

from mtjax.physics.algebra import Compose
from mtjax.physics.blur import Crop
from mtjax.physics.operator import Identity, Measured, Operator, Pixels, Shape, Spectrum
from mtjax.physics.sampling import Downsample
from mtjax.physics.warp import Shift
from mtjax.pytree import pytree, static
from mtjax.typing import Array, Inexact


def join_frames(frames: Inexact[Array, "... K h w C"]) -> Inexact[Array, "... h w KC"]:
    """Frames as channels of one observation, the frame's number varying slowest."""
    *batch, count, height, width, channels = frames.shape
    return jnp.moveaxis(frames, -4, -2).reshape(*batch, height, width, count * channels)


def split_frames(y: Inexact[Array, "... h w KC"], count: int) -> Inexact[Array, "... K h w C"]:
    """The inverse of `join_frames`, for `count` frames."""
    return jnp.moveaxis(y.reshape(*y.shape[:-1], count, _channels(y.shape, count)), -2, -4)


def _channels(y_shape: Shape, count: int) -> int:
    if y_shape[-1] % count:
        raise ValueError(f"y has {y_shape[-1]} channels; expected a multiple of the count={count} of frames")
    return y_shape[-1] // count


@pytree
class Frames(Operator):
    """`count` observations of one image: `A x = join_frames((A₁ x, A₂ x, ...))`, of shape `[..., h, w, count · C]`.

    `operator` acts on `[..., count, H, W, C]`, so what differs by frame has the frame axis where other operators have
    their example axis (`Shift(offsets)` with offsets `[count, 2]`), and what differs by example too has it in front of
    that (`[B, count, 1, 1, 2]`).
    """

    operator: Operator
    count: int = static()

    def __post_init__(self):
        if self.count < 1 or self.count != int(self.count):
            raise ValueError(f"count={self.count} is not a number of frames; expected an integer of at least 1")
        for leaf in jax.tree.leaves(self.operator):
            if jnp.ndim(leaf) > 3 and jnp.shape(leaf)[-4] not in (1, self.count):
                raise ValueError(
                    f"operator has a leaf of shape {jnp.shape(leaf)}; expected {self.count} (count) or 1 frames "
                    "on its fourth axis from the end"
                )

    def __call__(self, x: Pixels, /) -> Measured:
        """Every frame's `Aₖ x`."""
        return join_frames(self.operator(jnp.broadcast_to(x[..., None, :, :, :], self._frames_shape(x.shape))))

    def of_clip(self, clip: Inexact[Array, "... K H W C"], /) -> Measured:
        """What is observed of a scene that is not still: `A₁` of the first frame, `A₂` of the second, ..."""
        if clip.ndim < 4 or clip.shape[-4] != self.count:
            raise ValueError(f"clip has shape {clip.shape}; expected [..., {self.count}, H, W, C] (count={self.count})")
        return join_frames(self.operator(clip))

    def adjoint(self, y: Measured, /) -> Pixels:
        """`Σ Aₖᴴ yₖ`."""
        return self.operator.adjoint(split_frames(y, self.count)).sum(-4)

    def norm_bound(self) -> Array:
        """`√count` times the largest of the frames' bounds."""
        return jnp.sqrt(1.0 * self.count) * self.operator.norm_bound()

    def output_shape(self, image_shape: Shape) -> Shape:
        """The frames' height and width, and their channels all together."""
        *batch, _, height, width, channels = self.operator.output_shape(self._frames_shape(image_shape))
        return (*batch, height, width, self.count * channels)

    def input_shape(self, y_shape: Shape) -> Shape:
        """The shape of `x`."""
        *batch, height, width, _ = y_shape
        frames = (*batch, self.count, height, width, _channels(y_shape, self.count))
        *batch, _, height, width, channels = self.operator.input_shape(frames)
        return (*batch, height, width, channels)

    def gram(self, shape: Shape, dtype: Any) -> Spectrum | None:
        """Sum of the frames' grams, if they are circular."""
        return self._over_frames(self.operator.gram(self._frames_shape(shape), dtype))

    def range_gram(self, y_shape: Shape, dtype: Any) -> None:
        """None: the frames are correlated."""
        return

    def approximate_gram(self, shape: Shape, dtype: Any) -> Spectrum | None:
        """Sum of the frames' grams; a selection counts as the share of pixels that it keeps."""
        frames = self._frames_shape(shape)
        if (parts := self.split_each(shape, dtype)) is not None:
            middle = parts[1].output_shape(frames)
            kept = parts[0].normal(jnp.ones(middle[-4:], dtype)).mean().real
            gram = parts[1].gram(frames, dtype)
            return self._over_frames(None if gram is None else kept * gram)
        return self._over_frames(self.operator.approximate_gram(frames, dtype))

    def split_each(self, shape: Shape, dtype: Any) -> tuple[Operator, Operator] | None:
        """If every frame is seen through `D B`, as in `split`: that pair, acting on frames `[..., count, H, W, C]`."""
        return _split(self.operator, self._frames_shape(shape), dtype)

    def _frames_shape(self, shape: Shape) -> Shape:
        return (*shape[:-3], self.count, *shape[-3:])

    def _over_frames(self, spectrum: Spectrum | None) -> Spectrum | None:
        if spectrum is None:
            return None
        if spectrum.ndim == 3 or spectrum.shape[-4] == 1:
            return self.count * (spectrum if spectrum.ndim == 3 else spectrum[..., 0, :, :, :])
        return spectrum.sum(-4)


def _split(operator: Operator, shape: Shape, dtype: Any) -> tuple[Operator, Operator] | None:
    """`operator.split`, and that of selections one after another (a crop of a decimation) before a circular map."""
    parts = operator.split(shape, dtype)
    if parts is not None or not isinstance(operator, Compose):
        return parts
    middle = operator.inner.output_shape(shape)
    outer, inner = _split(operator.outer, middle, dtype), _split(operator.inner, shape, dtype)
    if outer is None:
        return None
    if operator.inner.transfer(shape, dtype) is not None:
        return outer[0], Compose(outer[1], operator.inner)
    if inner is None or not isinstance(outer[1], Identity):
        return None
    return Compose(outer[0], inner[0]), inner[1]


def burst_motion(operator: Operator) -> tuple[Array, int]:
    """The `offsets` `[..., K, 2]` and the `factor` of which `burst_operator` made an operator.

    Raises:
        ValueError: it made no such operator.
    """
    parts = _parts(operator.operator) if isinstance(operator, Frames) else []
    shifts = [part for part in parts if isinstance(part, Shift)]
    factors = [part.factor for part in parts if isinstance(part, Downsample)]
    if len(shifts) != 1 or len(factors) != 1:
        raise ValueError(f"operator is no burst, but {type(operator).__name__}; see burst_operator")
    return shifts[0].offset[..., 0, 0, :] / factors[0], factors[0]


def moved_burst(operator: Frames, offsets: Any) -> Frames:
    """The burst's operator with other `offsets`, as `burst_operator` takes them; ValueError if it is none."""
    shift = Shift(burst_motion(operator)[1] * jnp.asarray(offsets))

    def with_shift(part: Operator) -> Operator:
        if isinstance(part, Compose):
            return Compose(with_shift(part.outer), with_shift(part.inner))
        return shift if isinstance(part, Shift) else part

    return Frames(with_shift(operator.operator), operator.count)


def _parts(operator: Operator) -> list[Operator]:
    """What an operator is composed of, outermost first."""
    return [*_parts(operator.outer), *_parts(operator.inner)] if isinstance(operator, Compose) else [operator]


def burst_operator(offsets: Any, factor: int, kernel: Any = None, margin: int = 0) -> Frames:
    """The operator that makes a burst `[..., h, w, K·C]` (see `join_frames`) of an image with `factor` finer pixels.

    `offsets` `[..., K, 2]` (down, right) in pixels of the frames, as `register` gives them; `kernel` blurs, in fine
    pixels: a box of `factor` pixels for a sensor without gaps and a perfect lens, more in practice. Shifts are
    circular. With a `margin`, in pixels of the frames, the image has that much of a border which frames see only in
    part or through the blur, so that nothing wraps around into the rest of it; solvers then take longer.
    """
    offsets = 1.0 * jnp.asarray(offsets)
    if offsets.ndim < 2 or offsets.shape[-1] != 2:
        raise ValueError(f"offsets has shape {offsets.shape}; expected [..., K, 2], one (down, right) per frame")
    if margin < 0:
        raise ValueError(f"margin={margin} is negative; expected a number of pixels")
    observe = Downsample(factor, kernel) @ Shift(factor * offsets)
    borders = ((margin, margin), (margin, margin))
    return Frames(Crop(borders) @ observe if margin else observe, offsets.shape[-2])

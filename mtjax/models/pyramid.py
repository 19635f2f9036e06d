"""What an encoder gives and every head reads: feature maps at several strides."""

import jax
import jax.numpy as jnp

from mtjax.pytree import pytree, static
from mtjax.typing import Array, Float


@pytree
class Pyramid:
    """Feature maps of one batch, finest first.

    levels: arrays `[B, H/stride, W/stride, channels]`, one per stride.
    strides: pixels of the input image per feature, in each direction.
    size: height and width of the image that was encoded, before it was padded to a multiple of the largest stride.
    """

    levels: tuple[Float[Array, "B _h _w _c"], ...]
    strides: tuple[int, ...] = static()
    size: tuple[int, int] = static()

    @property
    def finest(self) -> Float[Array, "B h w c"]:
        """The level with the smallest stride."""
        return self.levels[0]

    def image(self, x: Float[Array, "B h w c"], scale: int = 1) -> Float[Array, "B H W c"]:
        """Cuts a map at image resolution (times `scale`) to the image's own size, taking the padding off."""
        return x[:, : self.size[0] * scale, : self.size[1] * scale]

    def __getitem__(self, rows: slice) -> "Pyramid":
        """The same pyramid for some examples of the batch."""
        return Pyramid(tuple(level[rows] for level in self.levels), self.strides, self.size)


def pad_to_multiple(x: Float[Array, "B H W C"], multiple: int) -> Float[Array, "B h w C"]:
    """Mirrors an image at its lower and right edge until both sides are multiples of `multiple`."""
    bottom, right = -x.shape[1] % multiple, -x.shape[2] % multiple
    if not (bottom or right):
        return x
    # An image may be smaller than what has to be added to it: `symmetric` padding repeats as often as needed.
    return jnp.pad(x, ((0, 0), (0, bottom), (0, right), (0, 0)), mode="symmetric")


def unshuffle(x: Float[Array, "B H W C"], factor: int) -> Float[Array, "B h w c"]:
    """Moves each `factor × factor` block of pixels into channels: space to depth, nothing lost.

    Source: Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel convolutional
    neural network", CVPR 2016 (the inverse of its layer).
    """
    b, h, w, c = x.shape
    x = x.reshape(b, h // factor, factor, w // factor, factor, c)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, h // factor, w // factor, factor * factor * c)


def shuffle(x: Float[Array, "B h w c"], factor: int) -> Float[Array, "B H W C"]:
    """The inverse of `unshuffle`: the sub-pixel convolution's rearrangement (Shi et al., CVPR 2016)."""
    b, h, w, c = x.shape
    x = x.reshape(b, h, w, factor, factor, c // factor**2)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, h * factor, w * factor, c // factor**2)


def resize(x: Float[Array, "B h w c"], shape: tuple[int, int]) -> Float[Array, "B H W c"]:
    """Bilinear resampling of feature maps to `shape`."""
    return jax.image.resize(x, (x.shape[0], *shape, x.shape[3]), "bilinear", antialias=False)

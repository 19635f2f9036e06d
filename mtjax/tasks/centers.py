"""Objects as centers, and pixels that point at them: the truth as maps, and maps as objects again.

Source: Cheng et al., "Panoptic-DeepLab", CVPR 2020, sections 3.2 and 3.3.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mtjax.pytree import pytree
from mtjax.typing import Array, Bool, Float, Int

UNIT = 10.0  # pixels per unit of a predicted offset, so that heads start near the right scale
RARE = 4.6  # taken from the logit of a center, so that heads start at a probability of 1 % everywhere
NEIGHBORS = 7  # side of the square in which there is one center at most, in pixels
LEAST_SCORE = 0.1  # of a center
FRAGMENT = 0.25  # of its largest part that another part of an object must have to belong to it


@pytree
class Centers:
    """What the truth says of each pixel: is there an object, how near is a center, and where is its own (in pixels)."""

    foreground: Bool[Array, "B H W"]
    heat: Float[Array, "B H W"]
    offsets: Float[Array, "B H W 2"]
    count: Int[Array, "B"]


@pytree
class Grouped:
    """Objects by number 1, 2, ..., 0 for none; `scores[:, k - 1]` is that of object k."""

    objects: Int[Array, "B H W"]
    scores: Float[Array, "B M"]


def centers_of(instances: Int[Array, "B H W"], most: int) -> Centers:
    """The maps that tell of objects 1 ... `most`; `heat` is 1 at the pixel nearest an object's center of mass.

    Around it is a Gaussian whose standard deviation is an eighth of the root of the object's area, at least a pixel.
    """
    masks = jax.nn.one_hot(instances - 1, most)
    places = _places(*instances.shape[1:])
    area = masks.sum((1, 2))
    center = jnp.einsum("bhwk,hwd->bkd", masks, places) / jnp.maximum(area, 1)[..., None]
    own = jnp.einsum("bhwk,bkd->bhwd", masks, center)
    foreground = masks.any(-1)
    sigma = jnp.maximum(jnp.sqrt(area) / 8, 1)[:, None, None]
    bumps = jnp.exp(-_squared_distances(places[None], jnp.round(center)) / (2 * sigma**2))
    return Centers(
        foreground=foreground,
        heat=jnp.max(jnp.where(area[:, None, None] > 0, bumps, 0), axis=-1),
        offsets=jnp.where(foreground[..., None], own - places, 0),
        count=(area > 0).sum(-1),
    )


def group(prediction: Float[Array, "B H W 4"], most: int) -> Grouped:
    """Gives each pixel of the foreground to the center nearest to where it points; the `most` best centers count.

    Channels are the logit of the foreground, that of a center plus `RARE`, and the offset down and to the right in
    units of `UNIT` pixels.
    """
    foreground = prediction[..., 0] > 0
    likely = jax.nn.sigmoid(prediction[..., 1] - RARE)
    window = (1, NEIGHBORS, NEIGHBORS)
    highest = jax.lax.reduce_window(likely, -jnp.inf, jax.lax.max, window, (1, 1, 1), "SAME")
    peaks = jnp.where((likely == highest) & (likely >= LEAST_SCORE), likely, 0)
    height, width = likely.shape[1:]
    scores, at = jax.lax.top_k(peaks.reshape(len(peaks), -1), min(most, height * width))
    center = jnp.stack([at // width, at % width], -1).astype(jnp.float32)
    distance = _squared_distances(_places(height, width) + UNIT * prediction[..., 2:], center)
    nearest = jnp.argmin(jnp.where(scores[:, None, None] > 0, distance, jnp.inf), axis=-1)
    found = foreground & jnp.any(scores > 0, axis=-1)[:, None, None]
    return Grouped(jnp.where(found, nearest + 1, 0), scores)


def without_fragments(objects: np.ndarray) -> np.ndarray:
    """Objects [H, W] without the small parts that lie apart from the rest; NumPy, on the host.

    A part stays if it has at least a quarter of the largest part's pixels: an object behind another may show twice.
    """
    from scipy import ndimage

    kept = np.zeros_like(objects)
    for k in np.unique(objects[objects > 0]):
        labeled: Any = ndimage.label(objects == k)
        parts = labeled[0]
        sizes = np.bincount(parts.reshape(-1))
        sizes[0] = 0
        kept[(sizes >= FRAGMENT * sizes.max())[parts] & (parts > 0)] = k
    return kept


def _places(height: int, width: int) -> Float[Array, "H W 2"]:
    """Row and column of each pixel."""
    return jnp.stack(jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij"), -1).astype(jnp.float32)


def _squared_distances(places: Float[Array, "_b H W 2"], centers: Float[Array, "B K 2"]) -> Float[Array, "B H W K"]:
    return jnp.sum(jnp.square(places[:, :, :, None] - centers[:, None, None]), axis=-1)

"""Non-local means: each pixel becomes the mean of those around it whose neighborhoods look alike."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from mtjax.physics.operator import total
from mtjax.physics.sharding import by_example
from mtjax.solvers.proximal import per_example
from mtjax.solvers.solution import Solution, Status, as_images, finish
from mtjax.typing import Array, Inexact

Values = Inexact[Array, "..."]
Planes = Inexact[Array, "C H W"]


def denoise_nlm(y: Any, strength: Any, sigma: Any = 0.0, patch: int = 5, distance: int = 6) -> Solution:
    """Means of the pixels up to `distance` rows and columns away, with weights `exp(−max(d² − 2 sigma², 0)/strength²)`.

    `d²` is the mean squared difference, over all channels, of the two neighborhoods of `patch` x `patch` pixels; they
    reach over the border by reflection, the mean does not (Buades, Coll and Morel, 2005, with uniform windows).
    `strength` and `sigma`, the noise's standard deviation, are numbers or one for each example; about 0.75 sigma is a
    good strength. `skimage.restoration.denoise_nl_means(fast_mode=True)` is near to this with `h = strength / 1.25`:
    its windows are a pixel smaller than its `patch_size`, its means reach over the border, and small weights are 0.
    ValueError for a patch that is even or reaches farther than the image, or a negative distance.
    """
    y, plain = as_images(y)
    height, width, channels = y.shape[-3:]
    if patch < 1 or patch % 2 == 0 or patch // 2 >= min(height, width):
        raise ValueError(f"patch={patch} does not fit; expected an odd size below {2 * min(height, width)}")
    if distance < 0:
        raise ValueError(f"distance={distance} is negative; expected at least 0")
    batch = y.shape[:-3]
    scale, noise = (jnp.broadcast_to(per_example(v, y), (*batch, 1, 1, 1)).ravel() for v in (strength, sigma))
    planes = jnp.moveaxis(y, -1, -3).reshape(-1, channels, height, width)

    # One image after the other, so that what an image needs stays in the cache.
    def denoise(*arrays: Any) -> Any:
        return lax.map(lambda example: _denoise(example[0], example[1], example[2], patch, distance), arrays)

    found = by_example(denoise, planes, scale, noise)
    image = jnp.moveaxis(found.reshape(*batch, channels, height, width), -3, -1)
    return finish(image, plain, Status.CONVERGED, 1, jnp.zeros(batch, y.dtype))


def _denoise(y: Planes, strength: Values, sigma: Values, patch: int, distance: int) -> Planes:
    """One image: a scan over how far down the other pixel is, from `distance` to 0.

    Each pair of pixels is met once, its weight counts for both. All slices are static, because XLA makes slow loops of
    others: instead of reading farther down, the scan moves the image.
    """
    half = patch // 2
    height, width = y.shape[-2:]
    reflected = jnp.pad(y, ((0, 0), (half, half), (half, half)), mode="reflect")
    around = list(reflected)
    # The sums are of weights times the pixels, and of weights times ones: the mean is their ratio.
    values = [*y, jnp.ones_like(y[0])]
    room = ((0, distance), (distance, distance))
    moving = [jnp.roll(jnp.pad(plane, room), -distance, 0) for plane in (*around, *values)]
    scale = 1 / jnp.maximum(strength**2, 1e-12)

    def row(carry: Any, share: Values) -> tuple[Any, None]:
        moving, here, there = carry
        patches, others = moving[: len(around)], moving[len(around) :]
        there = [jnp.pad(plane[:-1], ((1, 0), (0, 0))) for plane in there]
        for right in range(2 * distance + 1):
            columns = slice(right, right + width)
            wide = slice(right, right + width + 2 * half)
            squares = total([(a - b[: height + 2 * half, wide]) ** 2 for a, b in zip(around, patches, strict=True)])
            apart = _box(_box(squares, patch, 0), patch, 1) / (len(around) * patch**2)
            inside = others[-1][:height, columns]
            weight = inside * share * jnp.exp(-scale * jnp.maximum(apart - 2 * sigma**2, 0))
            moved = ((0, 0, 0), (right - distance, distance - right, 0))
            here = [h + weight * other[:height, columns] for h, other in zip(here, others, strict=True)]
            there = [t + lax.pad(weight * v, jnp.zeros((), y.dtype), moved) for t, v in zip(there, values, strict=True)]
        return ([jnp.roll(plane, 1, 0) for plane in moving], here, there), None

    zeros = [jnp.zeros_like(plane) for plane in values]
    # With no way down, each pair is met twice, and each pixel as its own neighbor also counts for two.
    shares = jnp.array([1.0] * distance + [0.5], y.dtype)
    (_, here, there), _ = lax.scan(jax.checkpoint(row), (moving, zeros, zeros), shares)
    *sums, weights = (h + t for h, t in zip(here, there, strict=True))
    return jnp.stack([plane / weights for plane in sums])


def _box(x: Values, size: int, axis: int) -> Values:
    """Sums of `size` neighbors along an axis, which becomes shorter."""
    length = x.shape[axis] - size + 1
    return total([lax.slice_in_dim(x, k, k + length, axis=axis) for k in range(size)])

"""BM3D: patches that look alike are stacked, and the stacks made sparse by a transform in three dimensions."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mtjax.physics.operator import check_choice, total
from mtjax.physics.sharding import by_example
from mtjax.solvers.denoise.patch_transforms import cosine, haar_by_level, spline
from mtjax.solvers.proximal import per_example
from mtjax.solvers.solution import Solution, Status, as_images, finish
from mtjax.typing import Array, Bool, Inexact, Int

Values = Inexact[Array, "..."]
Indices = Int[Array, "..."]
Flags = Bool[Array, "..."]
Pixels = Inexact[Array, "H W C"]
_TILE = 8  # reference patches along each side of a tile; the tiles are worked on one after the other
_HIGHEST = lax.Precision.HIGHEST


class _Step(NamedTuple):
    """Parameters of one of the two steps, named in Table I of the paper (there on a scale of 255)."""

    patch: int  # N₁
    most: int  # N₂, patches in a group
    stride: int  # N_step
    match: float  # τ_match, mean squared difference of patches that look alike
    transform: Any  # T₂D, of a size to its matrix
    threshold: float = 0.0  # λ₃D, in sigma
    window: int = 39  # N_S


_PROFILES = {
    "normal": (
        _Step(8, 16, 3, 2500 / 255**2, spline, threshold=2.7),
        _Step(8, 32, 3, 400 / 255**2, cosine),
    ),
    "high": (
        _Step(8, 32, 4, 25000 / 255**2, spline, threshold=2.8),
        _Step(11, 32, 6, 3500 / 255**2, cosine),
    ),
}
_KAISER = 2.0
# Luminance, red against blue, green against both: orthonormal, so that the noise stays white.
_OPPONENT = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])


def denoise_bm3d(y: Any, sigma: Any, profile: str = "normal") -> Solution:
    """White Gaussian noise of standard deviation `sigma` taken away by block matching and collaborative filtering.

    A first estimate by hard thresholding, then Wiener filtering with it; images of three channels in an opponent
    color space, with patches matched by luminance, others channel by channel (Dabov, Foi, Katkovnik and Egiazarian,
    2007, and their C-BM3D). `sigma` is a number or one for each example. `profile="high"` is for `sigma` above 40/255:
    not the paper's parameters, which lose quality there (Hou et al., Comments on the paper, IEEE TIP 2011), but those
    of the authors' later software. Gradients are those with the matching and the thresholding held fixed. ValueError
    for an image that is smaller than a patch (8 pixels, or 11 with "high").
    """
    check_choice("profile", profile, tuple(_PROFILES))
    steps = _PROFILES[profile]
    y, plain = as_images(y)
    height, width, channels = y.shape[-3:]
    least = max(step.patch for step in steps)
    if min(height, width) < least:
        raise ValueError(f"y is {height} x {width}; profile={profile!r} expects at least {least} pixels")
    batch = y.shape[:-3]
    noise = jnp.broadcast_to(per_example(sigma, y), (*batch, 1, 1, 1)).ravel()
    images = y.reshape(-1, height, width, channels)

    def denoise(*arrays: Any) -> Any:
        return lax.map(lambda example: _denoise(example[0], example[1], steps), arrays)

    if channels == 3:
        opponent = jnp.asarray(_OPPONENT, y.dtype)
        found = by_example(denoise, images @ opponent.T, noise) @ opponent
    else:
        planes = jnp.moveaxis(images, -1, 0)[..., None]
        found = lax.map(lambda plane: by_example(denoise, plane, noise), planes)
        found = jnp.moveaxis(found[..., 0], 0, -1)
    return finish(found.reshape(y.shape), plain, Status.CONVERGED, 1, jnp.zeros(batch, y.dtype))


def _denoise(y: Pixels, sigma: Values, steps: tuple[_Step, _Step]) -> Pixels:
    """Both steps, of one image whose channels are matched by the first of them."""
    basic = _filtered(y, y, sigma, steps[0])
    return _filtered(y, basic, sigma, steps[1])


def _filtered(y: Pixels, guide: Pixels, sigma: Values, step: _Step) -> Pixels:
    """One step; patches are matched in `guide`, which is `y` itself in the first one."""
    height, width, channels = y.shape
    reach = step.window // 2
    # Of what a tile can see: the places of patches, and the pixels in them.
    places = (_TILE - 1) * step.stride + 2 * reach + 1
    size = places + step.patch - 1
    counts = [-(-(n - step.patch) // step.stride) + 1 for n in (height, width)]
    tiles = [-(-count // _TILE) for count in counts]
    starts = [np.arange(n) * _TILE * step.stride for n in tiles]
    room = [
        (reach, (n - 1) * _TILE * step.stride + size - reach - m) for n, m in zip(tiles, (height, width), strict=True)
    ]
    room = [(before, max(after, 0)) for before, after in room]
    sources = jnp.concatenate([y, guide], -1) if step.threshold == 0 else y
    sources = jnp.pad(sources, (*room, (0, 0)))
    kaiser = np.outer(*[np.kaiser(step.patch, _KAISER)] * 2).ravel()
    kaiser = jnp.asarray(kaiser, y.dtype)[:, None]
    inverse = _in_two_dimensions(np.linalg.inv(step.transform(step.patch)), y.dtype)

    def tile(sums: Values, start: Int[Array, "2"]) -> tuple[Values, None]:
        corner = (start[0], start[1], jnp.zeros_like(start[0]))
        seen = _patches(lax.dynamic_slice(sources, corner, (size, size, sources.shape[-1])), step.patch)
        own = [_own(start[axis], counts[axis], n - step.patch, step) for axis, n in enumerate((height, width))]
        fits = [_inside(start[axis], places, n - step.patch, step) for axis, n in enumerate((height, width))]
        members, counted = _match(seen[..., -channels], own, fits, step)
        coefficients, weights = _collaborate(seen, members, counted, sigma, step, channels)
        pixels = jnp.zeros((places * places, step.patch**2, channels), y.dtype).at[members].add(coefficients)
        pixels = jnp.einsum("kj,pjc->pkc", inverse, pixels, precision=_HIGHEST) * kaiser
        share = jnp.zeros((places * places, 1, channels), y.dtype).at[members].add(weights) * kaiser
        found = _overlapped(jnp.concatenate([pixels, share], -1), places, step.patch)
        return lax.dynamic_update_slice(sums, lax.dynamic_slice(sums, corner, found.shape) + found, corner), None

    sums = jnp.zeros((*sources.shape[:2], 2 * channels), y.dtype)
    grid = np.stack(np.meshgrid(*starts, indexing="ij"), -1).reshape(-1, 2)
    sums = lax.scan(tile, sums, jnp.asarray(grid, jnp.int32))[0]
    sums = sums[reach : reach + height, reach : reach + width]
    return sums[..., :channels] / sums[..., channels:]


def _own(start: Indices, count: int, last: int, step: _Step) -> tuple[Indices, Flags]:
    """Where in its tile the reference patches are, along one axis (the last touches the end), and which exist."""
    place = start + step.stride * jnp.arange(_TILE)
    return jnp.minimum(place, last) - start, place < step.stride * count


def _inside(start: Indices, places: int, last: int, step: _Step) -> Flags:
    """Which places of a tile are those of whole patches of the image, along one axis."""
    place = start - step.window // 2 + jnp.arange(places)
    return (place >= 0) & (place <= last)


def _patches(slab: Values, patch: int) -> Values:
    """All patches `[places², patch², C]` of `[H, W, C]`."""
    places = slab.shape[0] - patch + 1
    rows = jnp.stack([slab[k : k + places] for k in range(patch)], -2)
    both = jnp.stack([rows[:, k : k + places] for k in range(patch)], -2)
    return both.reshape(places * places, patch * patch, slab.shape[-1])


def _overlapped(patches: Values, places: int, patch: int) -> Values:
    """The transpose of `_patches`: sums of patches `[places², patch², C]` where they overlap."""
    grid = patches.reshape(places, places, patch, patch, -1)
    rows = [jnp.pad(grid[:, :, :, k], ((0, 0), (k, patch - 1 - k), (0, 0), (0, 0))) for k in range(patch)]
    both = [jnp.pad(total(rows)[:, :, k], ((k, patch - 1 - k), (0, 0), (0, 0))) for k in range(patch)]
    return total(both)


def _match(seen: Values, own: Any, fits: Any, step: _Step) -> tuple[Indices, Indices]:
    """For each reference patch of a tile the places of those like it, nearest first, and how many count.

    How many is a power of 2, or 0 for references that the image is too small for.
    """
    places = len(fits[0])
    reach = step.window // 2
    (down, below), (right, beside) = own
    down, right = (jnp.ravel(a) for a in jnp.meshgrid(down, right, indexing="ij"))
    exists = jnp.ravel(below[:, None] & beside[None, :])
    mine = (down + reach) * places + right + reach
    squares = jnp.sum(seen**2, -1)
    apart = squares - 2 * jnp.dot(seen[mine], seen.T, precision=_HIGHEST)  # plus the square of the reference
    apart = jnp.where(jnp.ravel(fits[0][:, None] & fits[1][None, :]), apart, jnp.inf)
    window = (step.window, step.window)
    apart = jax.vmap(partial(lax.dynamic_slice, slice_sizes=window))(apart.reshape(-1, places, places), (down, right))
    apart = (apart + squares[mine][:, None, None]) / step.patch**2
    apart = apart.at[:, reach, reach].set(-1.0)  # a patch is always like itself
    nearest, found = lax.top_k(-lax.stop_gradient(apart).reshape(len(mine), -1), step.most)
    alike = jnp.sum(nearest >= -step.match, -1)
    counted = jnp.where(exists, 2 ** (jnp.sum(alike[:, None] >= 2 ** np.arange(1, 8), -1)), 0)
    members = (down[:, None] + found // step.window) * places + right[:, None] + found % step.window
    return members, counted


def _collaborate(
    seen: Values, members: Indices, counted: Indices, sigma: Values, step: _Step, channels: int
) -> tuple[Values, Values]:
    """Filtered groups `[groups, most, patch², C]`, in the patches' transform, and weights `[groups, most, 1, C]`."""
    forward = _in_two_dimensions(step.transform(step.patch), seen.dtype)
    used = (jnp.arange(step.most) < counted[:, None]).astype(seen.dtype)[..., None, None]
    level = jnp.sum(counted[:, None] >= 2 ** np.arange(1, 8), -1)
    haar = jnp.asarray(haar_by_level(step.most), seen.dtype)[level]
    groups = jnp.einsum("kj,gmjc->gmkc", forward, used * seen[members], precision=_HIGHEST)
    groups = jnp.einsum("gnm,gmkc->gnkc", haar, groups, precision=_HIGHEST)
    if step.threshold:
        kept = (jnp.abs(groups) > step.threshold * sigma).astype(seen.dtype)
        groups = kept * groups
    else:
        power = groups[..., channels:] ** 2
        kept = power / jnp.maximum(power + sigma**2, jnp.finfo(seen.dtype).tiny)
        groups = kept * groups[..., :channels]
    weight = 1 / jnp.maximum(jnp.sum(kept**2, (1, 2), keepdims=True), 1e-6 if step.threshold == 0 else 1)
    groups = jnp.einsum("gnm,gnkc->gmkc", haar, groups, precision=_HIGHEST)
    weight = used * weight
    return weight * groups, weight


def _in_two_dimensions(matrix: Any, dtype: Any) -> Values:
    return jnp.asarray(np.kron(matrix, matrix), dtype)

"""The operators that a config may name, each built from a few numbers; noises are in `noise_catalog.py`.

An entry of `OPERATORS` is called as `builder(keys, image_shape, **params) -> Operator`; `keys` `[B]` holds one key per
example.
"""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from mtjax.physics import kernels
from mtjax.physics.blur import Blur
from mtjax.physics.color import ColorMatrix, Mosaic
from mtjax.physics.color_cast import ColorCast
from mtjax.physics.files import load_mask, load_matrix
from mtjax.physics.fourier import Fourier, cartesian_mask, radial_mask
from mtjax.physics.frames import burst_operator
from mtjax.physics.noise_catalog import drawn
from mtjax.physics.nonlinear import Jpeg
from mtjax.physics.operator import Identity, Operator
from mtjax.physics.resize import Bicubic
from mtjax.physics.sampling import Downsample, Mask
from mtjax.physics.sensing import MatrixSensing, bernoulli_matrix, gaussian_matrix
from mtjax.physics.tomography import Radon
from mtjax.physics.varying import SpaceVaryingBlur
from mtjax.physics.warp import Shift, Warp
from mtjax.typing import Array, Float, Keys

Shape = tuple[int, ...]


def _identity(keys: Keys, shape: Shape, /) -> Operator:
    """Nothing but noise."""
    return Identity()


def _blur(
    keys: Keys,
    shape: Shape,
    /,
    *,
    kernel: Literal["gaussian", "anisotropic", "box", "disk", "motion", "random_motion", "file"] = "gaussian",
    std: float | int | tuple[float, float] = 1.6,
    size: int | None = None,
    angle: float | int = 0.0,
    path: str | None = None,
    name: str | None = None,
    boundary: Literal["circular", "reflect", "edge", "zero", "valid"] = "circular",
) -> Operator:
    """One kernel for all examples, but for random motion, of which each has its own.

    `std` is a number of pixels or, for an anisotropic kernel, a pair (along `angle`, across); `size` is the width of a
    kernel, a disk's diameter, the length of a straight motion; `path` is a file and `name` the array in it, as in
    `kernels.load`.
    """
    if kernel == "file":
        return Blur(kernels.load(_given(path, "kernel"), name), boundary)
    if kernel == "anisotropic":
        if not isinstance(std, tuple):
            raise ValueError(f"std={std} for kernel='anisotropic'; expected a pair (along, across)")
        return Blur(kernels.anisotropic(std, angle, size), boundary)
    if kernel == "gaussian":
        if isinstance(std, tuple):
            raise ValueError(f"std={std} for kernel='gaussian'; expected a number, or kernel='anisotropic'")
        return Blur(kernels.gaussian(std, size), boundary)
    if size is None:
        raise ValueError(f"size=None for kernel={kernel!r}; expected its extent in pixels")
    if kernel == "random_motion":
        return Blur(jax.vmap(lambda key: kernels.random_motion(key, size))(keys)[..., None], boundary)
    if kernel == "box":
        return Blur(kernels.box(size), boundary)
    return Blur(kernels.disk(size / 2) if kernel == "disk" else kernels.motion(size, angle), boundary)


def _varying_blur(
    keys: Keys,
    shape: Shape,
    /,
    *,
    std: tuple[float, float] = (0.8, 2.4),
    grid: int = 4,
    boundary: Literal["circular", "reflect", "edge", "zero", "valid"] = "reflect",
) -> Operator:
    """A lens: Gaussian kernels, whose `std` grows from the center of the image (first) to its corners (second).

    There are `grid` × `grid` of them, the widths growing with the square of the distance from the center.
    """
    if min(std) <= 0 or grid < 2:
        raise ValueError(f"std={std}, grid={grid} is not a lens; expected positive widths and a grid of at least 2")
    place = jnp.linspace(-1, 1, grid)
    widths = std[0] + (std[1] - std[0]) * (place[:, None] ** 2 + place**2) / 2
    size = kernels.gaussian(max(std)).shape[0]
    cells = jax.vmap(jax.vmap(lambda width: kernels.gaussian(width, size)))(widths)
    return SpaceVaryingBlur.from_grid(cells, (shape[0], shape[1]), boundary)


def _mask(
    keys: Keys,
    shape: Shape,
    /,
    *,
    keep: float | int = 0.5,
    pattern: Literal["pixels", "rows", "file"] = "pixels",
    path: str | None = None,
    name: str | None = None,
) -> Operator:
    """Each pixel ("pixels") or each row ("rows") of each example is kept with probability `keep`, or as a "file" says.

    `path` is a mask for all examples, white or 1 where a pixel is kept, and `name` the array in it, as in `load_mask`.
    """
    if pattern == "file":
        return Mask(jnp.asarray(load_mask(_given(path, "pattern"), name, (shape[0], shape[1]))))
    if not 0 < keep <= 1:
        raise ValueError(f"keep={keep} is not a share of pixels; expected a number in (0, 1]")
    drawn = (shape[0], shape[1] if pattern == "pixels" else 1, 1)
    kept = jax.vmap(lambda key: jax.random.bernoulli(key, keep, drawn))(keys)
    return Mask(jnp.broadcast_to(kept, (len(keys), *shape[:2], 1)).astype(float))


def _given(path: str | None, what: str) -> str:
    if path is None:
        raise ValueError(f"path=None for {what}='file'; expected a .npy, .npz or picture file")
    return path


def _downsample(keys: Keys, shape: Shape, /, *, factor: int = 2, std: float | int | None = None) -> Operator:
    """Every `factor`-th pixel, after a Gaussian blur of `std` pixels where that is given."""
    return Downsample(factor, None if std is None else kernels.gaussian(std))


def _bicubic(keys: Keys, shape: Shape, /, *, factor: int = 2) -> Operator:
    """MATLAB's bicubic decimation by `factor`."""
    return Bicubic(factor)


def _mosaic(keys: Keys, shape: Shape, /, *, pattern: Literal["rggb", "bggr", "grbg", "gbrg"] = "rggb") -> Operator:
    """A Bayer sensor."""
    return Mosaic(pattern)


def _color_matrix(
    keys: Keys, shape: Shape, /, *, matrix: tuple[tuple[float, ...], ...] = ((0.299, 0.587, 0.114),)
) -> Operator:
    """Channels mixed by the rows of `matrix`; by default the luminance of ITU-R BT.601."""
    return ColorMatrix(jnp.asarray(matrix))


def _matrix_sensing(
    keys: Keys,
    shape: Shape,
    /,
    *,
    ratio: float | int = 0.25,
    matrix: Literal["gaussian", "bernoulli", "file"] = "gaussian",
    block: int | None = None,
    seed: int = 0,
    path: str | None = None,
    name: str | None = None,
) -> Operator:
    """`ratio` measurements per pixel, of the whole image or patches of `block` pixels; one matrix for all examples.

    `path` is a "file" with the matrix, whose rows are as many as there are measurements, and `name` the array in it, as
    in `load_matrix`.
    """
    whole = (shape[0], shape[1]) if block is None else None
    if matrix == "file":
        columns = shape[0] * shape[1] if block is None else block**2
        return MatrixSensing(jnp.asarray(load_matrix(_given(path, "matrix"), name, columns)), block, whole)
    if not 0 < ratio <= 1:
        raise ValueError(f"ratio={ratio} is not a share of measurements; expected a number in (0, 1]")
    pixels = shape[0] * shape[1] if block is None else block**2
    draw = gaussian_matrix if matrix == "gaussian" else bernoulli_matrix
    with jax.ensure_compile_time_eval():  # a constant of the training step, not drawn again in each
        rows = draw(jax.random.key(seed), max(1, round(ratio * pixels)), pixels)
    return MatrixSensing(rows, block, whole)


def _fourier(
    keys: Keys,
    shape: Shape,
    /,
    *,
    keep: float | int = 0.3,
    pattern: Literal["lines", "radial", "file"] = "lines",
    center: float | int = 0.08,
    path: str | None = None,
    name: str | None = None,
    centered: bool = False,
) -> Operator:
    """The share `keep` of frequencies: each example's random "lines" and the share `center`, or all one "radial".

    `path` is a "file" with a mask for all, and `name` the array in it, as in `load_mask`; `centered` says that
    frequency 0 is in its middle rather than at its corner.
    """
    if pattern == "file":
        mask = load_mask(_given(path, "pattern"), name, (shape[0], shape[1]))
        return Fourier(jnp.asarray(np.fft.ifftshift(mask) if centered else mask), real=True)
    if pattern == "radial":
        return Fourier(radial_mask(shape, keep), real=True)
    masks = jax.vmap(lambda key: cartesian_mask(key, shape, keep, center))(keys)
    return Fourier(masks[..., None], real=True)


def _radon(keys: Keys, shape: Shape, /, *, angles: int = 60, detectors: int | None = None) -> Operator:
    """Projections from `angles` directions, evenly spread over a half turn."""
    if angles < 1:
        raise ValueError(f"angles={angles} is no number of directions; expected at least 1")
    return Radon(jnp.arange(angles) * (180.0 / angles), (shape[0], shape[1]), detectors)


def _shift(keys: Keys, shape: Shape, /, *, radius: float | int = 4.0) -> Operator:
    """Each example is moved by up to `radius` pixels down or up, right or left."""
    return Shift(_offsets(keys, radius, 1)[:, 0])


def _warp(keys: Keys, shape: Shape, /, *, strength: float | int = 2.0, cells: int = 4) -> Operator:
    """A smooth flow for each example, of `strength` pixels (standard deviation), about `cells` swirls to a side."""
    if cells < 1:
        raise ValueError(f"cells={cells} is no flow; expected at least 1")
    coarse = jax.vmap(lambda key: jax.random.normal(key, (cells, cells, 2)))(keys)
    return Warp(strength * jax.image.resize(coarse, (len(keys), *shape[:2], 2), "cubic"))


def _burst(
    keys: Keys,
    shape: Shape,
    /,
    *,
    frames: int = 8,
    factor: int = 2,
    std: float | int | None = None,
    radius: float | int = 2.0,
) -> Operator:
    """`frames` images, moved by up to `radius` of their pixels (the first by none), as channels of one observation.

    Each is blurred by a Gaussian of `std` fine pixels (default: 0.4 · `factor`, about a sensor's), and decimated.
    """
    if frames < 1:
        raise ValueError(f"frames={frames} is no burst; expected at least 1")
    offsets = _offsets(keys, radius, frames).at[:, 0].set(0)
    return burst_operator(offsets, factor, kernels.gaussian(0.4 * factor if std is None else std))


def _jpeg(keys: Keys, shape: Shape, /, *, quality: float | int | tuple[float, float] = 30) -> Operator:
    """JPEG's quantization, of a `quality` from 1 to 100: a number, or a pair (low, high) between which it is drawn."""
    return Jpeg(drawn(keys, "quality", quality, least=1.0, most=100.0))


def _exposure(
    keys: Keys,
    shape: Shape,
    /,
    *,
    stops: float | int | tuple[float, float] = 1.0,
    gamma: float | int | tuple[float, float] = 1.0,
) -> Operator:
    """Light times 2^`stops`, to the power `gamma`, clipped at 1: each a number, or a pair (low, high)."""
    other = jax.vmap(lambda key: jax.random.fold_in(key, 1))(keys)
    gains = 2 ** drawn(keys, "stops", stops, least=-float("inf"))
    return ColorCast(gains, drawn(other, "gamma", gamma, least=1e-2))


def _color_cast(
    keys: Keys,
    shape: Shape,
    /,
    *,
    balance: float | int | tuple[float, float] = (-0.5, 0.5),
    stops: float | int | tuple[float, float] = (-0.5, 0.5),
    gamma: float | int | tuple[float, float] = (0.8, 1.25),
) -> Operator:
    """Each channel's light times 2^(`balance` + `stops`), the former drawn by channel, then as `exposure`."""
    keys_of_channels = jax.vmap(lambda key: jax.random.split(jax.random.fold_in(key, 2), shape[-1]))(keys)
    gains = [drawn(keys_of_channels[:, c], "balance", balance, least=-float("inf")) for c in range(shape[-1])]
    exposed: Any = _exposure(keys, shape, stops=stops, gamma=gamma)
    return ColorCast(2 ** jnp.concatenate(gains, -1) * exposed.gains, exposed.gamma)


def _offsets(keys: Keys, radius: float | int, count: int) -> Float[Array, "B K 2"]:
    if radius < 0:
        raise ValueError(f"radius={radius} is negative; expected a number of pixels")
    return jax.vmap(lambda key: jax.random.uniform(key, (count, 2), minval=-radius, maxval=radius))(keys)


OPERATORS: dict[str, Callable[..., Operator]] = {
    "identity": _identity,
    "blur": _blur,
    "mask": _mask,
    "downsample": _downsample,
    "fourier": _fourier,
    "radon": _radon,
    "bicubic": _bicubic,
    "mosaic": _mosaic,
    "color_matrix": _color_matrix,
    "matrix_sensing": _matrix_sensing,
    "varying_blur": _varying_blur,
    "shift": _shift,
    "warp": _warp,
    "burst": _burst,
    "jpeg": _jpeg,
    "exposure": _exposure,
    "color_cast": _color_cast,
}

"""The operators and noises that a config may name, each built from a few numbers.

An entry of `OPERATORS` is called as `builder(keys, image_shape, **params) -> Operator`, one of `NOISES` as
`builder(keys, **params) -> Noise`; `keys` `[B]` holds one key per example, and every leaf of a noise has a leading axis
of that length.
"""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

from mtjax.physics import kernels
from mtjax.physics.blur import Blur
from mtjax.physics.noise import GaussianNoise, Noise, NoNoise
from mtjax.physics.operator import Identity, Operator
from mtjax.physics.sampling import Downsample, Mask
from mtjax.typing import Keys

Shape = tuple[int, ...]


def _identity(keys: Keys, shape: Shape, /) -> Operator:
    """Nothing but noise."""
    return Identity()


def _blur(
    keys: Keys,
    shape: Shape,
    /,
    *,
    kernel: Literal["gaussian", "box", "disk", "motion"] = "gaussian",
    std: float | int = 1.6,
    size: int | None = None,
    angle: float | int = 0.0,
    boundary: Literal["circular", "reflect", "edge", "zero", "valid"] = "circular",
) -> Operator:
    """One kernel for all examples; `size` is the width of a box, a disk's diameter, the length of a motion."""
    if kernel == "gaussian":
        return Blur(kernels.gaussian(std, size), boundary)
    if size is None:
        raise ValueError(f"size=None for kernel={kernel!r}; expected its extent in pixels")
    if kernel == "box":
        return Blur(kernels.box(size), boundary)
    return Blur(kernels.disk(size / 2) if kernel == "disk" else kernels.motion(size, angle), boundary)


def _mask(
    keys: Keys, shape: Shape, /, *, keep: float | int = 0.5, pattern: Literal["pixels", "rows"] = "pixels"
) -> Operator:
    """Each pixel ("pixels") or each row ("rows") of each example is kept with probability `keep`."""
    if not 0 < keep <= 1:
        raise ValueError(f"keep={keep} is not a share of pixels; expected a number in (0, 1]")
    drawn = (shape[0], shape[1] if pattern == "pixels" else 1, 1)
    kept = jax.vmap(lambda key: jax.random.bernoulli(key, keep, drawn))(keys)
    return Mask(jnp.broadcast_to(kept, (len(keys), *shape[:2], 1)).astype(float))


def _downsample(keys: Keys, shape: Shape, /, *, factor: int = 2, std: float | int | None = None) -> Operator:
    """Every `factor`-th pixel, after a Gaussian blur of `std` pixels where that is given."""
    return Downsample(factor, None if std is None else kernels.gaussian(std))


def _no_noise(keys: Keys, /) -> Noise:
    """None."""
    return NoNoise()


def _gaussian(keys: Keys, /, *, sigma: float | int | tuple[float, float] = 0.02) -> Noise:
    """`sigma` is a number, or a pair (low, high) between which each example's is drawn uniformly."""
    if isinstance(sigma, int | float):
        return GaussianNoise(jnp.full((len(keys), 1, 1, 1), float(sigma)))
    low, high = sigma
    if not 0 <= low <= high:
        raise ValueError(f"sigma={tuple(sigma)} is not a range; expected 0 <= low <= high")
    drawn = jax.vmap(lambda key: jax.random.uniform(key, (1, 1, 1), minval=low, maxval=high))(keys)
    return GaussianNoise(drawn)


OPERATORS: dict[str, Callable[..., Operator]] = {
    "identity": _identity,
    "blur": _blur,
    "mask": _mask,
    "downsample": _downsample,
}
NOISES: dict[str, Callable[..., Any]] = {"none": _no_noise, "gaussian": _gaussian}

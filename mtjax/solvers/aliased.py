"""Bursts in the Fourier domain: decimation mixes `factor`² frequencies, and only those, so that each such group of
frequencies is a small linear system of its own."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from mtjax.physics.frames import Frames
from mtjax.physics.operator import AXES, Operator, Pixels
from mtjax.physics.sampling import Downsample
from mtjax.physics.sharding import by_example
from mtjax.pytree import pytree, static
from mtjax.typing import Array, Inexact

Blocks = Inexact[Array, "... C h w g g"]  # one matrix for each group of frequencies


@pytree
class AliasedInverse:
    """`(AᴴA + Σ ρ LᴴL)⁻¹` of a burst `A` and circular `L`, as the inverses of the matrices of all groups."""

    normal: Blocks  # of AᴴA
    penalty: Inexact[Array, "... C h w g"]  # the diagonals of Σ ρ LᴴL
    inverse: Blocks
    factor: int = static()

    def scaled(self, factor: Any) -> "AliasedInverse":
        """The inverse for every penalty multiplied by `factor`, a number or `[*b, 1, 1, 1]`."""
        return _inverted(self.normal, jnp.asarray(factor)[..., None] * self.penalty, self.factor)

    def __call__(self, b: Pixels, /) -> Pixels:
        """The image `x` with `(AᴴA + ρ LᴴL) x = b`."""
        groups = _gather(by_example(partial(jnp.fft.fft2, axes=AXES), b), self.factor)
        spectrum = _scatter(jnp.einsum("...gk,...k->...g", self.inverse, groups), self.factor)
        x = by_example(partial(jnp.fft.ifft2, axes=AXES), spectrum)
        return x if jnp.iscomplexobj(b) else x.real


def _inverted(normal: Any, penalty: Any, factor: int) -> AliasedInverse:
    matrices = normal + penalty[..., None] * jnp.eye(factor**2)
    return AliasedInverse(normal, penalty, jnp.linalg.inv(matrices), factor)


def aliased_inverse(operator: Operator, regularized: Any, like: jax.ShapeDtypeStruct) -> AliasedInverse | None:
    """The inverse, if `operator` is a burst that decimates circular convolutions (shifts, blurs); else None.

    `regularized` is the whole spectrum of `Σ ρ LᴴL`, None where that is not circular.
    With `Hₖ` the transfer function of frame k, a group's matrix is `Σₖ conj(Hₖ[m]) Hₖ[n] / factor²`, for frequencies
    `m` and `n` that decimation maps to the same one (Tsai and Huang, 1984).
    """
    if regularized is None or not isinstance(operator, Frames):
        return None
    dtype = jnp.result_type(like.dtype, jnp.complex64)
    parts = operator.split_each(like.shape, dtype)
    if parts is None or not isinstance(parts[0], Downsample):
        return None
    shape = (*like.shape[:-3], operator.count, *like.shape[-3:])
    transfer = parts[1].transfer(shape, dtype)
    if transfer is None:
        return None
    factor = parts[0].factor
    height, width = shape[-3:-1]
    seen = _gather(jnp.broadcast_to(transfer, (*transfer.shape[:-3], height, width, transfer.shape[-1])), factor)
    if transfer.ndim == 3 or transfer.shape[-4] == 1:  # the same for all frames
        seen = (operator.count**0.5) * (seen if transfer.ndim > 3 else seen[None])
    normal = jnp.einsum("...kchwm,...kchwn->...chwmn", seen.conj(), seen) / factor**2
    *batch, _, _, channels = jnp.shape(regularized)
    return _inverted(normal, _gather(jnp.broadcast_to(regularized, (*batch, height, width, channels)), factor), factor)


def _gather(spectrum: Inexact[Array, "... H W C"], factor: int) -> Inexact[Array, "... C h w g"]:
    """Frequencies that decimation does not tell apart, side by side."""
    *batch, height, width, channels = spectrum.shape
    groups = spectrum.reshape(*batch, factor, height // factor, factor, width // factor, channels)
    return jnp.moveaxis(groups, (-1, -4, -2, -5, -3), (-5, -4, -3, -2, -1)).reshape(
        *batch, channels, height // factor, width // factor, factor**2
    )


def _scatter(groups: Inexact[Array, "... C h w g"], factor: int) -> Inexact[Array, "... H W C"]:
    """The inverse of `_gather`."""
    *batch, channels, height, width, _ = groups.shape
    spectrum = groups.reshape(*batch, channels, height, width, factor, factor)
    return jnp.moveaxis(spectrum, (-5, -4, -3, -2, -1), (-1, -4, -2, -5, -3)).reshape(
        *batch, factor * height, factor * width, channels
    )

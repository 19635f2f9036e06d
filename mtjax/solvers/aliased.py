"""Bursts in the Fourier domain: decimation mixes `factor`² frequencies, and only those, so that each such group of
frequencies is a small linear system of its own."""

from typing import Any

import jax
import jax.numpy as jnp

from mtjax.physics.frames import Frames
from mtjax.physics.operator import AXES, Operator, Pixels
from mtjax.physics.sampling import Downsample
from mtjax.pytree import pytree, static
from mtjax.solvers.proximal import per_example
from mtjax.typing import Array, Inexact

Blocks = Inexact[Array, "... C h w g g"]  # one matrix for each group of frequencies


@pytree
class AliasedInverse:
    """`(AᴴA + ρ LᴴL)⁻¹` of a burst `A` and circular `L`, as the inverses of the matrices of all groups."""

    blocks: Blocks
    factor: int = static()

    def __call__(self, b: Pixels, /) -> Pixels:
        """The image `x` with `(AᴴA + ρ LᴴL) x = b`."""
        groups = _gather(jnp.fft.fft2(b, axes=AXES), self.factor)
        x = jnp.fft.ifft2(_scatter(jnp.einsum("...gk,...k->...g", self.blocks, groups), self.factor), axes=AXES)
        return x if jnp.iscomplexobj(b) else x.real


def aliased_inverse(
    operator: Operator, regularizer: Operator, rho: Any, like: jax.ShapeDtypeStruct
) -> AliasedInverse | None:
    """The inverse, if `operator` is a burst that decimates circular convolutions (shifts, blurs), and `L` is circular.

    With `Hₖ` the transfer function of frame k, a group's matrix is `Σₖ conj(Hₖ[m]) Hₖ[n] / factor²`, for frequencies
    `m` and `n` that decimation maps to the same one (Tsai and Huang, 1984).
    """
    if not isinstance(operator, Frames):
        return None
    dtype = jnp.result_type(like.dtype, jnp.complex64)
    parts, gram = operator.split_each(like.shape, dtype), regularizer.gram(like.shape, dtype)
    if parts is None or gram is None or not isinstance(parts[0], Downsample):
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
    penalty = _gather(per_example(rho, like) * jnp.broadcast_to(gram, (height, width, 1)), factor)
    return AliasedInverse(jnp.linalg.inv(normal + penalty[..., None] * jnp.eye(factor**2)), factor)


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

"""One image over several devices, each with some of its rows: for images too large for one device.

Where JAX's mesh in context has an axis "rows", `fourier`, `inverse_fourier` and `roll` of `operator.py` are those of
this file, and any solver that looks beyond a pixel through these alone never has the image whole on a device:

    with jax.set_mesh(physics.row_mesh()):
        y = jax.device_put(y, PartitionSpec("rows"))
        x = jax.jit(solvers.admm)(y, A, solvers.TotalVariation(1e-3)).image

These are `wiener` and `tikhonov`, and with circular blurs, masks and circular total variation `admm`, `hqs`, `fista`
and `pdhg`: proved in `tests/solvers/test_split_image.py`. XLA splits what is pixelwise, and sums over all devices.
Others give the same answers too, but may gather the image for them. The mesh may also have an axis "data", for a batch.

A Fourier transform goes along the rows that a device has, exchanges rows for columns ("all-to-all"), and goes along
the columns; spectra stay split by columns. A real image of W columns has a spectrum of W // 2 + 1, which zeros fill up
to a multiple of the number of devices (`columns`).
"""

from typing import Any

import jax.numpy as jnp
from jax import lax

from mtjax.physics.sharding import ROWS, by_rows, parts
from mtjax.typing import Array, Inexact

Pixels = Inexact[Array, "... H W C"]
Spectrum = Inexact[Array, "... H F C"]

_DOWN, _RIGHT = -3, -2  # the axes of rows and columns


def columns(width: int, real: bool) -> int:
    """How many columns the spectrum of images of this width has: of real ones, the half and what fills it up.

    ValueError if the devices cannot share them.
    """
    count = parts(ROWS)
    if real and count <= max(width // 2, 1):
        return -(-(width // 2 + 1) // count) * count
    if real or width % count:
        expected = f"at least {2 * count}" if real else f"a multiple of {count}"
        raise ValueError(f"the image has {width} columns; expected {expected}, to be split over {count} devices")
    return width


def fourier(x: Pixels) -> Spectrum:
    """Spectrum `[..., H, F, C]`, split by columns, of images split by rows."""
    _check_rows(x)
    real = not jnp.iscomplexobj(x)
    width = x.shape[_RIGHT]
    fill = columns(width, real) - (width // 2 + 1 if real else width)

    def own(x: Any) -> Any:
        spectrum = jnp.fft.rfft(x, axis=_RIGHT) if real else jnp.fft.fft(x, axis=_RIGHT)
        spectrum = jnp.pad(spectrum, [(0, 0)] * (x.ndim - 2) + [(0, fill), (0, 0)])
        return jnp.fft.fft(_exchange(spectrum, _RIGHT, _DOWN), axis=_DOWN)

    return by_rows(own, x, _DOWN, _RIGHT)


def inverse_fourier(spectrum: Spectrum, like: Any) -> Pixels:
    """The images, split by rows, of which this is the spectrum; `like` has their shape and dtype."""
    real = not jnp.issubdtype(like.dtype, jnp.complexfloating)
    width = like.shape[_RIGHT]

    def own(spectrum: Any) -> Any:
        rows = _exchange(jnp.fft.ifft(spectrum, axis=_DOWN), _DOWN, _RIGHT)
        if not real:
            return jnp.fft.ifft(rows, axis=_RIGHT)
        return jnp.fft.irfft(rows[..., : width // 2 + 1, :], n=width, axis=_RIGHT)

    return by_rows(own, spectrum, _RIGHT, _DOWN)


def roll(x: Pixels, shift: int) -> Pixels:
    """`jnp.roll` along the rows, by less than a device has: each gets `|shift|` rows from a neighbor.

    The gradient of `jnp.roll` itself would fill up what a device has with zeros to a whole image.
    """
    _check_rows(x)
    count = parts(ROWS)
    pairs = [(k, (k + (1 if shift > 0 else -1)) % count) for k in range(count)]

    def own(x: Any) -> Any:
        rows = x.shape[_DOWN]
        cut = rows - shift if shift > 0 else -shift
        top, bottom = (lax.slice_in_dim(x, *ends, axis=x.ndim + _DOWN) for ends in ((0, cut), (cut, rows)))
        if shift > 0:
            return jnp.concatenate([lax.ppermute(bottom, ROWS, pairs), top], _DOWN)
        return jnp.concatenate([bottom, lax.ppermute(top, ROWS, pairs)], _DOWN)

    return by_rows(own, x, _DOWN, _DOWN)


def _check_rows(x: Any) -> None:
    rows, count = x.shape[_DOWN], parts(ROWS)
    if rows % count:
        raise ValueError(f"the image has {rows} rows; expected a multiple of {count}, to be split over {count} devices")


def _exchange(x: Any, apart: int, together: int) -> Any:
    """Splits one axis over the devices, which was whole, and joins another, which was split."""
    return lax.all_to_all(x, ROWS, x.ndim + apart, x.ndim + together, tiled=True)

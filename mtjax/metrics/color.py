"""How far colors are apart to the eye."""

import jax.numpy as jnp
import numpy as np
from jax import lax

from mtjax.typing import Array, Float, PerExample

Colors = Float[Array, "B H W 3"]

# IEC 61966-2-1: linear sRGB to CIE XYZ, each divided by that of its white, D65.
_XYZ = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
) / np.array([[0.95047], [1.0], [1.08883]])


def lab(x: Colors) -> Colors:
    """CIE L*a*b* (1976) of sRGB colors in [0, 1], for the white D65 and the observer of 2°."""
    linear = jnp.where(x > 0.04045, ((jnp.maximum(x, 0.04045) + 0.055) / 1.055) ** 2.4, x / 12.92)
    xyz = jnp.einsum("ij,...j->...i", jnp.asarray(_XYZ, x.dtype), linear, precision=lax.Precision.HIGHEST)
    f = jnp.where(xyz > (6 / 29) ** 3, jnp.cbrt(jnp.maximum(xyz, (6 / 29) ** 3)), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return jnp.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


def delta_e(x: Colors, y: Colors) -> PerExample:
    """The mean color difference ΔE*ab over pixels (CIE 1976), of sRGB images in [0, 1]; about 2 can just be seen."""
    return jnp.linalg.norm(lab(x) - lab(y), axis=-1).mean((1, 2))

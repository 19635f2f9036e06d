"""The direct inverse of parallel-beam tomography."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from mtjax.physics.operator import check_choice
from mtjax.physics.sharding import by_example
from mtjax.physics.tomography import Radon
from mtjax.solvers.solution import Solution, Status, as_images, finish
from mtjax.typing import Array, Float

FILTERS = ("ramp", "shepp-logan", "cosine", "hamming", "hann")


def filtered_back_projection(y: Any, operator: Radon, filter: str = "ramp") -> Solution:
    """Each projection times `|frequency|`, spread back over the image (Kak and Slaney, 1988, section 3.3).

    `y` is `[..., angles, detectors, C]`, its angles evenly spread over a half turn or a full one. The ramp is the
    band-limited one, sampled in space, so that means are right; `filter` is what damps its high frequencies: nothing
    ("ramp"), a sinc ("shepp-logan"), a cosine, or a Hamming or Hann window. Exact but for what finitely many angles
    and detectors miss; pixels that some projections do not see are wrong. `residual` is 0, as nothing is iterated.
    """
    check_choice("filter", filter, FILTERS)
    y, plain = as_images(y)
    operator.input_shape(y.shape)
    detectors = y.shape[-2]
    size = 1 << (2 * detectors - 1).bit_length()  # room for the linear convolution
    response = _response(filter, size).astype(y.dtype)[:, None]

    def damped(y: Any) -> Any:
        return jnp.fft.irfft(jnp.fft.rfft(y, size, axis=-2) * response, size, axis=-2)[..., :detectors, :]

    filtered = by_example(damped, y)
    image = operator.adjoint(filtered) * (jnp.pi / len(operator.angles))
    return finish(image, plain, Status.CONVERGED, 1, jnp.zeros((), image.dtype))


def _response(name: str, size: int) -> Float[Array, "F"]:
    """Half spectrum of the ramp `h(0) = 1/4, h(odd n) = −1/(πn)²`, times the window."""
    distance = np.abs(np.fft.fftfreq(size, 1 / size))
    odd = distance % 2 == 1
    ramp = np.where(odd, -1 / (np.pi * np.where(odd, distance, 1)) ** 2, 0)
    ramp[0] = 0.25
    frequency = np.fft.rfftfreq(size)
    window = {
        "ramp": np.ones_like(frequency),
        "shepp-logan": np.sinc(frequency),
        "cosine": np.cos(np.pi * frequency),
        "hamming": 0.54 + 0.46 * np.cos(2 * np.pi * frequency),
        "hann": 0.5 + 0.5 * np.cos(2 * np.pi * frequency),
    }[name]
    return jnp.asarray(np.fft.rfft(ramp).real * window)

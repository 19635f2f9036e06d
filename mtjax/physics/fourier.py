"""Sub-sampled Fourier measurements: magnetic resonance imaging, with one coil or several."""

import bisect
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mtjax.physics.operator import AXES, Measured, Operator, Pixels, Shape, Spectrum, squared_magnitude
from mtjax.physics.sharding import by_example
from mtjax.pytree import pytree, static
from mtjax.typing import Array, Bool, Float, Key


@pytree
class Fourier(Operator):
    """`A x = mask · FFT(coil_k · x)`: the frequencies that `mask` keeps, as seen by each coil.

    The FFT over height and width is orthonormal, and frequency 0 is at the corner `[0, 0]`: a mask with its center in
    the middle goes in through `jnp.fft.ifftshift`. `mask` is `[H, W]`, or per example `[B, H, W, 1]`. `coils` are
    sensitivities `[H, W, K]`, or per example `[B, H, W, K]`; with them images have one channel and `y` has K
    (Pruessmann et al., 1999), otherwise each channel is measured by itself.

    Images are complex: `y` is complex for real ones too, and `adjoint` is the conjugate transpose, which gives complex
    images (of a real image, `adjoint(y).real` is what the real adjoint gives). With `real=True` all is real instead:
    images are real, `y` holds real parts and then imaginary parts as twice as many channels, and solvers find the real
    image, for which each frequency also tells the opposite one.
    """

    mask: Any  # as above; kept as [..., H, W, 1]
    coils: Any = None
    real: bool = static(default=False)

    def __post_init__(self):
        mask = 1.0 * jnp.asarray(self.mask)
        mask = mask[..., None] if mask.ndim == 2 else mask
        if mask.ndim < 3 or mask.shape[-1] != 1:
            raise ValueError(f"mask has shape {jnp.shape(self.mask)}; expected [H, W] or [B, H, W, 1]")
        object.__setattr__(self, "mask", mask)
        if self.coils is not None:
            coils = 1.0 * jnp.asarray(self.coils)
            if coils.ndim < 3 or coils.shape[-3:-1] != mask.shape[-3:-1]:
                raise ValueError(f"coils have shape {coils.shape}; expected [H, W, K] with {mask.shape[-3:-1]} pixels")
            object.__setattr__(self, "coils", coils)

    def __call__(self, x: Pixels, /) -> Measured:
        """`[..., H, W, C]` to complex `[..., H, W, C]`, with coils `[..., H, W, K]`; twice the channels if `real`."""
        self.output_shape(x.shape)
        if self.coils is not None:
            x = _like(self.coils, x) * x
        y = _like(self.mask, x) * by_example(partial(jnp.fft.fft2, axes=AXES, norm="ortho"), x)
        return jnp.concatenate([y.real, y.imag], -1) if self.real else y

    def adjoint(self, y: Measured, /) -> Pixels:
        """The zero-filled image `Σ_k coil_k* · FFTᴴ(mask · y_k)`: complex, or its real part if `real`."""
        self.input_shape(y.shape)
        if self.real:
            real, imaginary = jnp.split(y, 2, -1)
            y = real + 1j * imaginary
        x = by_example(partial(jnp.fft.ifft2, axes=AXES, norm="ortho"), _like(self.mask, y).conj() * y)
        if self.coils is not None:
            x = jnp.sum(_like(self.coils, x).conj() * x, -1, keepdims=True)
        return x.real if self.real else x

    def norm_bound(self) -> Array:
        """Largest weight of the mask times, with coils, the root of the largest `Σ_k |coil_k|²` of a pixel."""
        largest = jnp.abs(self.mask).max()
        if self.coils is None:
            return largest
        return largest * jnp.sqrt(squared_magnitude(self.coils).sum(-1).max())

    def output_shape(self, image_shape: Shape) -> Shape:
        """The image's shape, with K channels if there are coils, and twice as many if `real`."""
        if len(image_shape) < 3 or tuple(image_shape[-3:-1]) != self.mask.shape[-3:-1]:
            raise ValueError(f"mask has shape {self.mask.shape}, which does not match the image's {tuple(image_shape)}")
        *batch, height, width, channels = image_shape
        if self.coils is not None:
            if channels != 1:
                raise ValueError(f"x has {channels} channels; expected 1 where there are coils")
            channels = self.coils.shape[-1]
        return (*batch, height, width, 2 * channels if self.real else channels)

    def input_shape(self, y_shape: Shape) -> Shape:
        """The image's shape."""
        *batch, height, width, channels = y_shape
        channels = channels // 2 if self.real else channels
        image_shape = (*batch, height, width, channels if self.coils is None else 1)
        if self.output_shape(image_shape) != tuple(y_shape):
            raise ValueError(f"y has shape {tuple(y_shape)}; expected {self.output_shape(image_shape)}")
        return image_shape

    def gram(self, shape: Shape, dtype: Any) -> Spectrum | None:
        """Without coils `mask²`, of opposite frequencies their mean if `real`; None where `A` is not meant for dtype.

        `A` without `real` has none for real images, which `AᴴA` makes complex.
        """
        if self.coils is not None or self.real == jnp.issubdtype(dtype, jnp.complexfloating):
            return None
        return self._seen(squared_magnitude(self.mask), shape, dtype)

    def range_gram(self, y_shape: Shape, dtype: Any) -> None:
        """None: `AAᴴ` weights each frequency of `y`, it does not convolve."""
        return

    def approximate_gram(self, shape: Shape, dtype: Any) -> Spectrum | None:
        """`‖A e‖²` of each plane wave `e`: the nearest circular convolution (T. Chan, 1988); `gram` without coils."""
        if self.coils is None or self.real == jnp.issubdtype(dtype, jnp.complexfloating):
            return self.gram(shape, dtype)
        # The spectrum of coil_k · e is that of coil_k, moved: a correlation of the mask with Σ_k |FFT(coil_k)|².
        power = squared_magnitude(jnp.fft.fft2(self.coils, axes=AXES, norm="ortho")).sum(-1, keepdims=True)
        weights = jnp.fft.fft2(squared_magnitude(self.mask), axes=AXES)
        seen = jnp.fft.ifft2(weights * jnp.fft.fft2(power, axes=AXES).conj(), axes=AXES).real
        return self._seen(jnp.maximum(seen, 0) / (shape[-3] * shape[-2]), shape, dtype)

    def _seen(self, weights: Float[Array, "... H W 1"], shape: Shape, dtype: Any) -> Spectrum:
        """Weights of all frequencies as the spectrum of images of this dtype."""
        if self.real:
            opposite = jnp.roll(jnp.flip(weights, AXES), 1, AXES)
            weights = ((weights + opposite) / 2)[..., : shape[-2] // 2 + 1, :]
        return weights.astype(jnp.finfo(dtype).dtype)


def _like(weights: Any, x: Any) -> Any:
    """Weights in the precision of `x`, complex only if they are."""
    least = jnp.complex64 if jnp.iscomplexobj(weights) else jnp.float32
    return weights.astype(jnp.promote_types(jnp.finfo(x.dtype).dtype, least))


def cartesian_mask(
    key: Key[Array, ""], shape: Shape, keep: float | int = 0.3, center: float | int = 0.08
) -> Float[Array, "H W"]:
    """Whole rows of frequencies: the share `center` around frequency 0, and random others up to the share `keep`.

    `shape` is `(H, W)`; frequency 0 is at the corner. ValueError unless `0 <= center <= keep <= 1`, `keep` not 0.
    """
    if not (0 <= center <= keep <= 1 and keep > 0):
        raise ValueError(f"center={center} and keep={keep} are not shares of rows; expected 0 <= center <= keep <= 1")
    height, width = shape[:2]
    distance = np.abs(np.fft.fftfreq(height, 1 / height))
    always = np.argsort(np.argsort(distance, kind="stable")) < round(center * height)
    score = jax.random.uniform(key, (height,)) + always
    rank = jnp.argsort(jnp.argsort(-score))
    return jnp.broadcast_to((rank < max(1, round(keep * height)))[:, None], (height, width)).astype(float)


def radial_mask(shape: Shape, keep: float | int = 0.3) -> Float[Array, "H W"]:
    """The fewest lines through frequency 0, at even angles, that together keep at least the share `keep`.

    `shape` is `(H, W)`; frequency 0 is at the corner. ValueError unless `0 < keep <= 1`.
    """
    if not 0 < keep <= 1:
        raise ValueError(f"keep={keep} is not a share of frequencies; expected a number in (0, 1]")
    most = 4 * sum(shape[:2])
    count = 1 + bisect.bisect_left(range(1, most), keep, key=lambda lines: _lines(shape, lines).mean())
    return jnp.asarray(_lines(shape, count), float)


def _lines(shape: Shape, count: int) -> Bool[np.ndarray, "H W"]:
    """The grid points nearest to `count` lines through frequency 0, which is at the corner."""
    height, width = shape[:2]
    along = np.linspace(-0.5, 0.5, 4 * max(height, width) + 1) * np.sqrt(2)  # in cycles per pixel
    angle = np.pi * np.arange(count)[:, None] / count
    down, right = np.rint(height * along * np.sin(angle)), np.rint(width * along * np.cos(angle))
    inside = (np.abs(down) <= height / 2) & (np.abs(right) <= width / 2)
    mask = np.zeros((height, width), bool)
    mask[down[inside].astype(int) % height, right[inside].astype(int) % width] = True
    return mask

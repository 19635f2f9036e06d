"""Registration: by how much, to a hundredth of a pixel, one image is moved against another."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from mtjax.physics import kernels
from mtjax.physics.blur import Blur
from mtjax.physics.frames import Frames, moved_burst, split_frames
from mtjax.physics.operator import Operator, check_choice
from mtjax.physics.warp import grid, homography_flow, sample, scale_homography
from mtjax.pytree import pytree
from mtjax.solvers.solution import Status, as_images
from mtjax.typing import Array, Float, Inexact, Int

Pair = Float[Array, "... H W C"]
Matrix = Float[Array, "... 3 3"]
MODELS = ("translation", "affine", "homography")
_SMOOTHING = 1.0  # pixels: what is finer is aliased or noise, and what is left is interpolated without a trace
_SMALLEST = 24  # pixels of the smaller side of a pyramid's top


@pytree
class Registration:
    """How `moving` becomes `fixed`, per pair (the batch axes).

    `matrix` `[..., 3, 3]` takes (row, column, 1) of a pixel of `fixed` to its place in `moving`:
    `Warp(homography_flow(matrix, (H, W)))(moving)` is `fixed`. `offset` `[..., 2]` (down, right) is how far that moves
    the center of the image; for model "translation" `Shift(offset)(moving)` is `fixed`. `residual` is the root mean
    square of what differs after that (of the smoothed images), `status` converged if the last step was less than
    1/1000 pixel.
    """

    offset: Float[Array, "... 2"]
    matrix: Matrix
    residual: Float[Array, "..."]
    status: Int[Array, "..."]


def register(
    moving: Any, fixed: Any, model: str = "translation", iterations: int = 10, upsample: int = 4
) -> Registration:
    """Finds the motion between pairs of images `[..., H, W, C]` (or `[H, W]`), whose batch axes broadcast.

    `register(frames[..., :1, :, :, :], frames)` so gives, for a burst `[..., K, H, W, C]`, offsets with which
    `Shift(offset)` makes each frame out of the first. `model` is "translation", "affine" or "homography".

    Phase correlation to 1/`upsample` pixel, then on each level of a Gaussian pyramid (for translations on the full
    size alone) `iterations` steps of Gauss and Newton in the inverse compositional form of Baker and Matthews (2004),
    on images smoothed by 1 pixel and away from their borders. Differentiable with respect to both images through
    the Gauss-Newton steps. ValueError if images do not match or are smaller than 16 pixels.
    """
    check_choice("model", model, MODELS)
    moving, fixed = as_images(moving)[0], as_images(fixed)[0]
    if moving.shape[-3:] != fixed.shape[-3:] or min(fixed.shape[-3:-1]) < 16:
        raise ValueError(f"moving has shape {moving.shape}, fixed {fixed.shape}; expected the same, 16x16 or more")
    if iterations < 1:
        raise ValueError(f"iterations={iterations} does nothing; expected at least 1")
    batch = jnp.broadcast_shapes(moving.shape[:-3], fixed.shape[:-3])
    pairs = [jnp.broadcast_to(x, (*batch, *x.shape[-3:])).reshape(-1, *x.shape[-3:]) for x in (moving, fixed)]
    found = jax.vmap(lambda one, two: _register(one, two, model, iterations, upsample))(*pairs)
    return jax.tree.map(lambda leaf: leaf.reshape(*batch, *leaf.shape[1:]), found)


def registered(y: Float[Array, "... h w KC"], operator: Operator) -> Frames:
    """The operator of a burst (`physics.burst_operator`) of frames `y` whose motion is unknown, found by `register`.

    ValueError for an operator of another kind.
    """
    if not isinstance(operator, Frames):
        raise ValueError(f"operator is no burst, but {type(operator).__name__}; see burst_operator")
    frames = split_frames(y, operator.count)
    return moved_burst(operator, register(frames[..., :1, :, :, :], frames).offset)


def phase_correlation(moving: Any, fixed: Any, upsample: int = 1) -> Float[Array, "... 2"]:
    """The offset `[..., 2]` (down, right), in multiples of 1/`upsample` pixel, with `Shift(offset)(moving) = fixed`.

    The peak of the whitened cross-correlation, refined by a matrix product with the Fourier basis near it
    (Guizar-Sicairos, Thurman and Fienup, 2008); channels are averaged. It is what
    `skimage.registration.phase_cross_correlation(fixed, moving, upsample_factor=upsample)` finds. Not differentiable.
    """
    if upsample < 1 or upsample != int(upsample):
        raise ValueError(f"upsample={upsample} is not a refinement; expected an integer of at least 1")
    moving, fixed = (as_images(x)[0].mean(-1) for x in (moving, fixed))
    product = jnp.fft.fft2(fixed) * jnp.fft.fft2(moving).conj()
    eps = jnp.finfo(fixed.dtype).eps
    product = product / jnp.maximum(jnp.abs(product), 100 * eps)
    return _peak(product, upsample)


def _peak(product: Inexact[Array, "... H W"], upsample: int) -> Float[Array, "... 2"]:
    """Where the correlation whose spectrum is `product` is largest in magnitude."""
    height, width = product.shape[-2:]
    size = jnp.array([height, width])
    place = _argmax(jnp.abs(jnp.fft.ifft2(product)))
    coarse = jnp.where(place > jnp.trunc(size / 2), place - size, place).astype(product.real.dtype)
    if upsample == 1:
        return coarse
    count = -(-3 * upsample // 2)
    near = (jnp.arange(count, dtype=coarse.dtype) - count // 2) / upsample
    rows, columns = (coarse[..., i, None] + near for i in (0, 1))
    left, right = _basis(rows, height), _basis(columns, width)
    values = jnp.einsum("...rh,...hw,...cw->...rc", left, product, right)
    size = jnp.abs(values)
    return jnp.where(size.max((-2, -1), keepdims=True)[..., 0] > 0, coarse + near[_argmax(size)], coarse)


def _basis(places: Float[Array, "... n"], size: int) -> Inexact[Array, "... n f"]:
    """`exp(2πi f · place)` for all frequencies of `size` pixels."""
    return jnp.exp(2j * jnp.pi * places[..., None] * jnp.fft.fftfreq(size, dtype=places.dtype))


def _argmax(values: Float[Array, "... H W"]) -> Int[Array, "... 2"]:
    index = jnp.argmax(values.reshape(*values.shape[:-2], -1), -1)
    return jnp.stack([index // values.shape[-1], index % values.shape[-1]], -1)


def _register(
    moving: Float[Array, "H W C"], fixed: Float[Array, "H W C"], model: str, iterations: int, upsample: int
) -> Registration:
    """One pair."""
    levels = [(_smooth(moving), _smooth(fixed))]
    while model != "translation" and min(levels[-1][0].shape[:2]) >= 2 * _SMALLEST:
        levels.append(tuple(_smooth(x[::2, ::2]) for x in levels[-1]))  # type: ignore[arg-type]
    scale = 2 ** (len(levels) - 1)
    start = lax.stop_gradient(_start(moving, fixed, upsample))
    matrix = scale_homography(_translation(start), 1 / scale)
    moved = residual = jnp.zeros((), fixed.dtype)
    for level, (one, two) in enumerate(reversed(levels)):
        matrix = matrix if level == 0 else scale_homography(matrix, 2)
        matrix, moved, residual = _refine(one, two, matrix, model, iterations)
    center = (jnp.array(fixed.shape[:2], fixed.dtype) - 1) / 2
    place = matrix @ jnp.append(center, 1)
    finite = jnp.isfinite(matrix).all()
    status = jnp.where(moved < 1e-3, int(Status.CONVERGED), int(Status.ITERATION_LIMIT))
    status = jnp.where(finite, status, int(Status.DIVERGED)).astype(jnp.int32)
    return Registration(center - place[:2] / place[2], matrix, residual, status)


def _start(moving: Float[Array, "H W C"], fixed: Float[Array, "H W C"], upsample: int) -> Float[Array, "2"]:
    """Phase correlation of windowed images, low frequencies counting more: their noise is smaller."""
    height, width = fixed.shape[:2]
    window = (jnp.hanning(height + 2)[1:-1, None] * jnp.hanning(width + 2)[1:-1]).astype(fixed.dtype)
    spectra = [jnp.fft.fft2(window * (x.mean(-1) - x.mean())) for x in (fixed, moving)]
    product = spectra[0] * spectra[1].conj()
    product = product / jnp.maximum(jnp.abs(product), 100 * jnp.finfo(fixed.dtype).eps)
    squared = jnp.fft.fftfreq(height)[:, None] ** 2 + jnp.fft.fftfreq(width)[None, :] ** 2
    return _peak(product * jnp.exp(-2 * (jnp.pi * _SMOOTHING) ** 2 * squared), upsample)


def _smooth(x: Float[Array, "H W C"]) -> Float[Array, "H W C"]:
    return Blur(kernels.gaussian(_SMOOTHING).astype(x.dtype), "edge")(x)


def _translation(offset: Float[Array, "2"]) -> Matrix:
    return jnp.eye(3, dtype=offset.dtype).at[:2, 2].set(-offset)


def _refine(
    moving: Float[Array, "H W C"], fixed: Float[Array, "H W C"], matrix: Matrix, model: str, iterations: int
) -> tuple[Matrix, Float[Array, ""], Float[Array, ""]]:
    """Gauss-Newton steps; also the last step's largest motion in pixels, and the root mean square difference."""
    size = fixed.shape[:2]
    dtype = fixed.dtype
    places = grid(size, dtype)
    center, half = (jnp.array(size, dtype) - 1) / 2, max(size) / 2
    # In coordinates from about -1 to 1, so that all parameters are of one size.
    normalize = jnp.array([[1 / half, 0, -center[0] / half], [0, 1 / half, -center[1] / half], [0, 0, 1]], dtype)
    from_normal = jnp.array([[half, 0, center[0]], [0, half, center[1]], [0, 0, 1]], dtype)
    slopes = half * _derivatives(fixed)  # with respect to those coordinates
    jacobian = jnp.einsum("hwci,hwip->hwcp", slopes, _motions((places - center) / half, model))
    window = _window(size, dtype)
    generators = jnp.asarray(_GENERATORS[model], dtype)

    def difference(matrix: Matrix) -> tuple[Any, Any]:
        points = places + homography_flow(matrix, (size[0], size[1]))
        last = jnp.array(size, dtype) - 1
        weight = window * lax.stop_gradient(((points >= 0) & (points <= last)).all(-1, keepdims=True))
        return weight, sample(moving, points, "cubic") - fixed

    def body(matrix: Matrix, _: None) -> tuple[Matrix, Any]:
        weight, residual = difference(matrix)
        normal = jnp.einsum("hwcp,hwcq->pq", weight[..., None] * jacobian, jacobian)
        damping = 1e-6 * jnp.trace(normal) / len(normal) + jnp.finfo(dtype).tiny
        slope = jnp.einsum("hwcp,hwc->p", jacobian, weight * residual)
        step = jnp.linalg.solve(normal + damping * jnp.eye(len(normal), dtype=dtype), slope)
        change = jnp.eye(3, dtype=dtype) + jnp.einsum("p,pij->ij", step, generators)
        # The step moves `fixed`; what it asks of `moving` is the inverse (Baker and Matthews, 2004).
        new = matrix @ from_normal @ jnp.linalg.inv(change) @ normalize
        return new / new[2, 2], half * jnp.abs(step).max()

    matrix, moved = lax.scan(jax.checkpoint(body), matrix, None, length=iterations)
    weight, residual = difference(matrix)
    squares = jnp.sum(weight * residual**2) / jnp.maximum(jnp.sum(weight) * fixed.shape[-1], 1e-6)
    return matrix, moved[-1], jnp.sqrt(squares + jnp.finfo(dtype).tiny)


def _matrices(*entries: tuple[int, int]) -> list[list[list[int]]]:
    return [[[int((i, j) == entry) for j in range(3)] for i in range(3)] for entry in entries]


# The directions in which a homography is moved away from the identity.
_GENERATORS = {
    "translation": _matrices((0, 2), (1, 2)),
    "affine": _matrices((0, 2), (1, 2), (0, 0), (0, 1), (1, 0), (1, 1)),
    "homography": _matrices((0, 2), (1, 2), (0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)),
}


def _motions(p: Float[Array, "H W 2"], model: str) -> Float[Array, "H W 2 P"]:
    """How each generator moves the point `p`, to first order."""
    homogeneous = jnp.concatenate([p, jnp.ones_like(p[..., :1])], -1)
    moved = jnp.einsum("kij,hwj->hwik", jnp.asarray(_GENERATORS[model], p.dtype), homogeneous)
    return moved[..., :2, :] - p[..., None] * moved[..., 2:, :]


def _derivatives(x: Float[Array, "H W C"]) -> Float[Array, "H W C 2"]:
    """Central differences of fourth order (down, right)."""
    padded = jnp.pad(x, ((2, 2), (2, 2), (0, 0)), mode="edge")

    def along(axis: int) -> Any:
        at = [jnp.roll(padded, -k, axis)[2:-2, 2:-2] for k in (-2, -1, 1, 2)]
        return (8 * (at[2] - at[1]) - (at[3] - at[0])) / 12

    return jnp.stack([along(0), along(1)], -1)


def _window(size: tuple[int, ...], dtype: Any) -> Float[Array, "H W 1"]:
    """1 inside, falling to 0 over an eighth of the image at each border."""

    def along(count: int) -> Any:
        inward = jnp.minimum(jnp.arange(count), jnp.arange(count)[::-1]).astype(dtype)
        return jnp.sin(jnp.pi / 2 * jnp.clip((inward + 0.5) / max(count / 8, 2), 0, 1)) ** 2

    return along(size[0])[:, None, None] * along(size[1])[None, :, None]

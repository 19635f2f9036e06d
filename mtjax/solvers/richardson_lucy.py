"""Deconvolution under Poisson noise: the method of Richardson and Lucy, with total variation and acceleration."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from mtjax.physics.blur import _PAD_MODES, Blur
from mtjax.physics.operator import AXES, Measured, Operator, Pixels, Shape, Spectrum, zero_border
from mtjax.physics.sharding import by_example
from mtjax.pytree import pytree, replace, static
from mtjax.solvers.data_terms import Poisson
from mtjax.solvers.fixed_point import run
from mtjax.solvers.priors import Gradient
from mtjax.solvers.problem import warm
from mtjax.solvers.proximal import dot, per_example
from mtjax.solvers.solution import Solution, as_images, image_like, start_image
from mtjax.typing import Array, Inexact

Values = Inexact[Array, "..."]
_EDGE = 1e-2  # jumps well below this count as smooth in the total variation
_FEW, _LARGE = 100, 2**16  # taps of a kernel, and pixels, up to and from which on a sum of shifts is faster
_GRADIENT = Gradient("reflect")


def richardson_lucy(
    y: Any,
    operator: Operator,
    tv_weight: Any = 0.0,
    accelerate: bool = False,
    background: Any = 0.0,
    iterations: int | None = None,
    tolerance: float | None = None,
    max_iterations: int = 500,
    init: Any = None,
    trace: bool = False,
) -> Solution:
    """`argmax` of the likelihood of Poisson counts `y` of mean `A x + background`, for `A` and `x` without negatives.

    `x ← x / (Aᵀ1) · Aᵀ(y / (A x + background))` (Richardson, 1972; Lucy, 1974; Shepp and Vardi, 1982): the likelihood
    never falls, `x` stays non-negative, and `Σ (Aᵀ1) x = Σ y` after each iteration where there is no background. Few
    iterations regularize. Pixels that no observation depends on keep their first value; negative `y` count as 0.
    `tv_weight` adds that multiple of the total variation to minus the likelihood, its slope taken at the last image
    (Dey et al., 2006): for small weights such as 0.002; with ones above 0.01 `admm` with `Poisson()` is the better way.
    `accelerate` starts each iteration ahead of the last image (Biggs and Andrews, 1997).
    `tv_weight` and `background` are numbers or one for each example. `iterations` (default 30), `tolerance` and
    `trace` are as in `admm`; `init` is an image without zeros, or an earlier solution, to start from (default: flat, of
    the right total).
    """
    y, plain = as_images(y)
    like = image_like(y, operator)
    y = jax.tree.map(lambda part: jnp.maximum(part, 0), y)
    operator = _prepared(operator, like)
    sensitivity = operator.adjoint(jax.tree.map(jnp.ones_like, y))
    plan = _Plan(
        operator=operator,
        y=y,
        sensitivity=sensitivity,
        floor=jnp.finfo(like.dtype).eps ** 0.5 * sensitivity.max((-3, -2, -1), keepdims=True),
        background=per_example(background, like),
        tv_weight=None if isinstance(tv_weight, float | int) and tv_weight == 0 else per_example(tv_weight, like),
    )
    x = _flat(plan) if init is None else start_image(init, like)
    iterations = 30 if iterations is None and tolerance is None else iterations
    options: Any = {"iterations": iterations, "tolerance": tolerance, "max_iterations": max_iterations}
    options |= {"trace": trace, "objective": _objective}
    if not accelerate:
        return run(_update, plan, x, plain, **options)
    state = (x, x, jnp.zeros_like(x), jnp.zeros((*x.shape[:-3], 1, 1, 1), x.dtype))
    return run(_accelerated, plan, warm(init, state), plain, **options, measured=_image, smooth=(_update, _image))


@pytree
class _Plan:
    operator: Operator
    y: Any
    sensitivity: Values  # Aᵀ1
    floor: Values  # pixels of less sensitivity count as not seen
    background: Values
    tv_weight: Any


def _flat(plan: _Plan) -> Values:
    """A flat image that explains all counts."""
    counts = sum(jnp.sum(part, (-3, -2, -1), keepdims=True) for part in jax.tree.leaves(plan.y))
    level = counts / plan.sensitivity.sum((-3, -2, -1), keepdims=True)
    return jnp.broadcast_to(level, plan.sensitivity.shape)


def _update(plan: _Plan, x: Values) -> tuple[Values, Values]:
    tiny = jnp.finfo(x.dtype).eps
    mean = plan.operator(x)
    ratio = jax.tree.map(lambda part, z: part / jnp.maximum(z + plan.background, tiny), plan.y, mean)
    back = jnp.maximum(plan.operator.adjoint(ratio), 0)
    seen = plan.sensitivity > plan.floor
    slope = jnp.where(seen, plan.sensitivity, 1)
    if plan.tv_weight is not None:
        slope = jnp.maximum(slope + plan.tv_weight * _tv_slope(x), slope / 10)
    x = jnp.where(seen, x * back / slope, x)
    return x, x


def _tv_slope(x: Values) -> Values:
    """Gradient of the total variation, smooth at 0."""
    down, right = _GRADIENT(x)
    scale = jax.lax.rsqrt(down**2 + right**2 + _EDGE**2)
    return _GRADIENT.adjoint((scale * down, scale * right))


def _accelerated(plan: _Plan, state: Any) -> tuple[Any, Values]:
    """State: the image, the one before, the last correction, and how far ahead to start."""
    x, before, correction, pace = state
    ahead = jnp.maximum(x + pace * (x - before), x / 2)  # never 0, where a pixel would stay
    new, _ = _update(plan, ahead)
    latest = new - ahead
    size = dot(correction, correction)
    pace = jnp.clip(dot(latest, correction) / jnp.where(size > 0, size, 1), 0, 1)
    return (new, x, latest, pace), new


def _image(state: Any) -> Values:
    return state[0]


def _objective(plan: _Plan, x: Values) -> Values:
    mean = jax.tree.map(lambda z: z + plan.background, plan.operator(x))
    value = Poisson().value(mean, plan.y)
    if plan.tv_weight is None:
        return value
    down, right = _GRADIENT(x)
    size = jnp.sqrt(down**2 + right**2 + _EDGE**2)
    return value + (plan.tv_weight * jnp.sum(size, (-3, -2, -1), keepdims=True))[..., 0, 0, 0]


@pytree
class _Prepared(Operator):
    """A blur whose transfer function has been computed, once for all iterations, on a grid of a size that FFTs like.

    The image is padded by `margins`, transformed on a grid of `size`, and the observation read from `origin` on.
    """

    spectrum: Spectrum
    margins: tuple[tuple[int, int], tuple[int, int]] = static()
    mode: str = static()
    size: tuple[int, int] = static()
    origin: tuple[int, int] = static()
    image: tuple[int, int] = static()
    observed: tuple[int, int] = static()

    def __call__(self, x: Pixels, /) -> Measured:
        """The blurred image."""
        return self._filter(self._pad(x), self.spectrum, self.origin, self.observed)

    def adjoint(self, y: Measured, /) -> Pixels:
        """The exact adjoint, by real FFTs."""
        placed = _border(y, [(start, 0) for start in self.origin])
        padded = tuple(n + sum(m) for n, m in zip(self.image, self.margins, strict=True))
        spread = self._filter(placed, self.spectrum.conj(), (0, 0), padded)
        if padded == self.image:
            return spread
        like = jax.ShapeDtypeStruct((*y.shape[:-3], *self.image, y.shape[-1]), y.dtype)
        return jax.linear_transpose(self._pad, like)(spread)[0]

    def _pad(self, x: Values) -> Values:
        return _border(x, self.margins, self.mode)

    def _filter(self, x: Values, spectrum: Values, origin: Shape, shape: Shape) -> Values:
        (top, left), (height, width) = origin, shape
        product = spectrum * by_example(partial(jnp.fft.rfft2, s=self.size, axes=AXES), x)
        whole = by_example(partial(jnp.fft.irfft2, s=self.size, axes=AXES), product)
        return whole[..., top : top + height, left : left + width, :]


def _border(x: Values, margins: Any, mode: str = "constant") -> Values:
    if mode == "constant" or not any(map(any, margins)):
        return zero_border(x, margins)
    return jnp.pad(x, [(0, 0)] * (x.ndim - 3) + [*margins, (0, 0)], mode=mode)


@pytree
class _Taps(Operator):
    """A blur with a small kernel, as a sum of shifted images: fewer operations than a Fourier transform of a large one.

    The image is padded by `margins` in this mode; None where the observation is smaller instead.
    """

    kernel: Values
    margins: tuple[tuple[int, int], tuple[int, int]] = static()
    mode: str | None = static()
    image: tuple[int, int] = static()

    def __call__(self, x: Pixels, /) -> Measured:
        """The blurred image."""
        return _taps(self._pad(x), jnp.flip(self.kernel, AXES))

    def adjoint(self, y: Measured, /) -> Pixels:
        """The exact adjoint."""
        rows, columns = self.kernel.shape[-3:-1]
        spread = _taps(_border(y, ((rows - 1, rows - 1), (columns - 1, columns - 1))), self.kernel)
        like = jax.ShapeDtypeStruct((*y.shape[:-3], *self.image, y.shape[-1]), y.dtype)
        return jax.linear_transpose(self._pad, like)(spread)[0]

    def _pad(self, x: Values) -> Values:
        return x if self.mode is None else _border(x, self.margins, self.mode)


def _taps(x: Values, kernel: Values) -> Values:
    """Correlation where the whole kernel is inside, row by row of it: more taps in one loop are slower on a CPU."""
    rows, columns = kernel.shape[-3:-1]
    height, width = x.shape[-3] - rows + 1, x.shape[-2] - columns + 1
    out = jnp.zeros((), x.dtype)
    for i in range(rows):
        row = x[..., i : i + height, :, :]
        taps = [kernel[..., i, j, :][..., None, None, :] * row[..., j : j + width, :] for j in range(columns)]
        out = jax.lax.optimization_barrier(out + sum(taps[1:], taps[0]))
    return out


def _prepared(operator: Operator, like: jax.ShapeDtypeStruct) -> Operator:
    """`operator` in the form that is fastest in a loop, if it is a blur: as taps, or with its spectrum known."""
    if not isinstance(operator, Blur) or jnp.issubdtype(like.dtype, jnp.complexfloating):
        return operator
    rows, columns = operator.kernel.shape[-3:-1]
    if rows * columns <= _FEW and like.shape[-3] * like.shape[-2] >= _LARGE:
        mode = None if operator.boundary == "valid" else _PAD_MODES.get(operator.boundary, "wrap")
        return _Taps(operator.kernel.astype(like.dtype), operator.margins(), mode, like.shape[-3:-1])
    image: Any = like.shape[-3:-1]
    observed: Any = operator.output_shape(like.shape)[-3:-1]
    around, none = operator.margins(), ((0, 0), (0, 0))
    corner = (around[0][0], around[1][0])
    if operator.boundary in ("circular", "valid"):
        margins, size, origin = none, image, corner if operator.boundary == "valid" else (0, 0)
    elif operator.boundary == "zero":
        margins, size, origin = none, [n + max(m) for n, m in zip(image, around, strict=True)], (0, 0)
    else:
        margins, size, origin = around, [n + sum(m) for n, m in zip(image, around, strict=True)], corner
    if operator.boundary not in ("circular", "valid"):
        size = tuple(map(fast_size, size))
    shape = (*like.shape[:-3], *size, like.shape[-1])
    spectrum: Any = replace(operator, boundary="circular").transfer(shape, like.dtype)
    mode = _PAD_MODES.get(operator.boundary, "constant")
    return _Prepared(spectrum, margins, mode, tuple(size), origin, image, observed)


def fast_size(n: int) -> int:
    """The next multiple of 4 without prime factors above 11."""
    size = -(-n // 4) * 4
    while True:
        rest = size
        for prime in (2, 3, 5, 7, 11):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
        size += 4

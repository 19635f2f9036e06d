"""Priors that want few coefficients, or small ones: wavelet details, and powers from 0 to 1."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from mtjax.physics.operator import Identity, Operator, Pixels, check_choice, squared_magnitude
from mtjax.pytree import pytree, static
from mtjax.solvers.priors import Gradient, Prior
from mtjax.solvers.proximal import per_example, shrink
from mtjax.solvers.transforms import DCT, WaveletTransform
from mtjax.typing import Array, Inexact

Values = Inexact[Array, "..."]
TRANSFORMS: dict[str, Callable[[], Operator]] = {"wavelet": WaveletTransform, "dct": DCT, "gradient": Gradient}
_STEPS = 6  # of Newton's method: enough for float64, as it starts where the function is almost straight


@pytree
class Wavelet(Prior):
    """`weight · Σ |details|` in an orthogonal wavelet basis; approximations cost nothing (see `WaveletTransform`).

    `weight` is a number or one for each example.
    """

    weight: Any = 1e-2
    wavelet: str = static(default="db4")
    levels: int = static(default=4)

    def __post_init__(self):
        object.__setattr__(self, "weight", 1.0 * jnp.asarray(self.weight))
        WaveletTransform(self.wavelet, self.levels)  # checks both

    @property
    def analysis(self) -> WaveletTransform:
        """The wavelet transform."""
        return WaveletTransform(self.wavelet, self.levels)

    def value(self, x: Pixels, /) -> Inexact[Array, "..."]:
        """The weighted sum of each example."""
        size = jnp.where(self.analysis.details(x.shape), _powers(self.analysis(x), 1), 0)
        return self.weight.astype(size.dtype) * size.sum((-3, -2, -1))

    def prox(self, v: Pixels, t: Any, /) -> Pixels:
        """Soft thresholding of the details by `t · weight`."""
        threshold = per_example(t, v) * per_example(self.weight, v)
        return jnp.where(self.analysis.details(v.shape), shrink(v, threshold), v)


@pytree
class LpNorm(Prior):
    """`weight · Σ |(L x)_i|^p` for `p` from 0 (how many are not 0) to 1, or 2; not convex below 1.

    `transform` is what `L` is: None (the image itself), "wavelet", "dct", "gradient" (differences, each by itself:
    with `p` of 1/2 to 2/3 the hyper-Laplacian prior of natural images, Krishnan and Fergus, 2009), or an operator.
    `weight` is a number or one for each example.
    """

    weight: Any = 1e-2
    p: float | int = static(default=1.0)
    transform: Any = None  # as above; kept as an operator

    def __post_init__(self):
        if not (0 <= self.p <= 1 or self.p == 2):
            raise ValueError(f"p={self.p} has no proximal map here; expected a number in [0, 1], or 2")
        object.__setattr__(self, "weight", 1.0 * jnp.asarray(self.weight))
        if self.transform is None:
            object.__setattr__(self, "transform", Identity())
        elif isinstance(self.transform, str):
            check_choice("transform", self.transform, tuple(TRANSFORMS))
            object.__setattr__(self, "transform", TRANSFORMS[self.transform]())

    @property
    def analysis(self) -> Operator:
        """The transform."""
        return self.transform

    def value(self, x: Pixels, /) -> Inexact[Array, "..."]:
        """The weighted sum of each example."""
        sums = [_powers(part, self.p).sum((-3, -2, -1)) for part in jax.tree.leaves(self.analysis(x))]
        return self.weight.astype(sums[0].dtype) * sum(sums[1:], sums[0])

    def prox(self, v: Any, t: Any, /) -> Any:
        """The minimizer at each coefficient; see `shrink_power`."""
        like = jax.tree.leaves(v)[0]
        threshold = per_example(t, like) * per_example(self.weight, like)
        return jax.tree.map(lambda part: shrink_power(part, threshold, self.p), v)


def _powers(z: Values, p: float | int) -> Values:
    """`|z|^p`; at 0, where that has no slope, the gradient is 0."""
    squared = squared_magnitude(z)
    nonzero = squared > 0
    return jnp.where(nonzero, jnp.where(nonzero, squared, 1) ** (p / 2), 0)


def shrink_power(v: Values, threshold: Values, p: float | int) -> Values:
    """`argmin_z t |z|^p + ½|z − v|²` of each coefficient, for `p` in [0, 1] or 2; `v` may be complex.

    Soft thresholding for `p = 1`, hard thresholding for 0; closed forms for 1/2 (Xu et al., 2012, theorem 3) and 2/3
    (Cao, Sun and Xu, 2013, theorem 2); Newton's method for other powers below 1, which from `|v|` descends to the
    minimizer, as the function whose root it is is convex. Below 1 the minimizer is 0 up to a threshold and jumps there
    (Marjanovic and Solo, 2012, theorem 1).
    """
    if p == 1:
        return shrink(v, threshold)
    if p == 2:
        return v / (1 + 2 * threshold)
    tiny = jnp.finfo(v.dtype).tiny ** 0.25
    threshold = jnp.maximum(threshold, tiny)  # so that powers of it stay finite
    jump = (2 * (1 - p) * threshold) ** (1 / (2 - p))
    border = (2 - p) / (2 * (1 - p)) * jump
    squared = squared_magnitude(v)
    kept = squared > border * border
    if p == 0:
        return jnp.where(kept, v, 0)
    size = jnp.sqrt(jnp.where(kept, squared, border * border))
    closed = {1 / 2: _half, 2 / 3: _two_thirds}.get(p)
    root = _newton(size, threshold, p) if closed is None else closed(size, threshold)
    return jnp.where(kept, root / size, 0) * v


def _half(size: Values, threshold: Values) -> Values:
    angle = jnp.arccos(threshold / 4 * (size / 3) ** -1.5)
    return 2 / 3 * size * (1 + jnp.cos(2 / 3 * (jnp.pi - angle)))


def _two_thirds(size: Values, threshold: Values) -> Values:
    angle = jnp.arccosh(27 / 16 * size**2 * (2 * threshold) ** -1.5)
    a = 2 / 3**0.5 * (2 * threshold) ** 0.25 * jnp.sqrt(jnp.cosh(angle / 3))
    return ((a + jnp.sqrt(2 * size / a - a * a)) / 2) ** 3


def _newton(size: Values, threshold: Values, p: float | int) -> Values:
    """The larger root of `z + t p z^(p − 1) = size`."""

    def step(_: Any, z: Values) -> Values:
        slope = threshold * p * z ** (p - 1)
        return z - (z + slope - size) / (1 + (p - 1) * slope / z)

    return lax.fori_loop(0, _STEPS, step, size)

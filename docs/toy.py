"""Draws docs/toy.png: where the weightings go on the two-task problem of CAGrad and Nash-MTL.

    python docs/toy.py

Two losses of two parameters, one ten times smaller than the other, with narrow valleys in the upper half in which
their gradients are in conflict. All points of the thick line are Pareto optimal.
"""

import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mtjax import weighting
from mtjax.weighting import Signals

PICTURE = Path(__file__).resolve().parent / "toy.png"
STARTS = np.asarray([[-8.5, 7.5], [0.0, 0.0], [9.0, 9.0], [-7.5, -0.5], [9.0, -1.0]])
SCALE = 0.1  # of the first loss
LOWEST = 5e-6
# FAMO wants to know below which value no loss can fall, and weight decay stalls it.
PANELS = {
    "equal": {}, "mgda": {}, "pcgrad": {}, "cagrad": {}, "imtl_g": {}, "nash_mtl": {},
    "famo": {"floor": (-21 * SCALE, -21.0), "decay": 0.0},
}  # fmt: skip
COLORS = ("#d1495b", "#edae49", "#00798c", "#5c3d99", "#3f7d20")


def at_least(value: Any, bound: float) -> Any:
    """The larger of two; where they are equal its derivative is 1, and not one half as that of `jnp.maximum`.

    The start (0, 0) lies on such a tie, and half a derivative leads elsewhere.
    """
    return jnp.where(value >= bound, value, bound)


def losses(point: Any) -> Any:
    """Both losses at a point [2].

    Source: Liu et al., "Conflict-averse gradient descent for multi-task learning", NeurIPS 2021, appendix; the first
    loss scaled as in Navon et al., "Multi-task learning as a bargaining game", ICML 2022, appendix.
    """
    x, y = point
    upper, lower = at_least(jnp.tanh(y / 2), 0), at_least(jnp.tanh(-y / 2), 0)
    first = jnp.log(at_least(jnp.abs((-x - 7) / 2 - jnp.tanh(-y)), LOWEST)) + 6
    second = jnp.log(at_least(jnp.abs((-x + 3) / 2 + jnp.tanh(-y) + 2), LOWEST)) + 6
    bowl = lambda center: ((x - center) ** 2 + 0.1 * (y + 8) ** 2) / 10 - 20  # noqa: E731
    return jnp.stack([SCALE * (first * upper + bowl(7) * lower), second * upper + bowl(-7) * lower])


def paths(kind: str, *, steps: int = 35_000, lr: float = 1e-3, every: int = 100, **params: Any) -> np.ndarray:
    """The ways from all starts, [starts, steps / every + 1, 2]: Adam along the direction the weighting publishes."""
    method, optimizer = weighting.make(kind, 2, **params), optax.adam(lr)

    def step(carry: Any, key: Any) -> Any:
        point, state, moments = carry
        jacobian = jax.jacobian(losses)(point)
        signals = Signals(losses(point), jnp.ones(2, bool), gram=jacobian @ jacobian.T, gradients=jacobian, key=key)
        weights, state = method.update(signals, state)
        change, moments = optimizer.update(weights @ jacobian, moments)
        point = point + change
        return (point, method.later(losses(point), state) if method.later else state, moments), None

    def stretch(carry: Any, keys: Any) -> Any:
        carry, _ = jax.lax.scan(step, carry, keys)
        return carry, carry[0]

    def travel(start: Any) -> Any:
        keys = jax.random.split(jax.random.key(0), (steps // every, every))
        _, points = jax.lax.scan(stretch, (start, method.init(), optimizer.init(start)), keys)
        return jnp.concatenate([start[None], points])

    return np.asarray(jax.jit(jax.vmap(travel))(jnp.asarray(STARTS)))


def front(count: int = 201) -> np.ndarray:
    """The Pareto optimal points [count, 2], by minimizing weighted sums of both losses.

    In the lower half both losses are bowls times the same function of y: at a given x between their centers the best y
    is that at which their weighted sum, with the weights that make it stationary in x, has no slope in y.
    """
    x = np.linspace(-7, 7, count)
    share = (x + 7) / 14  # of the bowl around 7, in units of the unscaled losses
    y = np.full_like(x, -8.4)
    mean = lambda y: (share * (x - 7) ** 2 + (1 - share) * (x + 7) ** 2 + 0.1 * (y + 8) ** 2) / 10 - 20  # noqa: E731
    for _ in range(8):  # Newton's method on d/dy [mean(y) tanh(-y/2)]
        t = np.tanh(-y / 2)
        slope = 0.02 * (y + 8) * t - mean(y) * (1 - t**2) / 2
        curvature = 0.02 * t - 0.02 * (y + 8) * (1 - t**2) - mean(y) * t * (1 - t**2) / 2
        y = y - slope / curvature
    return np.stack([x, y], -1)


def panel(axes: Any, kind: str, ways: np.ndarray, levels: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """One weighting's ways over the contours of the mean of both losses."""
    axes.contour(*levels, levels=np.linspace(-10, 4, 22), colors="0.75", linewidths=0.6, linestyles="solid", zorder=0)
    axes.plot(*front().T, color="0.25", linewidth=5, alpha=0.6, solid_capstyle="round", zorder=1)
    for way, color in zip(ways, COLORS, strict=True):
        axes.plot(*way.T, color=color, linewidth=1.8, zorder=2)
        axes.plot(*way[0], "o", color="white", markeredgecolor=color, markeredgewidth=1.8, markersize=7, zorder=3)
        axes.plot(*way[-1], "*", color=color, markeredgecolor="black", markeredgewidth=0.6, markersize=14, zorder=4)
    axes.set(
        title=kind, xlim=(-10.5, 10.5), ylim=(-10.5, 10.5), xticks=(-10, 0, 10), yticks=(-10, 0, 10), aspect="equal"
    )


def ends(axes: Any, ways: dict[str, np.ndarray]) -> None:
    """Where each weighting ends, in losses: colors are the starts, the thick line is the front."""
    both = jax.jit(jax.vmap(losses))
    best = np.asarray(both(jnp.asarray(front())))
    axes.plot(*best.T, color="0.25", linewidth=5, alpha=0.6, solid_capstyle="round")
    for marker, (kind, way) in zip("oDXv^sP", ways.items(), strict=True):
        reached = np.asarray(both(jnp.asarray(way[:, -1])))
        axes.scatter(*reached.T, c=COLORS, marker=marker, s=42, edgecolors="black", linewidths=0.5, zorder=3)
        axes.scatter([], [], c="0.6", marker=marker, s=42, edgecolors="black", linewidths=0.5, label=kind)
    axes.set(title="where they end, in losses", xlabel="loss 1", ylabel="loss 2")
    axes.legend(loc="center right", fontsize=9, frameon=False)


def main() -> None:
    """Runs all weightings from all starts and draws them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    jax.config.update("jax_enable_x64", True)
    ways = {}
    for kind, params in PANELS.items():
        began = time.perf_counter()
        ways[kind] = paths(kind, **params)
        print(f"{kind}: {time.perf_counter() - began:.1f} s, ends {np.round(ways[kind][:, -1], 2).tolist()}")
    x, y = np.meshgrid(np.linspace(-10.5, 10.5, 301), np.linspace(-10.5, 10.5, 301))
    value = np.asarray(jax.vmap(jax.vmap(losses))(jnp.stack([x, y], -1)).mean(-1))
    figure = Figure(figsize=(14, 7.4), layout="constrained")
    FigureCanvasAgg(figure)
    cells = figure.subplots(2, 4).ravel()
    for axes, (kind, way) in zip(cells[:-1], ways.items(), strict=True):
        panel(axes, kind, way, (x, y, value))
    ends(cells[-1], ways)
    figure.savefig(PICTURE, dpi=90)
    print(f"wrote {PICTURE}")


if __name__ == "__main__":
    main()

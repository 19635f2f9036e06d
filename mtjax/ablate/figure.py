"""A picture of an ablation: Δm of every method with its spread over seeds, and the time that a step takes."""

import io
import math
from typing import Any

import numpy as np

from mtjax.ablate.results import BASELINE, Ablation, Row, apart, mean, std
from mtjax.ablate.table import ranked
from mtjax.compare.figures import BEST, DPI, FAINT, INK

WORSE, BAR, LINE = "#b8433a", "#c9d2dc", "#e6eaef"
TONES = {True: BEST, False: WORSE, None: FAINT}
OUTLYING = 4.0  # interquartile ranges below the lower quartile at which the axis ends
HEIGHT = 0.27  # inches for a row


def figure(ablation: Ablation) -> bytes:
    """A PNG: methods from the best Δm (task mean) down; on the left Δm, on the right milliseconds per step."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    rows = [row for row in ranked(ablation) if math.isfinite(mean(row.delta_m_task))]
    several = len({row.method.sharing for row in rows}) > 1
    with plt.rc_context({"font.size": 9, "text.color": INK, "axes.labelcolor": INK, "xtick.color": FAINT}):
        size = (8.2, 1.65 + HEIGHT * (len(rows) + 1))
        drawn, (left, right) = plt.subplots(
            1, 2, sharey=True, figsize=size, width_ratios=(3, 1.2), layout="constrained"
        )
        draw_delta(left, ablation, rows)
        draw_time(right, ablation, rows)
        left.set_yticks(range(len(rows) + 1), ["alone", *(label(row, several) for row in rows)], color=INK)
        left.set_ylim(len(rows) + 0.6, -0.6)
        for axis in (left, right):
            axis.spines[:].set_visible(False)
            axis.tick_params(length=0)
            axis.grid(axis="x", color=LINE, linewidth=0.8)
            axis.set_axisbelow(True)
        png = io.BytesIO()
        drawn.savefig(png, format="png", dpi=DPI, facecolor="white")
        plt.close(drawn)
    return png.getvalue()


def draw_delta(axis: Any, ablation: Ablation, rows: list[Row]) -> None:
    """Means with standard deviations, and the seeds themselves; colors say what is not noise."""
    axis.axvline(0, color=INK, linewidth=0.9, zorder=1)
    for place, row in enumerate((ablation.reference, *rows)):
        own = row is ablation.reference or row.method.weighting == BASELINE
        tone = INK if own else TONES[apart(row)]
        if not row.delta_m_task:
            continue
        spread = std(row.delta_m_task)
        axis.errorbar(
            mean(row.delta_m_task), place, xerr=spread if math.isfinite(spread) else 0, fmt="o", color=tone,
            markersize=5.5, elinewidth=1.4, capsize=2.5, zorder=3,
        )  # fmt: skip
        axis.scatter(
            row.delta_m_task, [place] * len(row.delta_m_task), s=9, color=tone, alpha=0.45, linewidths=0, zorder=2
        )
    limit(axis, [mean(row.delta_m_task) for row in rows])
    axis.set_xlabel("Δm, task mean, % over the tasks alone (higher is better)")
    for word, tone in (
        (f"better than {BASELINE}", BEST),
        ("worse", WORSE),
        ("within noise", FAINT),
        (f"{BASELINE}, alone", INK),
    ):
        axis.plot([], [], "o", color=tone, markersize=5.5, label=word)
    axis.legend(
        loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=4, frameon=False, handletextpad=0.1, columnspacing=1.2
    )


def limit(axis: Any, means: list[float]) -> None:
    """Cuts the axis where one method that went far astray would press all others together, and writes it there."""
    if not means:
        return
    low, high = np.quantile(means, [0.25, 0.75])
    least, right = low - OUTLYING * max(high - low, 1.0), axis.dataLim.x1
    shown = [value for value in means if value >= least]
    if len(shown) == len(means):
        return
    room = 0.15 * (right - min(shown))
    left = min(shown) - room
    axis.set_xlim(left, right + room / 2)
    for place, value in enumerate(means, 1):
        if value < least:
            axis.annotate(
                f"◂ {value:+.0f} %", (left, place), (3, 0), textcoords="offset points", va="center", color=FAINT
            )


def draw_time(axis: Any, ablation: Ablation, rows: list[Row]) -> None:
    """Bars of milliseconds, each with its number."""
    for place, row in enumerate((ablation.reference, *rows)):
        if row.cost:
            milliseconds = 1e3 * row.cost.seconds
            axis.barh(place, milliseconds, height=0.62, color=BAR)
            axis.annotate(
                f"{milliseconds:.3g}",
                (milliseconds, place),
                (3, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
    axis.margins(x=0.18)
    axis.set_xlim(left=0)
    axis.set_xlabel("ms per step")


def label(row: Row, several: bool) -> str:
    """The weighting, and the sharing if there are several."""
    return f"{row.method.label} · {row.method.sharing}" if several else row.method.label

"""Pictures: a grid per task of some test images, what every method made of them, and where it was wrong."""

import io
from typing import Any

import numpy as np

from mtjax.compare.results import Example, TaskComparison

# All in inches.
CELL = 1.7  # width of a picture
GAP = 0.06
LEFT, HEADING, LABEL = 0.45, 0.3, 0.34
DPI = 110
INK, FAINT, BEST = "#1c2430", "#6b7683", "#0a7a4b"


def grid(task: TaskComparison) -> bytes:
    """A PNG: for each example a row of pictures and below it a row of absolute errors, all on one scale."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    columns = ["clean", "observed", *(row.scores.name for row in task.rows if row.scores.name != "observed")]
    scale = error_scale(task)
    with plt.rc_context({"font.size": 9, "font.family": "sans-serif", "text.color": INK, "axes.labelcolor": INK}):
        figure, axes = lay_out(len(columns), task)
        for axis, name in zip(axes[0], columns, strict=True):
            axis.set_title(name, fontsize=10, fontweight="bold", pad=5)
        for number, example in enumerate(task.examples):
            draw_example(axes[2 * number : 2 * number + 2], columns, example, scale)
        draw_scale(figure, axes[1][0], scale)
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=DPI, facecolor="white")
        plt.close(figure)
    return png.getvalue()


def lay_out(columns: int, task: TaskComparison) -> tuple[Any, list[list[Any]]]:
    """A figure and its axes, row by row: the two rows of an example close together, a label's height below them."""
    import matplotlib.pyplot as plt

    height, width = task.examples[0].clean.shape[:2]
    cell = CELL * height / width
    block = 2 * cell + GAP + LABEL
    size = (LEFT + columns * (CELL + GAP), HEADING + len(task.examples) * block)
    figure = plt.figure(figsize=size)
    axes = []
    for number in range(len(task.examples)):
        for row in range(2):
            bottom = size[1] - HEADING - number * block - (row + 1) * cell - row * GAP
            lefts = [LEFT + column * (CELL + GAP) for column in range(columns)]
            boxes = [(x / size[0], bottom / size[1], CELL / size[0], cell / size[1]) for x in lefts]
            axes.append([figure.add_axes(box, xticks=[], yticks=[]) for box in boxes])
    for axis in figure.axes:
        axis.spines[:].set_visible(False)
    return figure, axes


def draw_example(axes: Any, columns: list[str], example: Example, scale: float) -> None:
    """Two rows of axes: the pictures, and the absolute errors with each method's PSNR."""
    pictures = {**example.images, "clean": example.clean, "observed": example.observed}
    best = max(example.psnr, key=lambda name: example.psnr[name])
    for top, bottom, name in zip(axes[0], axes[1], columns, strict=True):
        show(top, pictures[name])
        if name not in example.images:  # the clean image, and an observation of another size
            continue
        error = np.abs(example.images[name] - example.clean).mean(-1)
        bottom.imshow(error, cmap="magma", vmin=0, vmax=scale, interpolation="nearest")
        bold = {"color": BEST, "fontweight": "bold"} if name == best else {}
        bottom.set_xlabel(f"{example.psnr[name]:.2f} dB", labelpad=3, **bold)
    axes[0][0].set_ylabel(f"{example.title}\ntest image {example.index}", fontsize=8.5, color=FAINT)


def show(axis: Any, image: np.ndarray) -> None:
    """An image [H, W, C] with values clipped to [0, 1], gray or color."""
    image = np.clip(np.nan_to_num(image), 0, 1)
    axis.imshow(image if image.shape[-1] == 3 else image[..., 0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")


def draw_scale(figure: Any, axis: Any, scale: float) -> None:
    """The scale of the errors, in the place where the clean image's would be."""
    import matplotlib.cm
    import matplotlib.colors

    inset = axis.inset_axes((0.08, 0.5, 0.84, 0.08))
    mappable = matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(0, scale), "magma")
    bar = figure.colorbar(mappable, cax=inset, orientation="horizontal", ticks=[0, scale / 2, scale], format="%.2f")
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2, labelsize=8, labelcolor=FAINT)
    bar.ax.set_title("absolute error", fontsize=8.5, color=FAINT, pad=4)


def error_scale(task: TaskComparison) -> float:
    """The error that is drawn brightest: 1 % of the methods' pixels exceed it. The observation may saturate."""
    errors = [
        np.abs(image - example.clean).mean(-1).ravel()
        for example in task.examples
        for name, image in example.images.items()
        if name != "observed"
    ]
    return max(float(np.quantile(np.concatenate(errors), 0.99)), 0.02)

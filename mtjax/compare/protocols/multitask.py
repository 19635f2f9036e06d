"""Published tables of multi-task learning, with Δm recomputed from their own single-task rows in both conventions."""

import dataclasses
from collections.abc import Mapping

from mtjax.compare.protocols.results import Column, Row
from mtjax.metrics import delta_m_flat, delta_m_task

FLAT, BY_TASK, PRINTED = "Δm flat ↓", "Δm task ↑", "Δm as printed"


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric under its published name: of which task, how `networks.py` calls it, and which way is better.

    task: a kind of task, or the name of one where several are of a kind.
    """

    task: str
    key: str
    name: str
    higher: bool
    digits: int = 2

    @property
    def path(self) -> str:
        """As Δm wants it."""
        return f"{self.task}/{self.key}"

    @property
    def column(self) -> str:
        """The heading, with an arrow to the better."""
        return f"{self.name} {'↑' if self.higher else '↓'}"


@dataclasses.dataclass(frozen=True)
class TaskTable:
    """A published table; of each row the metrics in order and Δm as printed there (None: there is none).

    alone: the row of single tasks. count: how many test images.
    """

    name: str
    title: str
    rules: str
    metrics: tuple[Metric, ...]
    rows: Mapping[str, tuple[tuple[float | None, ...], float | None]]
    alone: str
    source: str
    checked: bool
    count: int

    def columns(self) -> tuple[Column, ...]:
        """The metrics and both Δm."""
        columns = [Column(metric.column, self.count, self.count, metric.digits) for metric in self.metrics]
        if len({metric.task for metric in self.metrics}) > 1:
            columns += [Column(name, self.count, self.count) for name in (PRINTED, FLAT, BY_TASK)]
        return tuple(columns)

    def published(self) -> list[Row]:
        """The published rows."""
        alone = self.rows[self.alone][0] if self.alone else ()
        rows = []
        for method, (values, printed) in self.rows.items():
            figures = self.figures(values, alone if method != self.alone else ())
            figures |= {} if printed is None else {PRINTED: printed}
            rows.append(Row(method, "published", figures, self.source, self.checked))
        return rows

    def figures(self, values: tuple[float | None, ...], alone: tuple[float | None, ...]) -> dict[str, float]:
        """By column: the metrics, and both Δm against the single tasks where all of these are known and not 0."""
        pairs = list(zip(self.metrics, values, strict=True))
        figures = {metric.column: value for metric, value in pairs if value is not None}
        if alone and all(alone) and None not in values:
            ours, theirs = (
                {m.path: v for m, v in zip(self.metrics, row, strict=True) if v is not None} for row in (values, alone)
            )
            higher = {metric.path: metric.higher for metric in self.metrics}
            figures |= {FLAT: delta_m_flat(ours, theirs, higher), BY_TASK: delta_m_task(ours, theirs, higher)}
        return figures


NYUV2 = TaskTable(
    name="nyuv2",
    title="NYUv2: segmentation (13 classes), depth, normals",
    rules=(
        "Published: 654 test frames of 288×384, SegNet with MTAN, Adam 1e-4 halved after 100 of 200 epochs, mean of "
        "the last 10 epochs on the test split and over 3 seeds. Ours: the test split of the workdir's config, "
        "whole-split means over known pixels; read the sizes in the config before comparing. Δm flat is the mean "
        "relative loss over the nine metrics, Δm task the mean over the three tasks of their mean relative gain."
    ),
    metrics=(
        Metric("segmentation", "miou", "mIoU", True),
        Metric("segmentation", "pixel_accuracy", "pix acc", True),
        Metric("depth", "abs_error", "abs err", False, 4),
        Metric("depth", "rel_error", "rel err", False, 4),
        Metric("normals", "mean", "mean angle", False),
        Metric("normals", "median", "median", False),
        Metric("normals", "within_11.25", "within 11.25°", True),
        Metric("normals", "within_22.5", "within 22.5°", True),
        Metric("normals", "within_30", "within 30°", True),
    ),
    rows={
        "single tasks": ((38.30, 63.76, 0.6754, 0.2780, 25.01, 19.21, 30.14, 57.20, 69.15), None),
        "LS (equal)": ((39.29, 65.33, 0.5493, 0.2263, 28.15, 23.96, 22.09, 47.50, 61.08), 5.59),
        "UW": ((36.87, 63.17, 0.5446, 0.2260, 27.04, 22.61, 23.54, 49.05, 63.65), 4.05),
        "MGDA": ((30.47, 59.90, 0.6070, 0.2555, 24.88, 19.45, 29.18, 56.88, 69.36), 1.38),
        "PCGrad": ((38.06, 64.64, 0.5550, 0.2325, 27.41, 22.80, 23.86, 49.83, 63.14), 3.97),
        "CAGrad": ((39.79, 65.49, 0.5486, 0.2250, 26.31, 21.58, 25.61, 52.36, 65.58), 0.20),
        "IMTL-G": ((39.35, 65.60, 0.5426, 0.2256, 26.02, 21.19, 26.2, 53.13, 66.24), -0.76),
        "Nash-MTL": ((40.13, 65.93, 0.5261, 0.2171, 25.26, 20.08, 28.4, 55.47, 68.15), -4.04),
    },
    alone="single tasks",
    source="Navon et al., Multi-task learning as a bargaining game, ICML 2022, table 2",
    checked=True,
    count=654,
)

CAMVID = TaskTable(
    name="camvid",
    title="CamVid: segmentation (11 classes)",
    rules=(
        "Published: 233 test frames of 360×480, void pixels left out. Ours: the test split of the workdir's config; "
        "read its sizes before comparing."
    ),
    metrics=(
        Metric("segmentation", "miou", "mIoU", True),
        Metric("segmentation", "pixel_accuracy", "global acc", True),
    ),
    rows={
        "SegNet": ((46.4, 62.5), None),
        "Bayesian SegNet": ((63.1, 86.9), None),
        "FCN-8": ((57.0, 88.0), None),
        "DeepLab-LFOV": ((61.6, None), None),
        "Dilation8": ((65.3, 79.0), None),
        "FC-DenseNet56": ((58.9, 88.9), None),
        "FC-DenseNet103": ((66.9, 91.5), None),
    },
    alone="",
    source="Jégou et al., The one hundred layers Tiramisu, CVPRW 2017, table 3",
    checked=False,
    count=233,
)

MULTI_MNIST = TaskTable(
    name="multi_mnist",
    title="Multi-MNIST: left and right digit",
    rules=(
        "Published: pairs of MNIST digits in one picture of 28×28, LeNet. Ours: the test split of the workdir's "
        "config, whose pairs are drawn and laid out by mtjax, so that figures are alike, not the same."
    ),
    metrics=(Metric("left", "accuracy", "left", True), Metric("right", "accuracy", "right", True)),
    rows={
        "single tasks": ((97.23, 95.90), None),
        "uniform": ((96.46, 94.99), None),
        "UW": ((96.47, 95.29), None),
        "GradNorm": ((96.27, 94.84), None),
        "MGDA-UB": ((97.26, 95.90), None),
    },
    alone="single tasks",
    source="Sener and Koltun, Multi-task learning as multi-objective optimization, NeurIPS 2018",
    checked=False,
    count=10000,
)

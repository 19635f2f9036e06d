"""Metrics. Those of examples are pairs (sum, count) with a leading axis [B]: add them over examples, then `finish`.

`psnr`, `ssim` and `ms_ssim` give one value per example; `counted` makes a pair of it.
"""

from mtjax.metrics.accumulate import Pair, counted, finish
from mtjax.metrics.classification import accuracy, f1, precision, recall, top_k_accuracy
from mtjax.metrics.color import delta_e
from mtjax.metrics.detection import box_giou, box_iou, detection_recall, suppress
from mtjax.metrics.geometry import (
    abs_rel,
    depth_delta,
    depth_rmse,
    end_point_error,
    mean_angle,
    outliers,
    within_angle,
)
from mtjax.metrics.image import ms_ssim, psnr, ssim
from mtjax.metrics.instances import panoptic_quality, recognition_quality, segmentation_quality
from mtjax.metrics.multilabel import average_precision, exact_match, macro_f1, mean_average_precision, micro_f1
from mtjax.metrics.multitask import delta_m_flat, delta_m_task
from mtjax.metrics.saliency import level_counts, max_f, mean_absolute_error
from mtjax.metrics.segmentation import boundary_f, boundary_precision, boundary_recall, dilate, mean_iou, pixel_accuracy

__all__ = [
    "Pair", "abs_rel", "accuracy", "average_precision", "boundary_f", "boundary_precision", "boundary_recall",
    "box_giou", "box_iou", "counted", "delta_e", "delta_m_flat", "delta_m_task", "depth_delta", "depth_rmse",
    "detection_recall", "dilate", "end_point_error", "exact_match", "f1", "finish", "level_counts", "macro_f1", "max_f",
    "mean_absolute_error", "mean_angle", "mean_average_precision", "mean_iou", "micro_f1", "ms_ssim", "outliers",
    "panoptic_quality", "pixel_accuracy", "precision", "psnr", "recall", "recognition_quality", "segmentation_quality",
    "ssim", "suppress", "top_k_accuracy", "within_angle",
]  # fmt: skip

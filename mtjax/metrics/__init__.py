"""Metrics. Those of examples are pairs (sum, count) with a leading axis [B]: add them over examples, then `finish`.

`psnr`, `ssim` and `ms_ssim` give one value per example; `counted` makes a pair of it.
"""

from mtjax.metrics.accumulate import Pair, counted, finish
from mtjax.metrics.classification import accuracy, f1, precision, recall, top_k_accuracy
from mtjax.metrics.image import ms_ssim, psnr, ssim
from mtjax.metrics.multitask import delta_m_flat, delta_m_task
from mtjax.metrics.segmentation import boundary_f, boundary_precision, boundary_recall, dilate, mean_iou, pixel_accuracy

__all__ = [
    "Pair", "accuracy", "boundary_f", "boundary_precision", "boundary_recall", "counted", "delta_m_flat",
    "delta_m_task", "dilate", "f1", "finish", "mean_iou", "ms_ssim", "pixel_accuracy", "precision", "psnr", "recall",
    "ssim", "top_k_accuracy",
]  # fmt: skip

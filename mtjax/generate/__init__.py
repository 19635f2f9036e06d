"""Images from noise: solving a flow's differential equation, and judging what comes out."""

from mtjax.generate.distances import frechet_distance, kernel_distance, precision_recall
from mtjax.generate.sampling import METHODS, integrate, sample

__all__ = ["METHODS", "frechet_distance", "integrate", "kernel_distance", "precision_recall", "sample"]

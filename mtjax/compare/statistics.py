"""How sure a mean is: over images by percentile bootstrap, with a fixed seed; over seeds by Student's t."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
SEED = 0
BLOCK = 1_000_000  # numbers drawn at a time


@dataclasses.dataclass(frozen=True)
class Interval:
    """A mean and the 95 % interval around it."""

    mean: float
    low: float
    high: float

    def text(self, digits: int = 2, sign: bool = False) -> str:
        """`27.31 [26.90, 27.72]`; with `sign`, also where it is positive."""
        plus = "+" if sign else ""
        return f"{self.mean:{plus}.{digits}f} [{self.low:{plus}.{digits}f}, {self.high:{plus}.{digits}f}]"


def bootstrap(values: np.ndarray) -> Interval:
    """The mean of `values` [N] and its interval over images drawn again with replacement (Efron 1979, percentiles).

    The interval speaks of other images of the same kind; of one image nothing is known, and it has no width.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"values must be of shape [N] with N > 0, got {values.shape}")
    rng = np.random.default_rng(SEED)
    block = max(1, BLOCK // len(values))
    means = []
    for start in range(0, RESAMPLES, block):
        drawn = rng.integers(0, len(values), (min(block, RESAMPLES - start), len(values)))
        means.append(values[drawn].mean(axis=1))
    low, high = np.quantile(np.concatenate(means), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(values.mean()), float(low), float(high))


def paired(values: np.ndarray, reference: np.ndarray) -> Interval:
    """The mean of `values - reference`, image by image [N], and its interval.

    Images differ far more than methods do; the difference on the same image takes that out.
    """
    if np.shape(values) != np.shape(reference):
        raise ValueError(f"values and reference must be of one shape, got {np.shape(values)} and {np.shape(reference)}")
    return bootstrap(np.asarray(values, np.float64) - np.asarray(reference, np.float64))


def paired_seeds(values: Sequence[float], reference: Sequence[float]) -> Interval:
    """The mean of `values - reference`, seed by seed, and its two-sided t interval (Student 1908).

    Both were trained from the same seeds: same data order, same first weights of what they have in common. Of one seed,
    or of what is not finite, nothing follows: the interval has no end. With three it is 4.3 standard errors either way.
    """
    from scipy.special import stdtrit

    differences = np.asarray(values, np.float64) - np.asarray(reference, np.float64)
    mean, count = float(differences.mean()), len(differences)
    if count < 2 or not math.isfinite(mean):
        return Interval(mean, -math.inf, math.inf)
    reach = float(stdtrit(count - 1, (1 + LEVEL) / 2) * differences.std(ddof=1) / math.sqrt(count))
    return Interval(mean, mean - reach, mean + reach)


def sure(difference: Interval) -> bool | None:
    """Whether the difference is above 0, or below; None if its interval holds both."""
    return None if difference.low <= 0 <= difference.high else difference.low > 0


def verdict(difference: Interval, name: str, reference: str) -> str:
    """One honest sentence about a PSNR difference: better, worse, or not told apart by these images."""
    better = sure(difference)
    if better is None:
        return f"{name} and {reference} cannot be told apart on these images: {difference.text(2, sign=True)} dB"
    low, high = sorted((abs(difference.low), abs(difference.high)))
    word = "better" if better else "worse"
    return f"{name} is {word} than {reference} by {abs(difference.mean):.2f} dB [{low:.2f}, {high:.2f}]"

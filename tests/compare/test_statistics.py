"""Bootstrap intervals against the normal theory that they approach, and the words drawn from them."""

import numpy as np
import pytest
from scipy import stats

from mtjax.compare.statistics import Interval, bootstrap, paired, paired_seeds, sure, verdict

RNG = np.random.default_rng(0)


def test_the_interval_of_a_mean_is_about_two_standard_errors():
    values = RNG.normal(30, 4, 400)
    interval = bootstrap(values)
    error = values.std() / 20
    assert interval.mean == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - 1.96 * error, abs=0.05)
    assert interval.high == pytest.approx(values.mean() + 1.96 * error, abs=0.05)


def test_it_covers_the_truth_nineteen_times_in_twenty():
    intervals = [bootstrap(RNG.normal(0, 1, 60)) for _ in range(200)]
    assert 0.88 < np.mean([i.low < 0 < i.high for i in intervals]) < 0.99


def test_pairs_see_what_means_hide():
    images = RNG.normal(30, 4, 50)
    better = images + 0.1 + RNG.normal(0, 0.05, 50)
    apart = bootstrap(better), bootstrap(images)
    assert apart[0].low < apart[1].high  # the intervals of the means overlap widely
    assert paired(better, images).low > 0


def test_the_same_values_give_the_same_interval_and_one_image_has_no_width():
    assert bootstrap(np.arange(9.0)) == bootstrap(np.arange(9.0))
    assert bootstrap(np.array([3.0])) == Interval(3.0, 3.0, 3.0)


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"shape \[N\] with N > 0, got \(0,\)"):
        bootstrap(np.zeros(0))
    with pytest.raises(ValueError, match="one shape"):
        paired(np.zeros(3), np.zeros(4))


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        (Interval(1.0, 0.8, 1.2), "net is better than tv by 1.00 dB [0.80, 1.20]"),
        (Interval(-1.0, -1.2, -0.8), "net is worse than tv by 1.00 dB [0.80, 1.20]"),
        (Interval(0.1, -0.1, 0.3), "net and tv cannot be told apart on these images: +0.10 [-0.10, +0.30] dB"),
        (Interval(0.0, 0.0, 0.0), "net and tv cannot be told apart on these images: +0.00 [+0.00, +0.00] dB"),
    ],
)
def test_the_verdict_says_which_and_by_how_much(interval, words):
    assert verdict(interval, "net", "tv") == words


def test_over_seeds_the_interval_is_student_s():
    a, b = (1.0, 2.0, 4.0), (0.5, 1.0, 1.0)
    interval = paired_seeds(a, b)
    low, high = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (interval.mean, interval.low, interval.high) == pytest.approx((1.5, low, high))
    assert sure(interval) is None  # 1.5 ± 3.3, though every seed is better


def test_of_one_seed_or_of_nan_nothing_is_sure():
    assert sure(paired_seeds((5.0,), (1.0,))) is None
    assert sure(paired_seeds((np.nan, 1.0), (0.0, 0.0))) is None

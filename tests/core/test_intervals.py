"""Wilson intervals against published values."""

import pytest

from churnwatch.core.intervals import wilson_interval


# Newcombe, Two-sided confidence intervals for the single proportion, Statistics in Medicine 17 (1998), table I, method 3
@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_is_the_published_one(hits, total, low, high):
    assert wilson_interval(hits, total) == pytest.approx((low, high), abs=5e-5)


def test_wilson_interval_of_nobody_is_everything():
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_wilson_interval_takes_effective_numbers():
    low, high = wilson_interval(1.2, 2.5)
    assert wilson_interval(1, 2.5)[0] < low < 1.2 / 2.5 < high < wilson_interval(1, 2)[1]

"""Treated against control from sufficient statistics: differences, intervals, p, and whether the arms are in ratio."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy import special

CONFIDENCE = 0.95
POWER = 0.8
FEW = 5  # below so many users in a cell of the 2 x 2 table the normal approximation is not used
ROUNDING = 1e-13  # of the sum of squares: what is left of a constant outcome after subtracting its mean

Z = float(special.ndtri((1 + CONFIDENCE) / 2))


@dataclass(frozen=True)
class Sums:
    """Sufficient statistics of an arm: users with an outcome y, sums of y and y^2; of the covariate x, where all have one."""

    n: int = 0
    y: float = 0.0
    yy: float = 0.0
    with_x: int = 0
    x: float = 0.0
    xx: float = 0.0
    xy: float = 0.0

    @property
    def mean(self) -> float | None:
        """Mean of y; None without users."""
        return self.y / self.n if self.n else None


@dataclass(frozen=True)
class Comparison:
    """Treated minus control with its 95 % interval: both None where the sample cannot tell (too few, or no spread)."""

    treated_mean: float | None
    control_mean: float | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    min_detectable: float | None = None
    variance_saved: float | None = None

    @property
    def relative_lift(self) -> float | None:
        """difference / control_mean; None where the control's mean is 0."""
        if self.difference is None or not self.control_mean:
            return None
        return self.difference / self.control_mean


def of_rates(treated: Sums, control: Sums) -> Comparison:
    """Difference of two rates: y is 0 or 1.

    Interval: Wald with unpooled variances; p: two-sided z with the pooled variance. Where a cell of the 2 x 2 table
    holds fewer than FEW users: Newcombe's hybrid score interval (Statistics in Medicine 17, 1998, method 10) and
    Fisher's exact test.
    """
    if not treated.n or not control.n:
        return Comparison(treated.mean, control.mean)
    a, b = treated.y / treated.n, control.y / control.n
    both = (treated.y + control.y) / (treated.n + control.n)
    pooled = sqrt(both * (1 - both) * (1 / treated.n + 1 / control.n))
    if min(treated.y, treated.n - treated.y, control.y, control.n - control.y) < FEW:
        (a_low, a_high), (b_low, b_high) = _wilson(a, treated.n), _wilson(b, control.n)
        low = a - b - sqrt((a - a_low) ** 2 + (b_high - b) ** 2)
        high = a - b + sqrt((a_high - a) ** 2 + (b - b_low) ** 2)
        p = _fisher_p(treated, control)
    else:
        error = sqrt(a * (1 - a) / treated.n + b * (1 - b) / control.n)
        low, high = a - b - Z * error, a - b + Z * error
        p = 2 * float(special.ndtr(-abs(a - b) / pooled))
    return Comparison(a, b, a - b, low, high, p, _detectable(pooled))


def of_means(treated: Sums, control: Sums) -> Comparison:
    """Difference of two means (Welch), less what a covariate from before the assignment explains (CUPED).

    The covariate's slope is the pooled within-arm one; means are moved to the covariate's overall mean, so that they
    differ by ``difference``. Source: Deng, Xu, Kohavi, Walker, Improving the sensitivity of online controlled
    experiments by utilizing pre-experiment data, WSDM 2013.
    """
    if treated.n < 2 or control.n < 2:
        return Comparison(treated.mean, control.mean)
    slope = _slope(treated, control)
    centre = (treated.x + control.x) / (treated.n + control.n) if slope else 0.0
    a, b = (arm.y / arm.n - slope * (arm.x / arm.n - centre) for arm in (treated, control))
    parts = [_variance(arm, slope) / arm.n for arm in (treated, control)]
    error = sqrt(sum(parts))
    if error == 0:
        return Comparison(treated.mean, control.mean)
    freedom = sum(parts) ** 2 / sum(part**2 / (arm.n - 1) for part, arm in zip(parts, (treated, control), strict=True))
    reach = float(special.stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error
    p = 2 * float(special.stdtr(freedom, -abs(a - b) / error))
    plain = sum(_variance(arm, 0.0) / arm.n for arm in (treated, control))
    saved = 1 - sum(parts) / plain if slope and plain else None
    return Comparison(a, b, a - b, a - b - reach, a - b + reach, p, _detectable(error), saved)


def sample_ratio_p(counts: Mapping[str, int], shares: Mapping[str, float]) -> float | None:
    """p of the chi-square test that users fell into the arms by the planned shares; None without users or a choice.

    Users in an arm that was planned empty give 0.
    """
    total = sum(counts.values())
    planned = {arm: share for arm, share in shares.items() if share > 0}
    if not total or any(count for arm, count in counts.items() if arm not in planned):
        return 0.0 if total else None
    if len(planned) < 2:
        return None
    whole = sum(planned.values())
    expected = {arm: total * share / whole for arm, share in planned.items()}
    statistic = sum((counts.get(arm, 0) - e) ** 2 / e for arm, e in expected.items())
    return float(special.chdtrc(len(planned) - 1, statistic))


def enough_for_ratio(users: int, shares: Mapping[str, float]) -> bool:
    """Whether every planned arm expects at least 5 of ``users``: with fewer the chi-square p of a small arm is far too low
    (Cochran, Some methods for strengthening the common chi-square tests, Biometrics 10 (1954))."""
    planned = [share for share in shares.values() if share > 0]
    return bool(planned) and users * min(planned) / sum(planned) >= 5


def smallest_of_many(ps: Sequence[float | None]) -> float | None:
    """The smallest p times the number of looks, at most 1 (Bonferroni); None when there is none."""
    known = [p for p in ps if p is not None]
    return min(1.0, min(known) * len(known)) if known else None


def corrected(ps: Sequence[float | None]) -> list[float | None]:
    """q of each p by Benjamini-Hochberg over those that are not None, in the given order."""
    known = [p for p in ps if p is not None]
    if not known:
        return list(ps)
    order = np.argsort(known)
    scaled = np.array(known)[order] * len(known) / np.arange(1, len(known) + 1)
    falling = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    found = np.empty(len(known))
    found[order] = falling
    qs = iter(found.tolist())
    return [None if p is None else next(qs) for p in ps]


def _detectable(error: float) -> float | None:
    return (Z + float(special.ndtri(POWER))) * error if error else None


def _wilson(rate: float, n: int) -> tuple[float, float]:
    middle = (rate + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z * sqrt(rate * (1 - rate) / n + Z * Z / (4 * n * n)) / (1 + Z * Z / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def _fisher_p(treated: Sums, control: Sums) -> float:
    from scipy import stats  # takes most of a second, and only few users need it

    table = [[round(arm.y), round(arm.n - arm.y)] for arm in (treated, control)]
    return float(stats.fisher_exact(table).pvalue)


def _slope(treated: Sums, control: Sums) -> float:
    arms = (treated, control)
    if any(arm.with_x < arm.n for arm in arms):
        return 0.0
    spread = sum(arm.xx - arm.x**2 / arm.n for arm in arms)
    return sum(arm.xy - arm.x * arm.y / arm.n for arm in arms) / spread if spread > 0 else 0.0


def _variance(arm: Sums, slope: float) -> float:
    """Sample variance of y - slope * x."""
    y = arm.yy - arm.y**2 / arm.n
    x = arm.xx - arm.x**2 / arm.n
    xy = arm.xy - arm.x * arm.y / arm.n
    left = y - 2 * slope * xy + slope**2 * x
    return left / (arm.n - 1) if left > ROUNDING * arm.yy else 0.0

"""Compare a treated arm with a control arm: differences with intervals, p-values, and the sample-ratio check.

Everything is computed from sufficient statistics. The tests and intervals are those of scipy and statsmodels; they are imported
where they are called, because their import takes a second and most processes compare nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

ALPHA = 0.05  # intervals are 95 % intervals
POWER = 0.8
FEW = 5  # users in a cell of the 2 x 2 table; with fewer the normal approximation is not used
ROUNDING = 1e-13  # of the sum of squares: what is left of a constant outcome after subtracting its mean


@dataclass(frozen=True)
class Sums:
    """Sufficient statistics of an arm: users with an outcome y, the sums of y and y^2; the same of the covariate x.

    ``with_x`` counts the users who have the covariate; it is used only where all users of both arms have one.
    """

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
    """Treated minus control with its 95 % interval; all None where the arms are too small or have no spread."""

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
    """Compare two rates; y is 0 or 1.

    The interval is Wald's with unpooled variances, p is the two-sided z-test's with the pooled variance. Where a cell of the
    2 x 2 table holds fewer than FEW users, the interval is Newcombe's hybrid score interval (Statistics in Medicine 17, 1998,
    method 10) and p is Fisher's exact test's.
    """
    if not treated.n or not control.n:
        return Comparison(treated.mean, control.mean)
    from scipy import stats
    from statsmodels.stats.proportion import confint_proportions_2indep, proportions_ztest

    few = min(treated.y, treated.n - treated.y, control.y, control.n - control.y) < FEW
    low, high = confint_proportions_2indep(
        treated.y, treated.n, control.y, control.n, method="newcomb" if few else "wald", compare="diff", alpha=ALPHA
    )
    if few:
        p = stats.fisher_exact([[round(arm.y), round(arm.n - arm.y)] for arm in (treated, control)]).pvalue
    else:
        _, p = proportions_ztest([treated.y, control.y], [treated.n, control.n])
    a, b = treated.y / treated.n, control.y / control.n
    both = (treated.y + control.y) / (treated.n + control.n)
    pooled = sqrt(both * (1 - both) * (1 / treated.n + 1 / control.n))
    return Comparison(a, b, a - b, float(low), float(high), float(p), _min_detectable(pooled))


def of_means(treated: Sums, control: Sums) -> Comparison:
    """Compare two means by Welch's test, after removing what a covariate from before the assignment explains (CUPED).

    The covariate's slope is the pooled within-arm one. Both means are moved to the covariate's overall mean, so that they
    differ by ``difference``. Source: Deng, Xu, Kohavi, Walker, Improving the sensitivity of online controlled
    experiments by utilizing pre-experiment data, WSDM 2013.
    """
    if treated.n < 2 or control.n < 2:
        return Comparison(treated.mean, control.mean)
    arms = (treated, control)
    slope = _slope(treated, control)
    centre = (treated.x + control.x) / (treated.n + control.n) if slope else 0.0
    a, b = (arm.y / arm.n - slope * (arm.x / arm.n - centre) for arm in arms)
    variances = [_variance(arm, slope) for arm in arms]
    parts = [variance / arm.n for variance, arm in zip(variances, arms, strict=True)]
    error = sqrt(sum(parts))
    if error == 0:
        return Comparison(treated.mean, control.mean)
    from scipy import stats

    test = stats.ttest_ind_from_stats(a, sqrt(variances[0]), treated.n, b, sqrt(variances[1]), control.n, equal_var=False)
    # Welch and Satterthwaite; scipy gives p from sums, but no interval
    freedom = sum(parts) ** 2 / sum(part**2 / (arm.n - 1) for part, arm in zip(parts, arms, strict=True))
    low, high = stats.t.interval(1 - ALPHA, freedom, loc=a - b, scale=error)
    plain = sum(_variance(arm, 0.0) / arm.n for arm in arms)
    saved = 1 - sum(parts) / plain if slope and plain else None
    return Comparison(a, b, a - b, float(low), float(high), float(test.pvalue), _min_detectable(error), saved)


def sample_ratio_p(counts: Mapping[str, int], shares: Mapping[str, float]) -> float | None:
    """p of the chi-square test that users were assigned to the arms by the planned shares.

    None without users or with a single planned arm. 0 where an arm that was planned empty has users.
    """
    total = sum(counts.values())
    planned = {arm: share for arm, share in shares.items() if share > 0}
    if not total or any(count for arm, count in counts.items() if arm not in planned):
        return 0.0 if total else None
    if len(planned) < 2:
        return None
    from scipy import stats

    whole = sum(planned.values())
    expected = [total * share / whole for share in planned.values()]
    return float(stats.chisquare([counts.get(arm, 0) for arm in planned], expected).pvalue)


def enough_for_ratio(users: int, shares: Mapping[str, float]) -> bool:
    """Whether every planned arm expects at least 5 of ``users``: with fewer the chi-square p of a small arm is far too low
    (Cochran, Some methods for strengthening the common chi-square tests, Biometrics 10 (1954))."""
    planned = [share for share in shares.values() if share > 0]
    return bool(planned) and users * min(planned) / sum(planned) >= 5


def smallest_of_many(ps: Sequence[float | None]) -> float | None:
    """The smallest p times the number of tests, at most 1 (Bonferroni); None when there is none."""
    known = [p for p in ps if p is not None]
    return min(1.0, min(known) * len(known)) if known else None


def corrected(ps: Sequence[float | None]) -> list[float | None]:
    """q of each p by Benjamini-Hochberg over those that are not None, in the given order."""
    known = [p for p in ps if p is not None]
    if not known:
        return list(ps)
    from scipy import stats

    qs = iter(stats.false_discovery_control(known, method="bh").tolist())
    return [None if p is None else next(qs) for p in ps]


def _min_detectable(error: float) -> float | None:
    """The smallest true difference that a two-sided test at ALPHA finds with probability POWER; None without spread."""
    from scipy import stats

    return float(stats.norm.ppf(1 - ALPHA / 2) + stats.norm.ppf(POWER)) * error if error else None


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

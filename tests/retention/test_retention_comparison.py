"""The statistics of lift against published numbers, formulas, other libraries and, where there is no effect, chance."""

from hashlib import md5

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.power import zt_ind_solve_power

from churnwatch.retention.comparison import Sums, corrected, of_means, of_rates, sample_ratio_p, smallest_of_many

# published for 90,189 players: gate_30 is treated, gate_40 control
RETENTION_1 = (Sums(n=44_700, y=20_034, yy=20_034), Sums(n=45_489, y=20_119, yy=20_119))
RETENTION_7 = (Sums(n=44_700, y=8_502, yy=8_502), Sums(n=45_489, y=8_279, yy=8_279))


def sums(y, x=None) -> Sums:
    y, x = np.asarray(y, float), np.asarray(x if x is not None else [], float)
    crossed = float((x * y).sum()) if len(x) else 0.0
    return Sums(len(y), y.sum(), (y * y).sum(), len(x), x.sum(), (x * x).sum(), crossed)


@pytest.fixture(scope="module")
def spend():
    chance = np.random.default_rng(11)
    before = chance.gamma(2.0, 500, 900)
    after = 0.7 * before + chance.normal(300, 250, 900) + 60 * (np.arange(900) < 400)
    return before, after, np.arange(900) < 400


def test_rates_are_those_published_for_a_real_experiment():
    day_1, day_7 = of_rates(*RETENTION_1), of_rates(*RETENTION_7)
    assert (day_1.difference, day_1.low, day_1.high) == pytest.approx((0.005905, -0.000582, 0.012393), abs=1e-6)
    assert (day_7.difference, day_7.low, day_7.high) == pytest.approx((0.008201, 0.003121, 0.013282), abs=1e-6)
    assert (day_1.p, day_7.p) == (pytest.approx(0.0744, abs=5e-5), pytest.approx(0.00155, abs=5e-6))
    assert day_1.relative_lift == pytest.approx(0.005905 / 0.442283, abs=1e-5)


def test_rates_with_enough_users_get_the_wald_interval_and_the_pooled_z_test():
    found = of_rates(Sums(180, 150, 150), Sums(220, 140, 140))
    a, b, both = 150 / 180, 140 / 220, 290 / 400
    half = 1.959963984540054 * np.sqrt(a * (1 - a) / 180 + b * (1 - b) / 220)
    assert (found.low, found.high) == pytest.approx((a - b - half, a - b + half), rel=1e-9)
    z = (a - b) / np.sqrt(both * (1 - both) * (1 / 180 + 1 / 220))
    assert found.p == pytest.approx(stats.chi2.sf(z**2, 1), rel=1e-9)


# Newcombe, Interval estimation for the difference between independent proportions, Statistics in Medicine 17 (1998), table II,
# method 10: hits and users of both arms, the interval
@pytest.mark.parametrize(
    ("treated", "control", "low", "high"),
    [
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((10, 10), (0, 20), 0.6791, 1.0),
    ],
)
def test_few_users_get_the_published_newcombe_interval(treated, control, low, high):
    arms = [Sums(users, hits, hits) for hits, users in (treated, control)]
    found = of_rates(*arms)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_few_users_get_fishers_p():
    # Fisher's lady tasting tea: 3 of 4 cups right; the two-sided p is 34 of 70
    assert of_rates(Sums(4, 3, 3), Sums(4, 1, 1)).p == pytest.approx(34 / 70)


def test_means_are_welchs_of_the_published_sleep_data():
    # Student (1908), extra hours of sleep by drug; interval and p as printed by R's t.test(extra ~ group, data = sleep)
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    found = of_means(sums(first), sums(second))
    assert (found.low, found.high) == pytest.approx((-3.3654832, 0.2054832), abs=5e-8)
    assert found.p == pytest.approx(0.07939, abs=5e-6)
    assert found.variance_saved is None


def test_a_covariate_gives_the_regression_s_difference_and_a_narrower_interval(spend):
    x, y, treated = spend
    plain = of_means(sums(y[treated]), sums(y[~treated]))
    found = of_means(sums(y[treated], x[treated]), sums(y[~treated], x[~treated]))
    regression = sm.OLS(y, sm.add_constant(np.column_stack([treated.astype(float), x]))).fit()
    assert found.difference == pytest.approx(regression.params[1], rel=1e-9)
    assert found.treated_mean - found.control_mean == pytest.approx(found.difference, rel=1e-9)
    assert found.high - found.low < 0.6 * (plain.high - plain.low)
    assert found.variance_saved == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2, abs=0.05)


def test_a_covariate_that_some_lack_is_not_used(spend):
    x, y, treated = spend
    without = of_means(sums(y[treated]), sums(y[~treated]))
    assert of_means(sums(y[treated], x[treated]), sums(y[~treated])) == without


def test_the_smallest_detectable_difference_has_the_power_it_names():
    control, treated = Sums(400, 800.0, 2000.0), Sums(600, 1200.0, 3000.0)  # standard deviation 1, nearly
    found = of_means(treated, control)
    power = zt_ind_solve_power(effect_size=found.min_detectable, nobs1=400, ratio=1.5, alpha=0.05)
    assert power == pytest.approx(0.8, abs=0.003)


def test_nothing_is_told_where_nothing_can_be():
    nobody, one = Sums(), Sums(1, 1, 1)
    assert of_rates(nobody, RETENTION_1[1]).difference is None
    assert of_means(one, Sums(9, 9, 20)).low is None
    same = of_means(sums([0.1] * 7), sums([0.3] * 9))  # no spread at all but that of rounding
    assert (same.difference, same.low, same.p, round(same.control_mean, 9)) == (None, None, None, 0.3)


def test_sample_ratio_is_the_published_chi_square():
    assert sample_ratio_p({"a": 44_700, "b": 45_489}, {"a": 0.5, "b": 0.5}) == pytest.approx(0.0086, abs=5e-5)
    three = sample_ratio_p({"a": 20, "b": 33, "c": 51}, {"a": 0.2, "b": 0.3, "c": 0.5})
    # with two degrees of freedom p is exp(-statistic / 2)
    assert three == pytest.approx(np.exp(-(0.8**2 / 20.8 + 1.8**2 / 31.2 + 1 / 52) / 2), rel=1e-9)


def test_sample_ratio_counts_an_arm_without_users_and_refuses_an_unplanned_one():
    assert sample_ratio_p({"a": 30}, {"a": 0.5, "b": 0.5}) < 1e-6
    assert sample_ratio_p({"a": 30, "c": 1}, {"a": 1.0}) == 0.0
    assert sample_ratio_p({}, {"a": 0.5, "b": 0.5}) is None


def test_q_is_benjamini_hochberg_over_the_known_ps():
    # Benjamini and Hochberg, Controlling the false discovery rate, JRSS B 57 (1995), section 3.2: four of 15 are found at 0.05
    published = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528]
    published += [0.7590, 1.0]
    qs = corrected([*reversed(published), None])
    assert qs[-1] is None and sum(q <= 0.05 for q in qs[:-1]) == 4
    assert qs[-2::-1][:4] == pytest.approx([0.0015, 0.003, 0.0095, 0.0095 * 15 / 4])
    # a q is never above that of a larger p
    assert corrected([0.03, 0.04, 0.03]) == pytest.approx([0.04, 0.04, 0.04])
    assert corrected([None]) == [None]


def test_the_smallest_of_many_ps_is_bonferronis():
    assert smallest_of_many([0.2, None, 0.01]) == 0.02
    assert smallest_of_many([0.9, 0.8]) == 1.0 and smallest_of_many([None]) is None


def test_arms_by_hash_without_an_effect_find_nothing_more_often_than_chance():
    """600 salts over the same 500 users: p < 0.05 and srm p < 0.05 each fall within the 99.9 % range of chance."""
    users = [f"user-{n}" for n in range(500)]
    stayed = np.random.default_rng(5).random(500) < 0.6
    by_rate = by_ratio = 0
    for salt in range(600):
        arm = np.array([int(md5(f"{salt}:{u}".encode()).hexdigest()[:13], 16) / 16**13 < 0.5 for u in users])
        by_rate += of_rates(sums(stayed[~arm]), sums(stayed[arm])).p < 0.05
        by_ratio += sample_ratio_p({"a": arm.sum(), "b": (~arm).sum()}, {"a": 0.5, "b": 0.5}) < 0.05
    low, high = stats.binom.interval(0.999, 600, 0.05)
    assert low <= by_rate <= high
    assert low <= by_ratio <= high

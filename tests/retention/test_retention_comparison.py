"""The statistics of lift against other libraries, published numbers and, by chance without effect, against themselves."""

from hashlib import md5

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import zt_ind_solve_power
from statsmodels.stats.proportion import confint_proportions_2indep, proportions_ztest

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


def test_rates_agree_with_statsmodels():
    found = of_rates(Sums(180, 150, 150), Sums(220, 140, 140))
    assert found.p == pytest.approx(proportions_ztest([150, 140], [180, 220])[1], rel=1e-12)
    wald = confint_proportions_2indep(150, 180, 140, 220, method="wald", compare="diff")
    assert (found.low, found.high) == pytest.approx(wald, rel=1e-9)


def test_few_users_get_newcombes_interval_and_fishers_p():
    found = of_rates(Sums(20, 20, 20), Sums(18, 12, 12))
    newcombe = confint_proportions_2indep(20, 20, 12, 18, method="newcomb", compare="diff")
    assert (found.low, found.high) == pytest.approx(newcombe, rel=1e-9)
    assert found.p == pytest.approx(stats.fisher_exact([[20, 0], [12, 6]]).pvalue)


def test_means_agree_with_welch(spend):
    _, y, treated = spend
    found = of_means(sums(y[treated]), sums(y[~treated]))
    welch = stats.ttest_ind(y[treated], y[~treated], equal_var=False)
    assert found.p == pytest.approx(welch.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx(tuple(welch.confidence_interval()), rel=1e-9)
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
    assert three == pytest.approx(stats.chisquare([20, 33, 51], [20.8, 31.2, 52]).pvalue, rel=1e-9)


def test_sample_ratio_counts_an_arm_without_users_and_refuses_an_unplanned_one():
    assert sample_ratio_p({"a": 30}, {"a": 0.5, "b": 0.5}) < 1e-6
    assert sample_ratio_p({"a": 30, "c": 1}, {"a": 1.0}) == 0.0
    assert sample_ratio_p({}, {"a": 0.5, "b": 0.5}) is None


def test_q_is_benjamini_hochberg_over_the_known_ps():
    ps = [0.04, None, 0.001, 0.8, 0.03, 0.03]
    known = multipletests([p for p in ps if p is not None], method="fdr_bh")[1]
    assert [q for q in corrected(ps) if q is not None] == pytest.approx(known.tolist())
    assert corrected(ps)[1] is None
    assert smallest_of_many([0.2, None, 0.01]) == 0.02


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

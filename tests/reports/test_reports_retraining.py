"""Reasons to train before the usual day."""

from datetime import date, datetime, timedelta

import pytest
from scipy.stats import norm

from churnwatch.reports import training_reason
from churnwatch.reports.retraining import (
    PooledAuc,
    hanley_mcneil,
    miscalibrated_levels,
    pooled_auc,
    psi_by_weekday,
    reasons_to_train,
)
from churnwatch.settings.model import EarlyTraining
from churnwatch.tables import tables
from smallworld import rows, settings

TODAY, JUDGED = date(2025, 9, 27), date(2025, 9, 11)
WEEK = [JUDGED - timedelta(days=n) for n in range(7)]


def quality(day, version="3", churned=50, **metrics):
    users = {"model_version": version, "users": 2_050, "churned": churned}
    return [{"day": day, **users, "metric": name, "metric_value": value} for name, value in metrics.items()]


def drift(day, **features):
    return [{"day": day, "feature": name, "psi": psi} for name, psi in features.items()]


def threshold(day, level="orange", asks=True, seen=0.36):
    return {"day": day, "level": level, "reason": "", "recalibrate": asks, "precision": seen, "predicted": 0.45}


LIMITS = EarlyTraining(max_psi=0.25, max_auc_loss=0.05)


def pooled(auc, high):
    return PooledAuc(WEEK[-1], JUDGED, auc, high)


def test_nothing_above_its_limit_is_no_reason():
    assert reasons_to_train(0.84, pooled(0.78, 0.79), {"orders_4d": 0.2, "the margin": 0.25}, LIMITS) == []
    assert reasons_to_train(0.84, None, {}, LIMITS) == [] == reasons_to_train(None, pooled(0.1, 0.2), {}, LIMITS)


def test_drift_names_the_worst_feature_and_counts_the_others():
    psi = {"orders_4d": 0.31, "cancels_2d": 0.4, "the margin": 0.02}
    told = "psi of cancels_2d at least 0.40 on every weekday, and 1 more, above 0.25"
    assert reasons_to_train(0.84, None, psi, LIMITS) == [told]
    assert reasons_to_train(0.84, None, {"the margin": 0.3}, LIMITS) == [
        "psi of the margin at least 0.30 on every weekday, above 0.25"
    ]


def test_a_loss_of_auc_is_one_beyond_chance():
    lost = (
        "auc 0.750 on 2025-09-05..2025-09-11, at most 0.789 by its 95 % interval, after 0.840 on its test span: "
        "a loss of more than 0.05"
    )
    assert reasons_to_train(0.84, pooled(0.75, 0.789), {}, LIMITS) == [lost]
    # the day's number alone would have asked for a training
    assert reasons_to_train(0.84, pooled(0.75, 0.79), {}, LIMITS) == []


def test_a_limit_that_is_not_set_is_no_reason():
    assert reasons_to_train(0.84, pooled(0.1, 0.2), {"orders_4d": 0.9}, EarlyTraining(max_psi=1.0)) == []
    assert reasons_to_train(0.84, pooled(0.8, 0.8), {"orders_4d": 9.0}, EarlyTraining(max_auc_loss=0.05)) == []


def test_days_are_pooled_by_pairs_and_overlapping_label_windows_count_once():
    # 50 churned of 2,050 users and AUC 0.82: one day is off by 0.05 on one day in eleven
    assert 2 * norm.cdf(-0.05 / hanley_mcneil(0.82, 50, 2000)) == pytest.approx(2 * 0.09, abs=0.01)
    one = pooled_auc(quality(JUDGED, auc=0.82), 14)
    week = pooled_auc([row for day in WEEK for row in quality(day, auc=0.82)], 14)
    assert one.high == pytest.approx(0.82 + 1.96 * 0.037, abs=1e-3)
    assert week.high == pytest.approx(one.high), "the label windows of a week share their churned users"
    month = pooled_auc([row for n in range(28) for row in quality(JUDGED - timedelta(days=n), auc=0.82)], 14)
    assert month.high - 0.82 == pytest.approx((one.high - 0.82) / 2**0.5, rel=0.01), "two windows do not overlap"
    assert (month.first, month.last) == (JUDGED - timedelta(days=27), JUDGED)
    # a day with many churned users counts for more, one of one class for nothing
    mixed = [
        *quality(JUDGED, auc=0.9, churned=150),
        *quality(WEEK[1], auc=0.7, churned=50),
        *quality(WEEK[2], auc=0.1, churned=0),
    ]
    by_pairs = (0.9 * 150 * 1900 + 0.7 * 50 * 2000) / (150 * 1900 + 50 * 2000)
    assert pooled_auc(mixed, 14).auc == pytest.approx(by_pairs)
    assert pooled_auc(quality(JUDGED, auc=None), 14) is None is pooled_auc([], 14)


def test_a_weekday_that_differs_is_no_drift():
    # training days are Mondays: on Sundays fewer were active the day before, every week
    calm = {day: 0.37 if day.weekday() == 6 else 0.02 for day in WEEK}
    found = [("active_1d", day, psi) for day, psi in calm.items()]
    found += [("orders_4d", day, 0.3 + n / 100) for n, day in enumerate(WEEK)]
    found += [("orders_4d", JUDGED - timedelta(days=7), 0.01), ("orders_4d", JUDGED - timedelta(days=8), None)]
    found += [("cancels_2d", day, 0.9) for day in WEEK[1:]]
    assert psi_by_weekday(found) == {"active_1d": 0.02, "orders_4d": 0.3}, "of each weekday the newest day; all seven are needed"


def test_probabilities_that_are_off_on_every_day_ask_for_a_calibration():
    off = [threshold(day, seen=0.3) for day in WEEK[1:]] + [threshold(JUDGED)]
    told = "at level orange 36.0% churned where 45.0% was predicted: a new calibration is due"
    assert miscalibrated_levels([*off, *(threshold(day, "red", day != JUDGED) for day in WEEK)]) == [told]
    assert miscalibrated_levels([]) == []


RELEASE = {"day": date(2025, 8, 1), "run_id": "r", "algorithm": "gbt", "at": datetime(2025, 8, 2), "definition": "silent"}
RELEASE |= {"outcome": "released", "model_version": "3", "features": ["orders_4d", "cancels_2d"], "metrics": {"auc": 0.84}}


@pytest.fixture(scope="module")
def reason(spark):
    """The reason to train on TODAY after ``runs``, from all rows of quality and drift of this module."""
    one = settings(model={"due": {"max_psi": 0.25, "max_auc_loss": 0.05}})
    t = tables(one)
    of_region = [row | {"by": "region", "value": "north"} for row in quality(JUDGED, auc=0.1)]
    judged = [row | {"by": "all", "value": "all"} for day in WEEK for row in quality(day, auc=0.80, margin_psi=0.02)]
    old = JUDGED - timedelta(days=28)
    judged += quality(old, auc=0.1) + quality(JUDGED, "2", auc=0.1) + of_region
    drifted = [row for day in WEEK for row in drift(day, orders_4d=0.31, cancels_2d=None, items_4d=0.9)] + drift(
        old, cancels_2d=0.9
    )
    # days that the release did not score, and rows written before the column existed, say nothing
    asking = [threshold(day) for day in WEEK] + [threshold(old, asks=False), threshold(JUDGED, "red", None)]
    inputs = {"quality": rows(spark, t.model_quality, judged), "drift": rows(spark, t.feature_drift, drifted)}
    inputs["thresholds"] = rows(spark, t.thresholds, asking)
    return lambda *runs: training_reason(inputs | {"model_runs": rows(spark, t.model_runs, runs)}, TODAY, one)


def test_the_newest_judged_days_of_the_release_count_for_all_users_and_the_features_it_reads(reason):
    told = "model version 3 on days to 2025-09-11: psi of orders_4d at least 0.31 on every weekday, above 0.25"
    told += "; at level orange 36.0% churned where 45.0% was predicted: a new calibration is due"
    assert reason(RELEASE) == told


def test_a_release_that_was_not_judged_yet_is_no_reason(reason):
    assert reason(RELEASE, RELEASE | {"day": date(2025, 9, 20), "run_id": "s", "model_version": "4"}) is None


def test_nothing_is_due_without_a_release(reason):
    assert reason() is None


def test_limits_are_checked_where_they_are_set():
    with pytest.raises(ValueError, match="max_psi"):
        settings(model={"due": {"max_psi": 0}})
    with pytest.raises(ValueError, match="max_loss"):
        settings(model={"due": {"max_loss": 0.1}})

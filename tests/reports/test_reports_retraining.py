"""Reasons to train before the usual day."""

from datetime import date, datetime

import pytest

from churnwatch.reports import training_reason
from churnwatch.reports.retraining import reasons_to_train
from churnwatch.settings.model import EarlyTraining
from churnwatch.tables import tables
from smallworld import rows, settings

TODAY, JUDGED, BEFORE = date(2025, 9, 27), date(2025, 9, 11), date(2025, 9, 4)


def quality(day, version="3", **metrics):
    return [{"day": day, "model_version": version, "metric": name, "metric_value": value} for name, value in metrics.items()]


def drift(day, **features):
    return [{"day": day, "feature": name, "psi": psi} for name, psi in features.items()]


LIMITS = EarlyTraining(max_psi=0.25, max_auc_loss=0.05)


def test_nothing_above_its_limit_is_no_reason():
    assert reasons_to_train(0.84, 0.8, {"orders_4d": 0.2, "cancels_2d": None, "the margin": 0.25}, LIMITS) == []
    assert reasons_to_train(0.84, None, {}, LIMITS) == [] == reasons_to_train(None, 0.1, {}, LIMITS)


def test_drift_names_the_worst_feature_and_counts_the_others():
    psi = {"orders_4d": 0.31, "cancels_2d": 0.4, "the margin": 0.02}
    assert reasons_to_train(0.84, 0.8, psi, LIMITS) == ["psi of cancels_2d 0.40 and of 1 more above 0.25"]
    assert reasons_to_train(0.84, 0.8, {"the margin": 0.3}, LIMITS) == ["psi of the margin 0.30 above 0.25"]


def test_a_loss_of_auc_says_both_numbers():
    lost = "auc 0.780 after 0.840 on its test span, a loss of more than 0.05"
    assert reasons_to_train(0.84, 0.78, {}, LIMITS) == [lost]
    assert reasons_to_train(0.84, 0.78, {"orders_4d": 0.4}, LIMITS) == ["psi of orders_4d 0.40 above 0.25", lost]


def test_a_limit_that_is_not_set_is_no_reason():
    assert reasons_to_train(0.84, 0.1, {"orders_4d": 0.9}, EarlyTraining(max_psi=1.0)) == []
    assert reasons_to_train(0.84, 0.8, {"orders_4d": 9.0}, EarlyTraining(max_auc_loss=0.05)) == []


RELEASE = {"day": date(2025, 8, 1), "run_id": "r", "algorithm": "gbt", "at": datetime(2025, 8, 2), "definition": "silent"}
RELEASE |= {"outcome": "released", "model_version": "3", "features": ["orders_4d", "cancels_2d"], "metrics": {"auc": 0.84}}


@pytest.fixture(scope="module")
def reason(spark):
    """The reason to train on TODAY after ``runs``, from all rows of quality and drift of this module."""
    one = settings(model={"due": {"max_psi": 0.25, "max_auc_loss": 0.05}})
    t = tables(one)
    of_region = [row | {"by": "region", "value": "north"} for row in quality(JUDGED, auc=0.1)]
    judged = [row | {"by": "all", "value": "all"} for row in quality(JUDGED, auc=0.80, margin_psi=0.02)]
    judged += quality(BEFORE, auc=0.1) + quality(JUDGED, "2", auc=0.1) + of_region
    drifted = drift(JUDGED, orders_4d=0.31, cancels_2d=None, items_4d=0.9) + drift(BEFORE, cancels_2d=0.9)
    inputs = {"quality": rows(spark, t.model_quality, judged), "drift": rows(spark, t.feature_drift, drifted)}
    return lambda *runs: training_reason(inputs | {"model_runs": rows(spark, t.model_runs, runs)}, TODAY, one)


def test_the_newest_judged_day_of_the_release_counts_for_all_users_and_the_features_it_reads(reason):
    assert reason(RELEASE) == "model version 3 on 2025-09-11: psi of orders_4d 0.31 above 0.25"


def test_a_release_that_was_not_judged_yet_is_no_reason(reason):
    assert reason(RELEASE, RELEASE | {"day": date(2025, 9, 20), "run_id": "s", "model_version": "4"}) is None


def test_nothing_is_due_without_a_release(reason):
    assert reason() is None


def test_limits_are_checked_where_they_are_set():
    with pytest.raises(ValueError, match="max_psi"):
        settings(model={"due": {"max_psi": 0}})
    with pytest.raises(ValueError, match="max_loss"):
        settings(model={"due": {"max_loss": 0.1}})

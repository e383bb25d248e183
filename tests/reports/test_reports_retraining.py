"""What asks for a training before its time."""

from datetime import date, datetime

import pytest

from churnwatch.reports import training_reason
from churnwatch.settings.model import EarlyTraining
from churnwatch.tables import tables
from smallworld import rows, settings

TODAY, JUDGED, BEFORE = date(2025, 9, 27), date(2025, 9, 11), date(2025, 9, 4)


def quality(day, version="3", **metrics):
    return [{"day": day, "model_version": version, "metric": name, "metric_value": value} for name, value in metrics.items()]


def drift(day, **features):
    return [{"day": day, "feature": name, "psi": psi} for name, psi in features.items()]


GOOD = quality(JUDGED, auc=0.80, margin_psi=0.02)


def test_what_asks_is_told_with_both_numbers(spark):
    one = settings(model={"due": {"max_psi": 0.25, "max_auc_loss": 0.05}})
    t = tables(one)
    release = {"day": date(2025, 8, 1), "run_id": "r", "algorithm": "gbt", "at": datetime(2025, 8, 2), "definition": "silent"}
    release |= {"outcome": "released", "model_version": "3", "features": ["orders_4d", "cancels_2d"], "metrics": {"auc": 0.84}}
    newer = release | {"day": date(2025, 9, 20), "run_id": "s", "model_version": "4"}

    def asked(quality_, drift_=(), runs=(release,), **due):
        inputs = {
            "quality": rows(spark, t.model_quality, quality_),
            "drift": rows(spark, t.feature_drift, drift_),
            "model_runs": rows(spark, t.model_runs, runs),
        }
        own = one.model_copy(update={"model": one.model.model_copy(update={"due": EarlyTraining(**due)})}) if due else one
        return training_reason(inputs, TODAY, own)

    little = drift(JUDGED, orders_4d=0.2, cancels_2d=None) + drift(BEFORE, orders_4d=0.9)
    assert asked(GOOD, little) is None
    assert asked(GOOD, [*little, *drift(JUDGED, items_4d=0.9)]) is None  # the model does not read it
    much = drift(JUDGED, orders_4d=0.31, cancels_2d=0.4)
    assert asked(GOOD, much) == "model version 3 on 2025-09-11: psi of cancels_2d 0.40 and of 1 more above 0.25"
    assert (
        asked(quality(JUDGED, auc=0.8, margin_psi=0.3), []) == "model version 3 on 2025-09-11: psi of the margin 0.30 above 0.25"
    )
    of_some = [row | {"by": "region", "value": "north"} for row in quality(JUDGED, auc=0.1)]
    assert asked([row | {"by": "all", "value": "all"} for row in GOOD] + of_some) is None
    lost = quality(JUDGED, auc=0.78) + quality(BEFORE, auc=0.84)
    assert asked(lost) == ("model version 3 on 2025-09-11: auc 0.780 after 0.840 on its test span, a loss of more than 0.05")
    assert asked(lost, much, max_psi=0.5) is None
    assert asked(quality(JUDGED, auc=None)) is None
    assert asked(lost, much, runs=(release, newer)) is None  # not judged yet
    assert asked(lost, much, runs=()) is None


def test_limits_are_checked_where_they_are_set():
    with pytest.raises(ValueError, match="max_psi"):
        settings(model={"due": {"max_psi": 0}})
    with pytest.raises(ValueError, match="max_loss"):
        settings(model={"due": {"max_loss": 0.1}})

"""The job judge_alerts: what was warned and scored on a day against what then happened."""

from collections.abc import Mapping, Sequence
from datetime import date

from pyspark.sql import DataFrame

from churnwatch.core import Skipped
from churnwatch.reports.alert_quality import alert_quality
from churnwatch.reports.drift import drift_rows, measure_drift
from churnwatch.reports.labelled_users import per_labelled_user
from churnwatch.reports.score_quality import bins_by_version, quality_rows, score_bins
from churnwatch.reports.thresholds import threshold_rows
from churnwatch.settings import Settings


def judge_alerts(inputs: Mapping[str, DataFrame], days: Sequence[date], settings: Settings) -> dict[str, DataFrame]:
    """Quality of the warnings and scores of O, drift of its features, advice on thresholds.

    Collects bounded aggregates alone: 1,000 bins a model version, ten a value of a segment, and the lowest probability of
    each tier that warns.
    Raises Skipped where nothing was scored and nobody warned on O.
    """
    (day,) = days
    if inputs["scores"].isEmpty() and inputs["alerts"].isEmpty():
        raise Skipped(f"nothing was scored and nobody warned on {day}: there is nothing to judge")
    done = (inputs["actions"], inputs["cases"], inputs["alert_events"])
    known = per_labelled_user(inputs["labels"], *done, day, settings)
    bins = score_bins(_with_shadow(inputs), known, inputs["features"], settings)
    whole = bins_by_version(bins)
    drift = measure_drift(inputs, sum(b.users for its in whole.values() for b in its), day, settings)
    return {
        "alert_quality": alert_quality(inputs["alerts"], known, inputs["features"], day, settings),
        "model_quality": quality_rows(inputs["scores"], bins, drift, day, settings),
        "feature_drift": drift_rows(drift, inputs["features"], day, settings),
        "thresholds": threshold_rows(inputs, whole, day, settings),
    }


def _with_shadow(inputs: Mapping[str, DataFrame]) -> DataFrame:
    """The day's scores, and those of a challenger, whose version says so."""
    columns = ["user_id", "model_version", "probability", "percentile", "tier"]
    scores = inputs["scores"].select(*columns)
    return scores.unionByName(inputs["shadow"].select(*columns)) if "shadow" in inputs else scores

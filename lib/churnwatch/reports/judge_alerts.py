"""The job judge_alerts: compare the warnings and scores of a day with what the users then did."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.core import Skipped
from churnwatch.core.job import Frames
from churnwatch.model.judged_cases import judged_cases
from churnwatch.reports.alert_quality import alert_quality
from churnwatch.reports.drift import drift_rows, measure_drift
from churnwatch.reports.labelled_users import per_labelled_user
from churnwatch.reports.queries import Rows, collect_rows
from churnwatch.reports.score_quality import bins_by_version, quality_rows, score_bins
from churnwatch.reports.thresholds import threshold_inputs, threshold_rows
from churnwatch.settings import Settings
from churnwatch.tables import tables


def judge_alerts(inputs: Frames, days: Sequence[date], settings: Settings) -> Frames:
    """Judge the warnings and scores of O, measure the drift of its features, advise on thresholds.

    Collects bounded aggregates alone: 1,000 bins a model version, ten a value of a segment, and a few rows a tier,
    level and group of warned users.
    Raises Skipped where nothing was scored and nobody was warned on O.
    """
    (day,) = days
    found = collect_rows(threshold_inputs(inputs, day, settings))
    if not found["tiers"] and inputs["alerts"].where(F.col("day") == F.lit(day)).isEmpty():
        raise Skipped(f"nothing was scored and nobody warned on {day}: there is nothing to judge")
    # read three times: who was treated, who was warned, and how many were left alone
    cases = judged_cases(inputs["alerts"], inputs["alert_events"], days, settings).cache()
    try:
        rows = _judged_rows(inputs, cases, found, day, settings)
    finally:
        cases.unpersist()
    session, contracts = inputs["scores"].sparkSession, tables(settings)
    return {name: session.createDataFrame(made, getattr(contracts, name).schema) for name, made in rows.items()}


def _judged_rows(
    inputs: Frames, cases: DataFrame, found: Mapping[str, Rows], day: date, settings: Settings
) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of each table that the job writes."""
    known = per_labelled_user(inputs["labels"], inputs["actions"], cases, day, settings)
    bins = score_bins(_with_shadow(inputs), known, inputs["features"], settings)
    whole = bins_by_version(bins)
    drift = measure_drift(inputs, sum(b.users for its in whole.values() for b in its), day, settings)
    return {
        "alert_quality": alert_quality(cases, known, inputs["features"], day, settings),
        "model_quality": quality_rows(bins, drift, day, settings),
        "feature_drift": drift_rows(drift, day),
        "thresholds": threshold_rows(found, whole, day, settings),
    }


def _with_shadow(inputs: Frames) -> DataFrame:
    """The day's scores, and those of a challenger, told apart by ``model_version``."""
    columns = ["user_id", "model_version", "probability", "percentile", "tier"]
    scores = inputs["scores"].select(*columns)
    return scores.unionByName(inputs["shadow"].select(*columns)) if "shadow" in inputs else scores

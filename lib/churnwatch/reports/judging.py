"""The job judge_alerts: what was warned and scored on a day against what then happened."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date

from pyspark.sql import DataFrame

from churnwatch.core import Skipped
from churnwatch.core.intervals import DIGITS
from churnwatch.reports.drift import feature_drift
from churnwatch.reports.outcomes import per_labelled_user
from churnwatch.reports.scored import Bin, metrics, per_bin
from churnwatch.reports.thresholds import threshold_rows
from churnwatch.reports.warned import alert_quality
from churnwatch.settings import Settings
from churnwatch.tables import tables


def judged(inputs: Mapping[str, DataFrame], days: Sequence[date], settings: Settings) -> dict[str, DataFrame]:
    """Quality of the warnings and scores of O, drift of its features, advice on thresholds.

    Collects bounded aggregates alone: 1,000 bins a model version and the lowest probability of each tier that warns.
    Raises Skipped where nothing was scored and nobody warned on O.
    """
    (day,) = days
    if inputs["scores"].isEmpty() and inputs["alerts"].isEmpty():
        raise Skipped(f"nothing was scored and nobody warned on {day}: there is nothing to judge")
    done = (inputs["actions"], inputs["alerts"], inputs["alert_events"])
    known = per_labelled_user(inputs["labels"], *done, day, settings)
    bins = [Bin(**row.asDict()) for row in per_bin(inputs["scores"], known).collect()]
    return {
        "alert_quality": alert_quality(inputs["alerts"], known, inputs["features"], day, settings),
        "model_quality": _model_quality(inputs["scores"], bins, day, settings),
        "feature_drift": feature_drift(inputs["features"], day, settings),
        "thresholds": threshold_rows(inputs, _by_version(bins), day, settings),
    }


def _model_quality(scores: DataFrame, bins: Sequence[Bin], day: date, settings: Settings) -> DataFrame:
    rows = [
        (
            day,
            version,
            name,
            sum(b.users for b in its),
            sum(b.churned for b in its),
            None if value is None else round(value, DIGITS),
        )
        for version, its in sorted(_by_version(bins).items())
        for name, value in metrics(its).items()
    ]
    return scores.sparkSession.createDataFrame(rows, tables(settings).model_quality.schema)


def _by_version(bins: Sequence[Bin]) -> defaultdict[str, list[Bin]]:
    by_version: defaultdict[str, list[Bin]] = defaultdict(list)
    for one in bins:
        by_version[one.model_version].append(one)
    return by_version

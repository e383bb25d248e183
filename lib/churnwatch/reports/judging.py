"""The job judge_alerts: what was warned and scored on a day against what then happened."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.core import Skipped
from churnwatch.core.intervals import DIGITS
from churnwatch.reports.advice import advised
from churnwatch.reports.drift import feature_drift
from churnwatch.reports.outcomes import per_labelled_user
from churnwatch.reports.scored import Bin, metrics, per_bin
from churnwatch.reports.warned import alert_quality
from churnwatch.settings import Settings
from churnwatch.tables import tables


def judged(inputs: Mapping[str, DataFrame], days: Sequence[date], settings: Settings) -> dict[str, DataFrame]:
    """Quality of the warnings and scores of O, drift of its features, advice on thresholds.

    Collects bounded aggregates alone: 1,000 bins a model version and the lowest warned probability of each level.
    Raises Skipped where nothing was scored and nobody warned on O.
    """
    (day,) = days
    if inputs["scores"].isEmpty() and inputs["alerts"].isEmpty():
        raise Skipped(f"nothing was scored and nobody warned on {day}: there is nothing to judge")
    done = (inputs["actions"], inputs["alerts"], inputs["alert_events"])
    known = per_labelled_user(inputs["labels"], *done, day, settings)
    bins = [Bin(**row.asDict()) for row in per_bin(inputs["scores"], known).collect()]
    return {
        "alert_quality": alert_quality(inputs["alerts"], known, day, settings),
        "model_quality": _model_quality(inputs["scores"], bins, day, settings),
        "feature_drift": feature_drift(inputs["features"], day, settings),
        "thresholds": _thresholds(inputs, bins, day, settings),
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


def _thresholds(inputs: Mapping[str, DataFrame], bins: Sequence[Bin], day: date, settings: Settings) -> DataFrame:
    by_version = _by_version(bins)
    moves = _earlier_moves(inputs["thresholds"])
    warned = inputs["alerts"].where("rule_id = 'model' AND scope = 'user'").select("user_id", "level")
    lowest = (
        inputs["scores"]
        .join(warned, "user_id")
        .groupBy("level")
        .agg(F.min("probability").alias("old"), F.max("model_version").alias("version"))
    )
    rows = []
    for row in sorted(lowest.collect(), key=lambda r: r["level"]):
        new, reason = advised(row["old"], by_version[row["version"]], settings.privacy.min_group_size, moves[row["level"]])
        rows.append((day, row["level"], row["old"], new, reason))
    return lowest.sparkSession.createDataFrame(rows, tables(settings).thresholds.schema)


def _by_version(bins: Sequence[Bin]) -> defaultdict[str, list[Bin]]:
    by_version: defaultdict[str, list[Bin]] = defaultdict(list)
    for one in bins:
        by_version[one.model_version].append(one)
    return by_version


def _earlier_moves(thresholds: DataFrame) -> defaultdict[str, Counter[str]]:
    """How often each level was advised 'up' and 'down': bounded by levels and two directions."""
    direction = F.when(F.col("new") > F.col("old"), "up").when(F.col("new") < F.col("old"), "down")
    counts = thresholds.groupBy("level", direction.alias("direction")).count().where("direction IS NOT NULL")
    moves: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in counts.collect():
        moves[row["level"]][row["direction"]] = row["count"]
    return moves

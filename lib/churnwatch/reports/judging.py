"""The job judge_alerts: what was warned and scored on a day against what then happened."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.core import Skipped
from churnwatch.reports.advice import advised
from churnwatch.reports.drift import drift_of, drift_rows
from churnwatch.reports.outcomes import per_labelled_user
from churnwatch.reports.scored import Bin, bins_of, by_version, quality_rows
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
    bins = bins_of(_with_shadow(inputs), known, settings)
    drift = drift_of(inputs, sum(b.users for b in bins), day, settings)
    return {
        "alert_quality": alert_quality(inputs["alerts"], known, day, settings),
        "model_quality": quality_rows(inputs["scores"], bins, drift, day, settings),
        "feature_drift": drift_rows(drift, inputs["features"], day, settings),
        "thresholds": _thresholds(inputs, bins, day, settings),
    }


def _with_shadow(inputs: Mapping[str, DataFrame]) -> DataFrame:
    """The day's scores, and those of a challenger, whose version says so."""
    columns = ["user_id", "model_version", "probability", "percentile", "tier"]
    scores = inputs["scores"].select(*columns)
    return scores.unionByName(inputs["shadow"].select(*columns)) if "shadow" in inputs else scores


def _thresholds(inputs: Mapping[str, DataFrame], bins: Sequence[Bin], day: date, settings: Settings) -> DataFrame:
    of_version = by_version(bins)
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
        new, reason = advised(row["old"], of_version[row["version"]], settings.privacy.min_group_size, moves[row["level"]])
        rows.append((day, row["level"], row["old"], new, reason))
    return lowest.sparkSession.createDataFrame(rows, tables(settings).thresholds.schema)


def _earlier_moves(thresholds: DataFrame) -> defaultdict[str, Counter[str]]:
    """How often each level was advised 'up' and 'down': bounded by levels and two directions."""
    direction = F.when(F.col("new") > F.col("old"), "up").when(F.col("new") < F.col("old"), "down")
    counts = thresholds.groupBy("level", direction.alias("direction")).count().where("direction IS NOT NULL")
    moves: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in counts.collect():
        moves[row["level"]][row["direction"]] = row["count"]
    return moves

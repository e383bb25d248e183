"""Features per user and day: windows, trends, days since, ratios, tenure, segments."""

from collections.abc import Iterator, Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.activity.segments import with_segments
from churnwatch.core.job import Frames
from churnwatch.features.expressions import over_window
from churnwatch.features.rings import per_user_window
from churnwatch.settings import Settings, feature_names
from churnwatch.settings.names import segment_names, summed_measures, window_column

PROFILING = "profiling"


def per_user(inputs: Frames, days: Sequence[date], settings: Settings) -> Frames:
    """``user_features``: one row per day of ``days`` and user who was active in the ``population_days`` that end with it
    and has not refused profiling; columns as ``feature_names`` and ``segment_names`` list them, nothing later than
    the day's end in any of them."""
    made = dict(_made(settings))
    features = (
        per_user_window(inputs["activity"], days, settings)
        .where(F.col("events_days_since") < settings.measures.population_days)
        .transform(only_profiled, inputs["consents"])
        .transform(with_segments, inputs["users"], settings, inputs["first_seen"])
        .transform(with_history, inputs["first_seen"], settings)
        .select(
            "day",
            "user_id",
            *(made.get(name, F.col(name)).cast("double").alias(name) for name in feature_names(settings)),
            *segment_names(settings),
        )
        .sortWithinPartitions("day", "user_id")
    )
    return {"user_features": features}


def only_profiled(frame: DataFrame, consents: DataFrame) -> DataFrame:
    """Keeps users who have not opted out of profiling as of ``day``; no word on it is consent (opt-out)."""
    refused = consents.where(((F.col("channel") == PROFILING) | (F.col("purpose") == PROFILING)) & ~F.col("granted")).select(
        F.col("user_id").alias("_user"), F.col("day").alias("_from"), F.col("until").alias("_until")
    )
    in_force = (F.col("user_id") == F.col("_user")) & F.col("day").between(F.col("_from"), F.col("_until"))
    return frame.join(refused, in_force, "left_anti")


def with_history(frame: DataFrame, first_seen: DataFrame, settings: Settings) -> DataFrame:
    """Adds ``history_days``: stored days up to ``day``, from the first day on which anybody was active; at most the
    longest window."""
    # the condition is the one of the join that gives tenure: so one shuffle of all users serves both
    first = first_seen.where(F.col("user_id").isNotNull()).agg(F.min("day").alias("_first_day"))
    history = F.datediff(F.col("day"), F.col("_first_day")) + 1
    capped = F.when(history > 0, F.least(history, F.lit(settings.measures.longest_window)))
    return frame.crossJoin(F.broadcast(first)).withColumn("history_days", capped).drop("_first_day")


def _made(settings: Settings) -> Iterator[tuple[str, Column]]:
    """Features that are made of window columns."""
    days = settings.measures.trend_days
    for name in summed_measures(settings):
        last = F.col(window_column(name, days))
        before = F.col(window_column(name, 2 * days)) - last
        # absolute values keep it within -1 .. 1 where a sum is negative (refunds)
        yield f"{name}_trend", F.try_divide(last - before, F.abs(last) + F.abs(before))
    for name, text in settings.measures.ratios.items():
        for window in settings.measures.windows_days:
            yield window_column(name, window), over_window(text, window)

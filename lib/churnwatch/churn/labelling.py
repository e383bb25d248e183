"""Labels: whether a user who was there up to a day was silent after it."""

from collections.abc import Mapping, Sequence
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from churnwatch.activity.snapshots import per_snapshot
from churnwatch.core import days_predicate
from churnwatch.core.job import Frames
from churnwatch.settings import Settings
from churnwatch.settings.names import definition_column


def labels(inputs: Frames, days: Sequence[date], settings: Settings, definition: str) -> Frames:
    """``user_labels`` of one definition: one row per day and user with its events in O-active_within+1 .. O.

    ``churned``: none of them in O+lead+1 .. O+lead+horizon; what falls into the lead decides nothing.
    """
    meant, counts = settings.churn.definitions[definition], F.col(definition_column(definition)) > 0
    before = inputs["before"].where(counts).select("day", "user_id", F.lit(False).alias("ahead"))
    after = inputs["after"].where(counts).select("day", "user_id", F.lit(True).alias("ahead"))
    # one shuffle and one join for both sides; a row matters on its own side of the day only
    counted = F.when(F.col("ahead"), F.col("age") < -meant.lead_days).otherwise(F.col("age") >= 0)
    labelled = (
        before.unionByName(after)
        .repartition("user_id")
        .transform(per_snapshot, days, oldest=meant.active_within_days - 1, newest=-meant.ahead_days)
        .where(counted)
        .groupBy(F.col("snapshot").alias("day"), "user_id")
        .agg(
            F.max(F.when(~F.col("ahead"), F.col("day"))).alias("last_active_day"),
            (~F.max("ahead")).alias("churned"),
        )
        .where(F.col("last_active_day").isNotNull())
        .select("day", F.lit(definition).alias("definition"), "user_id", "churned", "last_active_day")
    )
    return {"user_labels": labelled}


def replaced_definition(days: Sequence[date], table: str, definition: str) -> Mapping[str, str]:
    """The rows of ``table`` that a run of one definition replaces: those of ``days`` and the definition."""
    return {table: f"({days_predicate(days)}) AND definition = '{definition}'"}


def only_definition(frame: DataFrame, definition: str) -> DataFrame:
    """Keeps the rows of ``definition``."""
    return frame.where(F.col("definition") == definition)

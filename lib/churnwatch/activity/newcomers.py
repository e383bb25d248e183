"""Find the first day on which each user was active."""

from collections.abc import Mapping, Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from churnwatch.activity.acts import only_active
from churnwatch.activity.rollup import bucket
from churnwatch.core import days_predicate, first_rows, outdated_restatements, restated
from churnwatch.core.job import Frames
from churnwatch.settings import Settings
from churnwatch.tables.columns import SEGMENTS


def first_seen(inputs: Frames, days: Sequence[date], settings: Settings) -> Frames:
    """Build ``first_seen``: one row per user who was active on a day of ``days`` and on no earlier day, with the user's
    segments as of that day; and ``first_seen_restated``: all users so far on each first of a month in ``days``.

    Stored rows of ``days`` are ignored, because this run replaces them.
    """
    active = inputs["activity"].where(days_predicate(days)).transform(only_active)
    newest = active.groupBy("user_id").agg(F.min("day").alias("day"))
    new = first_rows(newest, inputs["first_seen"], ["user_id"], days)
    users = inputs["users"].select(
        F.col("user_id").alias("_user"),
        F.col("day").alias("_from"),
        F.col("until").alias("_until"),
        segments_of(F.col("attributes"), settings).alias("_segments"),
    )
    in_force = (F.col("user_id") == F.col("_user")) & F.col("day").between(F.col("_from"), F.col("_until"))
    segments = F.coalesce("_segments", F.array().cast(SEGMENTS)).alias("segments")
    placed = new.join(users, in_force, "left").select("day", "user_id", segments)
    stored = inputs["first_seen"].where(f"NOT ({days_predicate(days)})").select(*placed.columns)
    return {
        "first_seen_restated": _by_bucket(restated(stored.unionByName(placed), days), settings),
        # without it each task would write a small file into each day of a long range
        "first_seen": placed.hint("rebalance", "day"),
    }


def replaced_first_seen(days: Sequence[date]) -> Mapping[str, str]:
    """Return the predicate of the restatements that a run for ``days`` replaces."""
    return {"first_seen_restated": outdated_restatements(days)}


def _by_bucket(rows: DataFrame, settings: Settings) -> DataFrame:
    """Lay the rows out as daily_activity is: whole buckets in a file, users in order."""
    return rows.withColumn("bucket", bucket(settings)).repartition("bucket").sortWithinPartitions("day", "bucket", "user_id")


def segments_of(attributes: Column, settings: Settings) -> Column:
    """Return the configured segments among ``attributes`` as an array of (segment, value), without unknown ones."""
    pairs = [
        F.when(
            attributes[name].isNotNull(),
            F.struct(F.lit(name).alias("segment"), attributes[name].alias("value")),
        )
        for name in settings.measures.segments
    ]
    return F.array_compact(F.array(*pairs)).cast(SEGMENTS) if pairs else F.array().cast(SEGMENTS)

"""Find the first day on which each user was active."""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import functions as F

from churnwatch.core import days_predicate
from churnwatch.core.job import Frames


def first_seen(inputs: Frames, days: Sequence[date]) -> Frames:
    """Build ``first_seen``: one row per user who was active on a day of ``days`` and on no earlier day.

    Stored rows of ``days`` are ignored, because this run replaces them.
    """
    newest = inputs["activity"].where(days_predicate(days)).groupBy("user_id").agg(F.min("day").alias("day"))
    known = (
        inputs["first_seen"]
        .where(f"NOT ({days_predicate(days)})")
        .select(F.col("user_id").alias("known_user"), F.col("day").alias("known_day"))
    )
    new = newest.join(known, (F.col("user_id") == F.col("known_user")) & (F.col("known_day") < F.col("day")), "left_anti")
    # without it each task would write a small file into each day of a long range
    return {"first_seen": new.select("day", "user_id").hint("rebalance", "day")}

"""Who of last week's users came back this week: the early sign of sudden churn."""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import functions as F

from churnwatch.activity.segments import sums_per_segment, with_segments
from churnwatch.activity.snapshots import per_snapshot
from churnwatch.core.intervals import wilson
from churnwatch.core.job import Frames
from churnwatch.settings import Settings

WEEK = 7


def trend(inputs: Frames, days: Sequence[date], settings: Settings) -> Frames:
    """``activity_trend``: one row per day, segment and value: users active in O-13 .. O-7, and of them those who were
    active again in O-6 .. O; ``share`` with its Wilson interval."""
    users = (
        inputs["activity"]
        .select("day", "user_id")
        .repartition("user_id")  # two columns of a row travel once, not once a snapshot
        .transform(per_snapshot, days, oldest=2 * WEEK - 1)
        .groupBy(F.col("snapshot").alias("day"), "user_id")
        .agg(F.max(F.col("age") >= WEEK).alias("last_week"), F.max(F.col("age") < WEEK).alias("this_week"))
        .where("last_week")
        .transform(with_segments, inputs["users"], settings, inputs["first_seen"])
    )
    sums = {"active": F.lit(1), "came_back": F.col("this_week").cast("long")}
    totals = sums_per_segment(users, settings, ["day"], **sums)
    low, high = wilson(F.col("came_back"), F.col("active"))
    share = F.try_divide(F.col("came_back"), F.col("active"))
    shares = totals.select(
        "day", "segment", "value", "active", "came_back", share.alias("share"), low.alias("low"), high.alias("high")
    )
    return {"activity_trend": shares}
